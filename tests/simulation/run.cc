#include "tests/simulation/run.h"

#include <algorithm>
#include <utility>

#include "engine/operations/delivery_lookup.h"
#include "engine/operations/reconcile.h"
#include "engine/wire/codec.h"
#include "tests/simulation/log_client.h"
#include "tests/simulation/node.h"

namespace postrider::simulation {
namespace {

// After the last fault: the breaker's longest pause, a policy's longest wait, a session, and some.
constexpr std::int64_t kHealsWithin = 240'000;

}  // namespace

// --- processes

Run::Run(const Scenario& scenario, bool traced)
    : scenario_(scenario),
      draw_(scenario.seed),
      kafka_(time_, draw_, scenario.partitions),
      group_(time_, draw_, kafka_),
      hosts_(time_, draw_),
      oracle_(time_, kafka_, group_) {
  time_.traced = traced;
  oracle_.lifetime = scenario.short_lives ? kShortLifetime : kLifetime;
  oracle_.repeat_window = scenario.short_lives ? kShortWindow : kRepeatWindow;
  group_.eager = scenario.eager;
  group_.on_assigned = [this](const Process& process, const Assignment& assignment) {
    oracle_.on_assigned(process, assignment);
  };
  oracle_.names_lie = scenario.names_lie;
  kafka_.on_visible = [this](const Kafka::Slot& slot) {
    oracle_.on_visible(slot);
    // Between what landed late and what is said again.
    if (scenario_.corner == Corner::late_words && slot.late && slot.record.topic == Topic::parked)
      time_.after(draw_.between(10, 400), [this] { crash_soon(*nodes_.front()); });
  };
  kafka_.on_excuse = [this](const std::string& what) { oracle_.excuse(what); };
  group_.on_excuse = [this](const std::string& what) { oracle_.excuse(what); };
  group_.on_commit = [this](const Process& process, Partition partition, Offset from, Offset to,
                            SteadyTime sent_at) { oracle_.on_commit(process, partition, from, to, sent_at); };
  hosts_.on_arrival = [this](const Arrival& arrival) { oracle_.on_arrival(arrival); };
  hosts_.on_in_flight = [this](const Process& process, const std::string& host, int count) {
    oracle_.on_in_flight(process, host, count);
  };
  hosts_.on_hasty = [this](const Process& process, const std::string& host, std::int64_t early_ms) {
    oracle_.on_hasty(process, host, early_ms);
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
  node.resolver = std::make_unique<SimResolver>(time_, draw_, hosts_);
  if (faults_on_ && scenario_.names_fail) node.resolver->fails = 0.1;
  if (faults_on_ && scenario_.names_lie) node.resolver->lies = 0.05;
  node.keys = std::make_unique<SimKeys>(draw_, time_);
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
  config.lifetime = oracle_.lifetime;
  config.repeat_window = oracle_.repeat_window;
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
  node.store.process_ends();
  if (power) node.store.lose_tail(draw_);
}

// The daemon's own answer to a damaged view, at its worst: nothing is brought home.
void Run::begin_again(Node& node) {
  kill(node, false);
  time_.after(draw_.between(50, 3000), [this, &node, life = node.process.life] {
    if (!node.process.alive && node.process.life == life && !held_down_) start(node);
  });
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
        if (node->shard->view_damaged()) {
          begin_again(*node);
          continue;
        }
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

// --- healing, and the end

void Run::calm_moods() {
  for (auto& [host, receiver] : hosts_.receivers) {
    receiver.mood = Receiver::Mood::healthy;
    receiver.away_until = 0;
  }
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
  kafka_.parked_faults.reset();
  calm_moods();
  for (auto& node : nodes_) {
    Process& process = node->process;
    process.stopped = false;
    process.cut_until = process.unheard_until = 0;
    node->store.full = node->store.unreadable = false;
    if (node->store.corrupt && process.alive) kill(*node, false);
    if (!process.alive && !held_down_) start(*node);
    if (!process.alive) continue;
    node->keys->away = false;
    node->resolver->fails = node->resolver->lies = 0;
    node->log->lagging_until.clear();
  }
  for (auto& [key, part] : kafka_.parts()) part.away_until = 0;
  // Operators look through what was stopped.
  for (const std::int64_t when : {30'000, 60'000}) {
    time_.after(when, [this] {
      enable_stopped();
      resume_all();
    });
  }
}

void Run::enable_stopped() {
  std::set<std::pair<TenantId, EndpointId>> stopped;
  for (auto& node : nodes_) {
    if (!node->running()) continue;
    node->shard->service().list_endpoints(TenantId(), {}, [&](Result<std::vector<EndpointView>> views) {
      if (!views) return;
      for (const EndpointView& view : *views)
        if (view.stopped.stop != Stop::none || view.health >= HealthState::quarantined)
          stopped.insert({view.def.tenant, view.def.id});
    });
  }
  for (auto& [name, endpoint] : oracle_.endpoints)
    if (stopped.contains(name)) toggle(endpoint, true);
}

// What a process takes the registry to be, by endpoint.
std::map<std::string, std::string> Run::registry_of(Node& node) {
  std::map<std::string, std::string> known;
  node.shard->service().list_endpoints(TenantId(), {}, [&](Result<std::vector<EndpointView>> views) {
    if (!views) throw Violation("a process cannot list its endpoints");
    for (const EndpointView& view : *views) {
      std::string words = view.def.incarnation.str() + " at " + view.def.url + ", secrets";
      for (const EndpointSecret& secret : view.secrets)
        words += " " + secret.id + (secret.state == SecretState::revoked ? " revoked" : "");
      known[view.def.tenant.str() + "/" + view.def.id.str()] = std::move(words);
    }
  });
  return known;
}

// Rebuild(log) = the live view.
void Run::compare_rebuilt() {
  Node& fresh = *nodes_.front();
  // It may just have been started; and what somebody gave up may still land.
  go(time_.now + 20'000);
  const auto before = registry_of(fresh);
  if (scenario_.compaction) {
    // All that it may take by now; readers of old are up to date long since.
    go(time_.now + kRegistryLag.count() + 10'000);
    kafka_.compact({Topic::endpoints, 0}, kRegistryLag.count(), kTombstonesKept.count());
  }
  for (auto& node : nodes_) kill(*node, false);
  fresh.store.wipe();
  start(fresh);
  go(time_.now + 60'000, [&] {
    if (group_.joined() != 1) return false;
    for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
      if (group_.owner(partition) != &fresh.process) return false;
    }
    const ShardGauges& gauges = fresh.observer->last;
    return gauges.partitions == static_cast<std::uint64_t>(kafka_.partitions) && gauges.lag == 0;
  });
  go(time_.now + 5000);  // marks, restoring, and the first second's gauges
  for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
    if (group_.owner(partition) != &fresh.process)
      throw Violation("a fresh process did not get every partition");
  }
  // What a zombie said in the meantime goes its way.
  go(time_.now + kHealsWithin, [&] {
    for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
      if (!oracle_.parked_now(partition).empty()) return false;
    }
    return true;
  });
  go(time_.now + 500);
  for (const auto& [endpoint, words] : registry_of(fresh)) {
    const auto was = before.find(endpoint);
    if (was == before.end() || was->second != words)
      throw Violation("a fresh process takes " + endpoint + " for " + words + ", it was " +
                      (was == before.end() ? "gone" : was->second));
  }
  compare_secrets();
  const auto& rows = fresh.store.rows[Family::parked];
  if (!rows.empty())
    throw Violation("a view built from the log has " + std::to_string(rows.size()) +
                    " parked deliveries; none is");
}

// Secrets only move forward: what compaction leaves of one is its furthest state.
void Run::compare_secrets() {
  std::map<std::string, SecretState> furthest, last;
  SimLogClient client(kafka_);
  const auto extent = *client.extent(Topic::endpoints, 0);
  (void)client.scan(Topic::endpoints, 0, extent.begin, extent.end, [&](const Record& record) {
    const auto fact = wire::decode_registry(kEnvironment, record.value.value_or(""));
    const auto* secret = fact ? std::get_if<EndpointSecret>(&*fact) : nullptr;
    if (secret == nullptr) return true;
    last[secret->id] = secret->state;
    furthest[secret->id] = std::max(furthest[secret->id], secret->state);
    return true;
  });
  for (const auto& [id, state] : last)
    if (state != furthest[id])
      throw Violation("secret " + id + " was revoked, and stands last as one that signs");
}

// Of two facts that name one attempt number both count, whoever reads them.
void Run::compare_readers() {
  if (scenario_.short_lives) return;  // they may be gone
  SimLogClient client(kafka_);
  SimClock clock(time_);
  Draw unused(1);
  Desk desk{client, kEnvironment, unused, clock};
  for (const std::string& id : oracle_.numbered_twice()) {
    const auto found = look_up_deliveries(desk, id);
    const bool delivered = found && found->deliveries.size() == 1 &&
                           found->deliveries.front().state() == DeliveryState::delivered;
    if (!delivered)
      throw Violation("delivery " + id + " was delivered, and who reads the log is told otherwise");
  }
}

// The youngest beginning of `attempts` or `events`, of any partition that lacks some.
std::int64_t Run::oldest_told() {
  std::int64_t since = 0;
  for (auto& [key, part] : kafka_.parts()) {
    if ((key.first != Topic::attempts && key.first != Topic::events) || part.begin == 0) continue;
    const Kafka::Slot* first = part.at(part.begin);
    since = std::max(since, first != nullptr ? to_ms(first->record.appended) : to_ms(time_.log_time()));
  }
  return since;
}

// What an operator is told at any moment: nothing is unaccounted for, and at the end nothing is under way.
void Run::reconcile_log(bool at_the_end) {
  SimLogClient client(kafka_);
  SimClock clock(time_);
  Draw unused(1);
  Desk desk{client, kEnvironment, unused, clock};
  ReconcileRequest request;
  // Of what is older `attempts` need not tell any more.
  if (scenario_.short_lives) request.since = oldest_told();
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
    plan_suspensions();
    every(2000, 2000, [this] { look_for_refusals(); });
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
      return !owed && !held_down_ && !oracle_.is_refused();
    });
    owed = oracle_.owed();
    if (!owed && (held_down_ || oracle_.is_refused())) owed = "a partition is still refused";
    if (owed) throw Violation("after all faults were healed: " + *owed);
    int fetches = 0;
    for (auto& node : nodes_) fetches += node->log->fetches;
    if (oracle_.faultless && !scenario_.keys_away && !scenario_.lagging_registry && !scenario_.disk_full &&
        fetches > 0) {
      throw Violation("a payload was fetched again, though nothing had happened to its claim check");
    }
    reconcile_log(true);
    const auto counted = [&] {
      return std::find_if(nodes_.begin(), nodes_.end(),
                          [](const auto& node) { return node->observer->last.parked > 0; });
    };
    go(time_.now + 15'000, [&] { return counted() == nodes_.end(); });
    if (counted() != nodes_.end()) {
      throw Violation("process " + std::to_string((*counted())->process.number) + " counts " +
                      std::to_string((*counted())->observer->last.parked) + " parked deliveries; none is");
    }
    compare_readers();
    compare_rebuilt();
    if (scenario_.remade) make_topics_again();
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
