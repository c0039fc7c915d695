// What producers, callers and operators do in a run.
#include <algorithm>
#include <utility>

#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "tests/simulation/node.h"

namespace postrider::simulation {
namespace {

constexpr std::int64_t kAnswerWithin = 20'000;

}  // namespace

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

}  // namespace postrider::simulation
