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
      if (scenario_.repeats && number > 0 &&
          draw_.chance(scenario_.corner == Corner::lost_indexes ? 0.4 : 0.2)) {
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
    if (endpoint.changes[index].answered || endpoint.changes[index].refused) return;
    endpoint.uncertain = true;
    endpoint.contested = false;
  });
}

// What became of a command. Of two at once exactly one is in force; that both are told so says nothing of
// their order.
void Run::outcome(EndpointHistory& endpoint, std::size_t index, const Error* error) {
  Change& change = endpoint.changes[index];
  // An append that lands twice may be ignored the second time.
  const bool once =
      scenario_.log.loses_ack == 0 && scenario_.log.lands_late == 0 && scenario_.log.doubles == 0;
  if (error == nullptr) {
    change.answered = time_.now;
  } else if (error->code == "CONFLICT" && once) {
    change.refused = true;
  } else {
    endpoint.uncertain = true;
    endpoint.contested = false;
  }
  time_.note([&] {
    return "caller: " + endpoint.tenant.str() + "/" + endpoint.id.str() + " " +
           (change.host.empty() ? "deleted" : change.host) +
           (error == nullptr ? " is in force" : ": " + error->code);
  });
  if (!endpoint.contested || index == 0) return;
  const Change& last = endpoint.changes.back();
  const Change& other = endpoint.changes[endpoint.changes.size() - 2];
  const auto is_open = [](const Change& one) { return !one.answered && !one.refused; };
  if (is_open(last) || is_open(other)) return;
  endpoint.contested = false;
  endpoint.uncertain = last.refused == other.refused;
}

void Run::apply(EndpointHistory& endpoint) {
  Node* node = some_running();
  if (node == nullptr || endpoint.uncertain) return;
  const Change* before = endpoint.last();
  const bool exists = before != nullptr && before->exists;
  Change change;
  change.asked = time_.now;
  change.types = draw_.chance(0.5) ? "*" : draw_.chance(0.5) ? "order.*" : draw_.pick(types_);
  change.host = "h" + std::to_string(++last_host_) + ".example";
  change.life = exists ? before->life : ++last_life_;
  const bool one_by_one = scenario_.corner == Corner::quiet_disk;
  change.concurrency = one_by_one ? 1 : static_cast<std::uint32_t>(draw_.between(1, 8));
  // Doubles that land late do harm only if what they say was taken back meanwhile.
  const double keeps_keys = scenario_.corner == Corner::late_doubles ? 0.2 : 0.7;
  if (exists && draw_.chance(keeps_keys)) {
    change.keys = before->keys;
  } else {
    change.keys = {"key " + std::to_string(++last_key_) + std::string(24, 'k')};
    if (draw_.chance(0.2)) change.keys.push_back("key " + std::to_string(++last_key_) + std::string(24, 'k'));
  }
  EndpointSpec spec;
  spec.tenant = endpoint.tenant;
  spec.id = endpoint.id;
  spec.url = "https://" + change.host + "/hook";
  spec.types = {change.types};
  std::vector<std::string> delays;
  for (const Millis delay : kRetryDelays) delays.push_back(format_duration(delay));
  spec.retry = *parse_retry_policy(delays);
  spec.limits.concurrency = change.concurrency;
  if (scenario_.tight) spec.limits.queue_max = static_cast<std::uint32_t>(draw_.between(1, 5));
  if (scenario_.corner == Corner::quiet_disk) spec.limits.queue_max = 1;  // what falls due finds no room
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
  node->shard->service().apply_endpoint(std::move(spec),
                                        [this, &endpoint, index](Result<ApplyAnswer> answer) {
                                          outcome(endpoint, index, answer ? nullptr : &answer.error());
                                        });
  node->wakes_at = time_.now;
}

void Run::remove(EndpointHistory& endpoint) {
  Node* node = some_running();
  if (node == nullptr || endpoint.uncertain || endpoint.last() == nullptr || !endpoint.last()->exists) return;
  Change change = *endpoint.last();
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
  node->shard->service().delete_endpoint(endpoint.tenant, endpoint.id, "simulation", true,
                                         [this, &endpoint, index](Result<bool> answer) {
                                           outcome(endpoint, index, answer ? nullptr : &answer.error());
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
  const bool often = scenario_.stormy || scenario_.corner == Corner::stale_registry ||
                     scenario_.corner == Corner::late_doubles;
  if (scenario_.changes) every(500, often ? 3000 : 12'000, [this] { change_something(); });
}

void Run::change_something() {
  if (!faults_on_) return;
  auto at = oracle_.endpoints.begin();
  std::advance(at, draw_.between(0, static_cast<std::int64_t>(oracle_.endpoints.size()) - 1));
  EndpointHistory& endpoint = at->second;
  if (const Change* last = endpoint.last(); last != nullptr && !last->answered) {
    // Two writers at once: whoever is first, both shall see the same in the end.
    if (endpoint.uncertain || draw_.chance(0.8)) return;
    const std::size_t commands = endpoint.changes.size();
    const bool of_one_life = last->exists && commands > 1 &&
                             endpoint.changes[commands - 2].life == last->life &&
                             endpoint.changes[commands - 2].exists && last == &endpoint.changes.back();
    apply(endpoint);
    endpoint.uncertain = true;
    endpoint.contested = of_one_life && endpoint.changes.size() > commands;
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

}  // namespace postrider::simulation
