#include "tests/simulation/run.h"

#include <algorithm>
#include <utility>

#include "engine/operations/reconcile.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "tests/simulation/log_client.h"

namespace postrider::simulation {
namespace {

// Everything that takes hours takes minutes here.
constexpr Millis kLifetime = std::chrono::minutes(8);
constexpr Millis kRepeatWindow = std::chrono::minutes(3);
constexpr Millis kTombstonesKept = std::chrono::seconds(40);
constexpr Millis kCompactionLag = std::chrono::seconds(10);
// Of `endpoints`, whose lag is that of `attempts`: longer than any instance that runs is behind.
constexpr Millis kRegistryLag = std::chrono::seconds(60);
constexpr std::int64_t kAnswerWithin = 20'000;
// After the last fault: the breaker's longest pause, a policy's longest wait, a session, and some.
constexpr std::int64_t kHealsWithin = 240'000;

}  // namespace

// --- the scenario

Scenario Scenario::draw(std::uint64_t seed) {
  Draw draw(seed * 0x9e3779b97f4a7c15ull + 1);
  Scenario drawn;
  drawn.seed = seed;
  drawn.processes = static_cast<int>(draw.between(1, 3));
  drawn.partitions = static_cast<Partition>(draw.between(1, 4));
  drawn.tenants = static_cast<int>(draw.between(1, 4));
  drawn.endpoints = static_cast<int>(draw.between(1, draw.chance(0.1) ? 20 : 6));  // of a tenant
  drawn.events = static_cast<int>(draw.between(10, draw.chance(0.1) ? 400 : 120));
  drawn.faults_ms = draw.between(20'000, 120'000);
  const auto rate = [&] { return draw.chance(0.4) ? static_cast<double>(draw.between(1, 60)) / 1000 : 0.0; };
  drawn.log = {rate(), rate(), rate(), rate(), draw.chance(0.3) ? 0.3 : 0.0};
  // Swarm: each kind is on in some runs and off in others, so that they do not always hide each other.
  for (bool* kind : {&drawn.crashes,          &drawn.power_cuts,       &drawn.stops,
                     &drawn.network_cuts,     &drawn.coordinator_cuts, &drawn.rebalances,
                     &drawn.outages,          &drawn.elections,        &drawn.compaction,
                     &drawn.clock_jumps,      &drawn.disk_full,        &drawn.view_corrupt,
                     &drawn.view_lost,        &drawn.keys_away,        &drawn.names_fail,
                     &drawn.lagging_registry, &drawn.changes,          &drawn.repeats,
                     &drawn.poison,           &drawn.replays,          &drawn.moods}) {
    *kind = draw.chance(0.4);
  }
  drawn.tight = draw.chance(0.2);
  if (draw.chance(0.2)) {  // one thing after another
    drawn.stormy = true;
    drawn.processes = static_cast<int>(draw.between(1, 2));
    drawn.partitions = 1;
    for (double* often : {&drawn.log.vanishes, &drawn.log.loses_ack, &drawn.log.lands_late}) {
      *often = static_cast<double>(draw.between(0, 300)) / 1000;
    }
    drawn.moods = drawn.coordinator_cuts = true;
    drawn.disk_full = draw.chance(0.7);
    drawn.changes = draw.chance(0.6);
    drawn.replays = draw.chance(0.6);
  }
  drawn.names_lie = draw.chance(0.05);
  drawn.truncation = draw.chance(0.05);
  if (draw.chance(0.1)) {  // a run without faults: then nothing may be repeated
    drawn.log = {};
    for (bool* kind :
         {&drawn.crashes, &drawn.power_cuts, &drawn.stops, &drawn.network_cuts, &drawn.coordinator_cuts,
          &drawn.rebalances, &drawn.outages, &drawn.elections, &drawn.disk_full, &drawn.view_corrupt,
          &drawn.view_lost, &drawn.names_lie, &drawn.truncation}) {
      *kind = false;
    }
  }
  return drawn;
}

std::string Scenario::words() const {
  std::string text = std::to_string(processes) + " processes, " + std::to_string(partitions) +
                     " partitions, " + std::to_string(tenants) + " tenants of " + std::to_string(endpoints) +
                     " endpoints, " + std::to_string(events) + " events;";
  const auto say = [&](bool on, const char* what) {
    if (on) text += std::string(" ") + what;
  };
  say(log.vanishes > 0, "requests-vanish");
  say(log.loses_ack > 0, "acks-lost");
  say(log.lands_late > 0, "late-landings");
  say(log.commit_fails > 0, "commits-unanswered");
  say(log.stale_end > 0, "deposed-leader");
  say(crashes, "crashes");
  say(power_cuts, "power-cuts");
  say(stops, "stops");
  say(network_cuts, "network-cuts");
  say(coordinator_cuts, "coordinator-cuts");
  say(rebalances, "rebalances");
  say(outages, "outages");
  say(elections, "elections");
  say(compaction, "compaction");
  say(clock_jumps, "clock-jumps");
  say(disk_full, "disk-full");
  say(view_corrupt, "view-corrupt");
  say(view_lost, "view-lost");
  say(keys_away, "keys-away");
  say(names_fail, "names-fail");
  say(names_lie, "names-lie");
  say(lagging_registry, "lagging-registry");
  say(changes, "changes");
  say(repeats, "repeats");
  say(poison, "poison");
  say(replays, "replays");
  say(tight, "tight-limits");
  say(moods, "moods");
  say(truncation, "truncation");
  say(stormy, "stormy");
  return text;
}

// --- processes

struct Run::Node {
  Node(Timeline& time, Draw& draw, int number) : clock(time), random(draw.next()) { process.number = number; }
  Process process;
  SimClock clock;
  Draw random;
  SimStore store;
  std::unique_ptr<SimResolver> resolver;
  std::unique_ptr<SimKeys> keys;
  std::unique_ptr<SimTransport> line;
  std::unique_ptr<SimLog> log;
  std::unique_ptr<SimObserver> observer;
  std::unique_ptr<flow::Shard> shard;
  std::int64_t wakes_at = 0;
  bool running() const { return shard && process.alive && !process.stopped; }
};

Run::Run(const Scenario& scenario, bool traced)
    : scenario_(scenario),
      draw_(scenario.seed),
      kafka_(time_, draw_, scenario.partitions),
      group_(time_, draw_, kafka_),
      hosts_(time_, draw_),
      oracle_(time_, kafka_, group_) {
  time_.traced = traced;
  oracle_.lifetime = kLifetime;
  oracle_.repeat_window = kRepeatWindow;
  oracle_.names_lie = scenario.names_lie;
  kafka_.on_visible = [this](const Kafka::Slot& slot) { oracle_.on_visible(slot); };
  kafka_.on_excuse = [this](const std::string& what) { oracle_.excuse(what); };
  group_.on_excuse = [this](const std::string& what) { oracle_.excuse(what); };
  group_.on_commit = [this](const Process& process, Partition partition, Offset from, Offset to,
                            SteadyTime sent_at) { oracle_.on_commit(process, partition, from, to, sent_at); };
  hosts_.on_arrival = [this](const Arrival& arrival) { oracle_.on_arrival(arrival); };
  hosts_.on_in_flight = [this](const Process& process, const std::string& host, int count) {
    oracle_.on_in_flight(process, host, count);
  };
  types_ = {"order.created", "order.paid.late", "user.deleted"};
  IdentityFact identity;
  identity.identity = kIdentity;
  identity.environment = kEnvironment;
  kafka_.produce({.topic = Topic::endpoints,
                  .partition = 0,
                  .key = std::string(kIdentityKey),
                  .value = wire::encode(kEnvironment, identity),
                  .headers = {}},
                 0);
  for (int number = 0; number < scenario.processes; ++number) {
    nodes_.push_back(std::make_unique<Node>(time_, draw_, number));
    start(*nodes_.back());
  }
  every(100, 100, [this] { group_.tick(); });
}

Run::~Run() = default;

void Run::start(Node& node) {
  Process& process = node.process;
  ++process.life;
  process.alive = true;
  process.stopped = false;
  process.inbox.clear();
  if (node.store.corrupt) node.store.wipe();  // the daemon does so at start, loudly
  node.resolver = std::make_unique<SimResolver>(time_, draw_);
  if (faults_on_ && scenario_.names_fail) node.resolver->fails = 0.1;
  if (faults_on_ && scenario_.names_lie) node.resolver->lies = 0.05;
  node.keys = std::make_unique<SimKeys>(draw_);
  node.line = std::make_unique<SimTransport>(hosts_, node.clock, process);
  node.log = std::make_unique<SimLog>(time_, draw_, kafka_, group_, process);
  node.observer = std::make_unique<SimObserver>(time_, process);
  node.observer->on_gauges = [this, &process](const ShardGauges& gauges) {
    oracle_.on_repeat_index(process, gauges.repeat_index);
  };
  flow::ShardConfig config;
  config.environment = kEnvironment;
  config.instance = "ins_" + std::to_string(process.number);
  config.attempt_timeout = std::chrono::seconds(3);
  config.lifetime = kLifetime;
  config.repeat_window = kRepeatWindow;
  config.history_ttl = std::chrono::hours(1);
  config.stale_view = kTombstonesKept / 2;
  config.breaker = {5, std::chrono::seconds(5), std::chrono::seconds(30)};
  if (scenario_.tight) {
    config.bytes_max = 64 * 1024;
    config.window_max = 20;
    config.in_flight_max = 6;
    config.due_loaded_max = 10;
    node.log->append_max = 4;
  }
  node.shard = std::make_unique<flow::Shard>(flow::Ports{*node.log, *node.line, *node.resolver, node.store,
                                                         node.clock, node.random, *node.keys, *node.observer},
                                             config);
  node.wakes_at = time_.now;
  time_.note([&] { return "process " + std::to_string(process.number) + " starts"; });
  node.shard->start();
}

void Run::kill(Node& node, bool power) {
  oracle_.excuse("process " + std::to_string(node.process.number) + (power ? " loses power" : " is killed"));
  ++node.process.life;
  node.process.alive = false;
  node.shard.reset();
  if (power) node.store.lose_tail(draw_);
}

// Time passes: what is planned happens, and every process that has something to do takes a turn.
void Run::go(std::int64_t until, const std::function<bool()>& done) {
  while (time_.now < until && !done()) {
    time_.run_due();
    std::int64_t next = std::min(until, time_.next());
    for (auto& node : nodes_) {
      if (!node->running()) continue;
      const std::int64_t ready = std::min(node->line->next(), node->resolver->next());
      if (node->log->has_news() || ready <= time_.now || node->wakes_at <= time_.now) {
        node->shard->step();
        node->wakes_at = std::max(to_ms(node->shard->next_wake()), time_.now + 5);
      }
      next = std::min({next, node->wakes_at,
                       std::max(std::min(node->line->next(), node->resolver->next()), time_.now + 1)});
      if (node->log->has_news()) next = std::min(next, time_.now + 2);
    }
    time_.now = std::max(time_.now + 1, next);
  }
}

Run::Node* Run::some_running() {
  std::vector<Node*> running;
  for (auto& node : nodes_) {
    if (node->running()) running.push_back(node.get());
  }
  return running.empty() ? nullptr : draw_.pick(running);
}

void Run::every(std::int64_t least, std::int64_t most, std::function<void()> what) {
  time_.after(draw_.between(least, most), [this, least, most, what = std::move(what)] {
    what();
    every(least, most, what);
  });
}

// --- producers

void Run::publish(Publication publication, std::size_t bytes) {
  NewRecord record;
  record.topic = Topic::events;
  if (publication.bad) {
    record.key = publication.tenant.str();
    switch (draw_.between(0, 2)) {
      case 0:
        record.value = "\x01\xff no event";
        break;
      case 1:  // oversize
        record.headers = {{"ce_specversion", "1.0"},
                          {"ce_id", publication.id},
                          {"ce_source", publication.source},
                          {"ce_type", publication.type},
                          {"ce_tenant", publication.tenant.str()}};
        record.value = std::string(300 * 1024, 'x');
        break;
      default:  // of another environment
        record.headers = {{"ce_specversion", "1.0"},
                          {"ce_id", publication.id},
                          {"ce_source", publication.source},
                          {"ce_type", publication.type},
                          {"ce_tenant", publication.tenant.str()},
                          {"ce_environment", "staging"}};
        record.value = "{}";
    }
  } else {
    Event event;
    event.id = publication.id;
    event.source = publication.source;
    event.type = publication.type;
    event.tenant = publication.tenant;
    event.datacontenttype = "application/json";
    event.data = "{\"id\":\"" + publication.id + "\",\"pad\":\"" + std::string(bytes, 'x') + "\"}";
    wire::KafkaMessage message = wire::encode_kafka(event);
    record.key = std::move(message.key);
    record.value = std::move(message.value);
    record.headers = std::move(message.headers);
  }
  publication.webhook = webhook_id(publication.tenant, publication.source, publication.id);
  oracle_.publications.push_back(std::move(publication));
  kafka_.produce(std::move(record), oracle_.publications.size());
}

void Run::plan_events() {
  for (int number = 0; number < scenario_.events; ++number) {
    time_.after(draw_.between(3000, scenario_.faults_ms), [this, number] {
      Publication publication;
      publication.tenant = TenantId("t" + std::to_string(draw_.between(1, scenario_.tenants)));
      publication.source = "/shop";
      publication.type = draw_.pick(types_);
      publication.id = "e" + std::to_string(number);
      if (scenario_.repeats && number > 0 && draw_.chance(0.2)) {
        publication.id = "e" + std::to_string(draw_.between(std::max(0, number - 20), number));
      }
      publication.bad = scenario_.poison && draw_.chance(0.1);
      if (publication.bad) publication.id = "bad" + std::to_string(number);
      publish(std::move(publication),
              static_cast<std::size_t>(draw_.chance(0.1) ? draw_.between(1000, 9000) : 10));
    });
  }
}

// --- callers

void Run::answered(EndpointHistory& endpoint, std::size_t index, std::int64_t deadline) {
  time_.at(deadline, [this, &endpoint, index] {
    if (endpoint.changes[index].answered) return;
    endpoint.uncertain = true;
  });
}

void Run::apply(EndpointHistory& endpoint) {
  Node* node = some_running();
  if (node == nullptr || endpoint.uncertain) return;
  const bool exists = !endpoint.changes.empty() && endpoint.changes.back().exists;
  Change change;
  change.asked = time_.now;
  change.types = draw_.chance(0.5) ? "*" : draw_.chance(0.5) ? "order.*" : draw_.pick(types_);
  change.host = "h" + std::to_string(++last_host_) + ".example";
  change.life = exists ? endpoint.changes.back().life : ++last_life_;
  change.concurrency = static_cast<std::uint32_t>(draw_.between(1, 8));
  if (exists && draw_.chance(0.7)) {
    change.keys = endpoint.changes.back().keys;
  } else {
    change.keys = {"key " + std::to_string(++last_key_) + std::string(24, 'k')};
    if (draw_.chance(0.2)) change.keys.push_back("key " + std::to_string(++last_key_) + std::string(24, 'k'));
  }
  EndpointSpec spec;
  spec.tenant = endpoint.tenant;
  spec.id = endpoint.id;
  spec.url = "https://" + change.host + "/hook";
  spec.types = {change.types};
  spec.retry = *parse_retry_policy(std::vector<std::string>{"1s", "3s", "10s", "20s"});
  spec.limits.concurrency = change.concurrency;
  if (scenario_.tight) spec.limits.queue_max = static_cast<std::uint32_t>(draw_.between(1, 5));
  for (const std::string& key : change.keys) spec.secrets.push_back({SecretKind::hmac, Secret(key)});
  spec.actor = "simulation";
  oracle_.know_host(change.host, endpoint.tenant, endpoint.id);
  Receiver receiver;
  receiver.latency_ms = draw_.between(1, 60);
  hosts_.receivers[change.host] = receiver;
  time_.note([&] {
    return "caller: apply " + endpoint.tenant.str() + "/" + endpoint.id.str() + " " + change.types + " at " +
           change.host + " through process " + std::to_string(node->process.number);
  });
  endpoint.changes.push_back(std::move(change));
  const std::size_t index = endpoint.changes.size() - 1;
  answered(endpoint, index, time_.now + kAnswerWithin);
  node->shard->service().apply_endpoint(std::move(spec), [this, &endpoint,
                                                          index](Result<ApplyAnswer> answer) {
    if (!answer) {
      endpoint.uncertain = true;
      return;
    }
    time_.note([&] { return "caller: " + endpoint.tenant.str() + "/" + endpoint.id.str() + " is in force"; });
    endpoint.changes[index].answered = time_.now;
  });
  node->wakes_at = time_.now;
}

void Run::remove(EndpointHistory& endpoint) {
  Node* node = some_running();
  if (node == nullptr || endpoint.uncertain || endpoint.changes.empty() || !endpoint.changes.back().exists)
    return;
  Change change = endpoint.changes.back();
  change.asked = time_.now;
  change.answered.reset();
  change.exists = false;
  change.host.clear();
  change.keys.clear();
  endpoint.changes.push_back(std::move(change));
  const std::size_t index = endpoint.changes.size() - 1;
  answered(endpoint, index, time_.now + kAnswerWithin);
  time_.note([&] {
    return "caller: delete " + endpoint.tenant.str() + "/" + endpoint.id.str() + " through process " +
           std::to_string(node->process.number);
  });
  node->shard->service().delete_endpoint(
      endpoint.tenant, endpoint.id, "simulation", true, [this, &endpoint, index](Result<bool> answer) {
        if (!answer) {
          endpoint.uncertain = true;
          return;
        }
        endpoint.changes[index].answered = time_.now;
        time_.note([&] { return "caller: " + endpoint.tenant.str() + "/" + endpoint.id.str() + " is gone"; });
      });
  node->wakes_at = time_.now;
}

// Not a change in what it takes: what comes meanwhile is held.
void Run::toggle(EndpointHistory& endpoint, bool enable) {
  Node* node = some_running();
  if (node == nullptr) return;
  time_.note([&] {
    return std::string("caller: ") + (enable ? "enable " : "disable ") + endpoint.tenant.str() + "/" +
           endpoint.id.str();
  });
  const auto ignore = [](Result<EndpointView>) {};
  if (enable) {
    node->shard->service().enable_endpoint(endpoint.tenant, endpoint.id, "simulation", true, ignore);
  } else {
    node->shard->service().disable_endpoint(endpoint.tenant, endpoint.id, "pause", "simulation", true,
                                            ignore);
  }
  node->wakes_at = time_.now;
}

void Run::plan_changes() {
  for (int tenant = 1; tenant <= scenario_.tenants; ++tenant) {
    for (int number = 1; number <= scenario_.endpoints; ++number) {
      EndpointHistory endpoint;
      endpoint.tenant = TenantId("t" + std::to_string(tenant));
      endpoint.id = EndpointId("e" + std::to_string(number));
      auto [at, added] =
          oracle_.endpoints.emplace(std::pair(endpoint.tenant, endpoint.id), std::move(endpoint));
      time_.after(draw_.between(500, 3000), [this, &here = at->second] {
        if (here.changes.empty()) apply(here);
      });
    }
  }
  if (scenario_.changes) every(500, scenario_.stormy ? 3000 : 12'000, [this] { change_something(); });
}

void Run::change_something() {
  if (!faults_on_) return;
  auto at = oracle_.endpoints.begin();
  std::advance(at, draw_.between(0, static_cast<std::int64_t>(oracle_.endpoints.size()) - 1));
  EndpointHistory& endpoint = at->second;
  if (!endpoint.changes.empty() && !endpoint.changes.back().answered) {
    // Two writers at once: whoever is first, both shall see the same in the end.
    if (draw_.chance(0.8)) return;
    apply(endpoint);
    endpoint.uncertain = true;
    return;
  }
  switch (draw_.between(0, 6)) {
    case 0:
    case 1:
      remove(endpoint);
      break;
    case 2:
      toggle(endpoint, false);
      break;
    case 3:
      toggle(endpoint, true);
      break;
    default:
      apply(endpoint);
  }
}

// --- operators

void Run::plan_replays() {
  if (scenario_.replays) every(1000, scenario_.stormy ? 5000 : 20'000, [this] { replay_something(); });
}

void Run::replay_something() {
  if (!faults_on_) return;
  std::vector<DeadLetter> letters;
  for (auto& [key, part] : kafka_.parts()) {
    if (key.first != Topic::dead_letters) continue;
    for (Offset offset = part.begin; offset < part.high; ++offset) {
      const Kafka::Slot* slot = part.at(offset);
      if (slot == nullptr) continue;
      auto fact = wire::decode_dead_letter(kEnvironment, slot->record.value.value_or(""));
      if (!fact || !std::holds_alternative<DeadLetter>(*fact)) continue;
      DeadLetter& letter = std::get<DeadLetter>(*fact);
      if (category_of(letter.reason) != Category::bad_event && !letter.sealed_payload.empty()) {
        letters.push_back(std::move(letter));
      }
    }
  }
  if (letters.empty()) return;
  // A second time, perhaps: a job of its own.
  const DeadLetter letter = replayed_ && draw_.chance(0.4) ? *replayed_ : draw_.pick(letters);
  replayed_ = letter;
  Event event;
  event.id = letter.delivery.event_id;
  event.source = letter.event_source;
  event.type = letter.delivery.event_type;
  event.tenant = letter.delivery.tenant;
  event.target = letter.delivery.target;
  event.replay_job = ReplayJobId(random_id("rpl", draw_.next(), draw_.next()));
  wire::KafkaMessage message = wire::encode_sealed_replay(event, letter.sealed_payload);
  Publication publication;
  publication.tenant = event.tenant;
  publication.source = event.source;
  publication.id = event.id;
  publication.type = event.type;
  publication.target = event.target;
  publication.job = event.replay_job;
  publication.webhook = webhook_id(event.tenant, event.source, event.id);
  oracle_.publications.push_back(std::move(publication));
  time_.note([&] { return "operator: replays " + letter.delivery.id.str(); });
  kafka_.produce({.topic = Topic::events,
                  .partition = std::nullopt,
                  .key = std::move(message.key),
                  .value = std::move(message.value),
                  .headers = std::move(message.headers)},
                 oracle_.publications.size());
}

// --- faults

void Run::plan_faults() {
  kafka_.faults = scenario_.log;
  every(scenario_.stormy ? 100 : 500, scenario_.stormy ? 1500 : 6000, [this] { fault(); });
  if (scenario_.compaction) {
    every(5000, 20'000, [this] {
      for (auto& [key, part] : kafka_.parts()) {
        kafka_.compact(key, (key.first == Topic::endpoints ? kRegistryLag : kCompactionLag).count(),
                       kTombstonesKept.count());
      }
    });
  }
  if (scenario_.moods) {
    every(500, 5000, [this] {
      if (!faults_on_ || hosts_.receivers.empty()) return;
      auto at = hosts_.receivers.begin();
      std::advance(at, draw_.between(0, static_cast<std::int64_t>(hosts_.receivers.size()) - 1));
      at->second.mood = static_cast<Receiver::Mood>(draw_.between(0, 7));
    });
  }
}

void Run::fault() {
  if (!faults_on_) return;
  Node& node = *draw_.pick(nodes_);
  Process& process = node.process;
  std::vector<Kafka::Key> keys;
  for (auto& [key, part] : kafka_.parts()) keys.push_back(key);
  switch (draw_.between(0, 14)) {
    case 0:
    case 1:
      if (!node.running()) break;
      if (scenario_.crashes || scenario_.power_cuts) {
        kill(node, scenario_.power_cuts && (!scenario_.crashes || draw_.chance(0.5)));
        const bool lose = scenario_.view_lost && draw_.chance(0.3);
        time_.after(draw_.chance(0.8) ? draw_.between(50, 5000) : draw_.between(5000, 30'000),
                    [this, &node, lose] {
                      if (node.process.alive || !faults_on_) return;
                      if (lose) node.store.wipe();
                      start(node);
                    });
      }
      break;
    case 2:
      if (scenario_.stops && node.running()) {
        oracle_.excuse("process " + std::to_string(process.number) + " is stopped");
        process.stopped = true;
        process.stopped_at = time_.now;
        time_.after(draw_.chance(0.5) ? draw_.between(50, 5000) : draw_.between(5000, 40'000),
                    [&process, life = process.life] {
                      if (process.life == life) process.stopped = false;
                    });
      }
      break;
    case 3:
      if (scenario_.network_cuts) {
        oracle_.excuse("process " + std::to_string(process.number) + " is cut from the brokers");
        process.cut_until =
            time_.now + (draw_.chance(0.7) ? draw_.between(100, 6000) : draw_.between(6000, 40'000));
      }
      break;
    case 4:
      if (scenario_.rebalances) group_.rebalance();
      break;
    case 14:
      if (scenario_.coordinator_cuts) {
        oracle_.excuse("process " + std::to_string(process.number) + " is not heard by the coordinator");
        process.unheard_until = time_.now + draw_.between(5000, 30'000);
      }
      break;
    case 5:
    case 6:
      if (scenario_.outages) kafka_.go_away(draw_.pick(keys), draw_.between(100, 8000));
      break;
    case 7:
      if (scenario_.elections) kafka_.elect(draw_.pick(keys));
      break;
    case 8:
      if (scenario_.clock_jumps) {
        node.clock.skew_ms = draw_.between(-3'600'000, 3'600'000);
        process.clock_jumped_at = time_.now;
      }
      break;
    case 9:
      if (scenario_.disk_full) {
        node.store.full = true;
        time_.after(draw_.between(100, draw_.chance(0.5) ? 2000 : 15'000),
                    [&node] { node.store.full = false; });
      }
      break;
    case 10:
      if (scenario_.view_corrupt && node.running()) {
        oracle_.excuse("a view is corrupt");
        node.store.corrupt = true;
        // Somebody sees the alert, and starts it again.
        time_.after(draw_.between(500, 10'000), [this, &node] {
          if (!faults_on_ || !node.store.corrupt) return;
          if (node.process.alive) kill(node, false);
          start(node);
        });
      }
      break;
    case 11:
      if (scenario_.keys_away && node.running()) {
        node.keys->away = true;
        time_.after(draw_.between(500, 10'000), [&node, life = process.life] {
          if (node.process.life == life && node.keys) node.keys->away = false;
        });
      }
      break;
    case 12:
      if (scenario_.lagging_registry && node.running()) {
        for (Topic topic : {Topic::endpoints, Topic::keys, Topic::health}) {
          if (draw_.chance(0.6)) node.log->lagging_until[topic] = time_.now + draw_.between(500, 12'000);
        }
      }
      break;
    case 13:
      if (scenario_.truncation) {
        const auto partition = static_cast<Partition>(draw_.between(0, kafka_.partitions - 1));
        Kafka::Part& part = kafka_.part(Topic::events, partition);
        const auto at = group_.commits.find(partition);
        // Retention takes what is committed: only payloads of parked deliveries go.
        const Offset until = at == group_.commits.end()
                                 ? 0
                                 : draw_.between(part.begin, std::max(part.begin, at->second.offset));
        oracle_.payloads_may_be_lost = true;
        kafka_.truncate(partition, until);
      }
      break;
    default:
      break;
  }
}

void Run::calm_moods() {
  for (auto& [host, receiver] : hosts_.receivers) receiver.mood = Receiver::Mood::healthy;
}

void Run::say_state(Node& node) {
  if (!node.shard) return;
  const ShardGauges& gauges = node.observer->last;
  time_.note([&] {
    std::string text = "process " + std::to_string(node.process.number) + " has " +
                       std::to_string(gauges.partitions) + " partitions, " +
                       std::to_string(gauges.unsettled) + " unsettled, " + std::to_string(gauges.queued) +
                       " queued, " + std::to_string(gauges.in_flight) + " in flight, " +
                       std::to_string(gauges.unacknowledged) + " unacknowledged, " +
                       std::to_string(gauges.bytes) + " bytes, lag " + std::to_string(gauges.lag) + ";";
    node.shard->service().readiness([&text](Result<Readiness> ready) {
      if (!ready) return;
      for (const std::string& complaint : ready->complaints) text += " " + complaint + ";";
    });
    return text;
  });
}

// The second phase: all that was broken is whole again.
void Run::heal() {
  time_.note([] { return "all faults are healed"; });
  faults_on_ = false;
  kafka_.faults = {};
  calm_moods();
  for (auto& node : nodes_) {
    Process& process = node->process;
    process.stopped = false;
    process.cut_until = process.unheard_until = 0;
    node->store.full = false;
    if (node->store.corrupt && process.alive) kill(*node, false);
    if (!process.alive) start(*node);
    node->keys->away = false;
    node->resolver->fails = node->resolver->lies = 0;
    node->log->lagging_until.clear();
  }
  for (auto& [key, part] : kafka_.parts()) part.away_until = 0;
  // Operators look through what was stopped.
  for (const std::int64_t when : {30'000, 60'000}) {
    time_.after(when, [this] {
      for (auto& [name, endpoint] : oracle_.endpoints) toggle(endpoint, true);
    });
  }
}

// Rebuild(log) = the live view.
void Run::compare_rebuilt() {
  for (auto& node : nodes_) kill(*node, false);
  Node& fresh = *nodes_.front();
  fresh.store.wipe();
  start(fresh);
  go(time_.now + 60'000, [&] {
    if (group_.joined() != 1) return false;
    for (Partition partition = 0; partition < scenario_.partitions; ++partition) {
      if (group_.owner(partition) != &fresh.process) return false;
    }
    const ShardGauges& gauges = fresh.observer->last;
    return gauges.partitions == static_cast<std::uint64_t>(scenario_.partitions) && gauges.lag == 0;
  });
  go(time_.now + 5000);  // marks, restoring, and the first second's gauges
  for (Partition partition = 0; partition < scenario_.partitions; ++partition) {
    if (group_.owner(partition) != &fresh.process)
      throw Violation("a fresh process did not get every partition");
  }
  // What a zombie said in the meantime goes its way.
  go(time_.now + kHealsWithin, [&] {
    for (Partition partition = 0; partition < scenario_.partitions; ++partition) {
      if (!oracle_.parked_now(partition).empty()) return false;
    }
    return true;
  });
  go(time_.now + 500);
  const auto& rows = fresh.store.rows[Family::parked];
  if (!rows.empty())
    throw Violation("a view built from the log has " + std::to_string(rows.size()) +
                    " parked deliveries; none is");
}

// What an operator is told at any moment: nothing is unaccounted for, and at the end nothing is under way.
void Run::reconcile_log(bool at_the_end) {
  SimLogClient client(kafka_);
  SimClock clock(time_);
  Draw unused(1);
  Desk desk{client, kEnvironment, unused, clock};
  ReconcileRequest request;
  request.committed = [this](Partition partition) -> Result<std::optional<Offset>> {
    const auto at = group_.commits.find(partition);
    return at == group_.commits.end() ? std::nullopt : std::optional(at->second.offset);
  };
  ReconcileWatch watch;
  watch.unaccounted = [this](const Unaccounted& one) {
    // Here `endpoints` is compacted long before `attempts` ends, which it never is in earnest: what the
    // registry was cannot always be read any more.
    const bool by_registry =
        one.gap == Gap::matched_after_all || (one.gap == Gap::no_fact && !one.delivery.empty());
    if (scenario_.compaction && by_registry) return;
    throw Violation("reconcile misses event " + std::to_string(one.position.partition) + "@" +
                    std::to_string(one.position.offset) + " (" + one.event_id + ") to " + one.endpoint.str() +
                    " " + one.delivery.str() + ": " + std::string(sentence_of(one.gap)));
  };
  const std::atomic<bool> stop{false};
  const auto totals = reconcile(desk, request, watch, stop);
  if (!totals) throw Violation("reconcile refuses: " + totals.error().message);
  if (at_the_end && totals->in_progress + totals->parked > 0)
    throw Violation("reconcile sees something under way after the end");
}

Report Run::finish() {
  Report report;
  report.scenario = scenario_;
  try {
    plan_changes();
    plan_events();
    plan_replays();
    plan_faults();
    for (int third = 0; third < 3; ++third) {
      go(time_.now + scenario_.faults_ms / 3);
      reconcile_log(false);
    }
    heal();
    const std::int64_t deadline = time_.now + kHealsWithin;
    std::optional<std::string> owed;
    std::int64_t next_look = 0;
    go(deadline, [&] {
      if (time_.now < next_look) return false;
      next_look = time_.now + 1000;
      owed = oracle_.owed();
      return !owed;
    });
    owed = oracle_.owed();
    if (owed) throw Violation("after all faults were healed: " + *owed);
    int fetches = 0;
    for (auto& node : nodes_) fetches += node->log->fetches;
    if (oracle_.faultless && !scenario_.keys_away && !scenario_.lagging_registry && !scenario_.disk_full &&
        fetches > 0) {
      throw Violation("a payload was fetched again, though nothing had happened to its claim check");
    }
    reconcile_log(true);
    compare_rebuilt();
  } catch (const Violation& violation) {
    report.broken = violation.what();
    time_.note([&] { return "BROKEN: " + *report.broken; });
    for (auto& node : nodes_) say_state(*node);
  }
  report.counts = oracle_.counts();
  report.virtual_ms = time_.now - 1'000'000;
  report.trace = time_.lines();
  return report;
}

}  // namespace postrider::simulation
