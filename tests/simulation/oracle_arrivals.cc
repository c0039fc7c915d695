// The judge: what arrives at receivers.
#include <algorithm>
#include <utility>

#include "engine/core/address_policy.h"
#include "engine/core/bytes.h"
#include "tests/simulation/oracle.h"

namespace postrider::simulation {
namespace {

// A fault may show some time after it: a session's length and a message's.
constexpr std::int64_t kExcusesFor = 60'000;
constexpr std::int64_t kConnectsWithinS = 4;  // Hosts::connect_ms_max, and roundings

}  // namespace

void Oracle::on_in_flight(const Process&, const std::string& host, int count) {
  const auto name = hosts_.find(host);
  if (name == hosts_.end()) return;
  const EndpointHistory& endpoint = endpoints.at(name->second);
  std::uint32_t most = 0;
  for (const Change& change : endpoint.changes) {
    if (change.host == host) most = std::max(most, change.concurrency);
  }
  if (most > 0 && static_cast<std::uint32_t>(count) > most) {
    broken(std::to_string(count) + " attempts at once at " + host + ", which takes " + std::to_string(most));
  }
}

void Oracle::on_hasty(const Process& process, const std::string& host, std::int64_t early_ms) {
  broken("process " + std::to_string(process.number) + " sends to " + host + " " + std::to_string(early_ms) +
         " ms before it was asked to");
}

void Oracle::judge_time(const Arrival& arrival, std::int64_t seconds) const {
  const std::int64_t off = arrival.sender_wall_ms / 1000 - seconds;
  // Stopped between signing and sending, it goes on while its lease holds.
  const std::int64_t most = time_.now - arrival.from->stopped_at < 2 * kSessionMs ? 15 : kConnectsWithinS;
  if ((off < 0 || off > most) && time_.now - arrival.from->clock_jumped_at > 1000 * kConnectsWithinS) {
    broken("an attempt at " + arrival.host + " is stamped " + std::to_string(off) + " s before it was sent");
  }
}

void Oracle::judge_signature(const Arrival& arrival, const EndpointHistory& endpoint,
                             const std::string& prefix) const {
  if (endpoint.uncertain) return;
  // Those of the last command in force, and of all that may be.
  std::set<std::string> good;
  for (std::size_t i = 0; i < endpoint.changes.size(); ++i) {
    const Change& change = endpoint.changes[i];
    if (change.refused) continue;
    if (change.answered && *change.answered <= time_.now) good.clear();
    for (const std::string& key : change.keys) {
      good.insert("v1," + base64_encode(SimKeys::sign(key, prefix, *arrival.request.body)));
    }
  }
  std::string all = arrival.header("webhook-signature");
  if (all.empty()) broken("an attempt at " + arrival.host + " is not signed");
  while (!all.empty()) {
    const std::size_t end = std::min(all.find(' '), all.size());
    if (!good.contains(all.substr(0, end))) {
      broken("an attempt at " + arrival.host + " is signed with a secret that is not in force");
    }
    all.erase(0, std::min(end + 1, all.size()));
  }
}

// Of two that were answered the one asked for later has replaced the other.
bool Oracle::is_suspended(const TenantId& tenant) const {
  const auto said = suspensions.find(tenant);
  if (said == suspensions.end()) return false;
  bool is = false;
  for (const Suspension& one : said->second) {
    if (one.answered) {
      is = one.suspended;
    } else if (!one.suspended) {
      is = false;
    }
  }
  return is;
}

bool Oracle::comes_only_from_parked(const DeliverySeen& delivery) {
  const EventSeen& seen = *event(delivery.position);
  return seen.settled_at > 0 && !seen.again && !offsets_were_lost;
}

void Oracle::on_arrival(const Arrival& arrival) {
  ++arrivals_;
  time_.note([&] {
    return arrival.host + " hears of " + arrival.header("webhook-id") + " from process " +
           std::to_string(arrival.from->number) + ", stamped " +
           std::to_string(std::stoll("0" + arrival.header("webhook-timestamp")) - Timeline::kBorn / 1000) +
           " s";
  });
  const auto name = hosts_.find(arrival.host);
  if (name == hosts_.end()) broken("something arrived at " + arrival.host + ", which nobody declared");
  for (const IpAddress& address : arrival.request.to->addresses)
    if (AddressPolicy().refusal(address)) broken("a request may dial " + format_ip(address));
  const EndpointHistory& endpoint = endpoints.at(name->second);
  if (is_suspended(endpoint.tenant))
    broken("an attempt at " + arrival.host + ", whose tenant " + endpoint.tenant.str() + " is suspended");
  const WebhookId webhook(arrival.header("webhook-id"));
  const std::string stamp = arrival.header("webhook-timestamp");
  judge_time(arrival, std::stoll(stamp.empty() ? "0" : stamp));
  judge_signature(arrival, endpoint, webhook.str() + "." + stamp + ".");

  int life = 0;
  bool host_in_force = endpoint.uncertain;
  for (std::size_t i = 0; i < endpoint.changes.size(); ++i) {
    const Change& change = endpoint.changes[i];
    if (change.refused) continue;
    if (change.host == arrival.host && change.exists) life = change.life, host_in_force = true;
    if (change.host != arrival.host && change.answered && *change.answered <= time_.now &&
        !endpoint.uncertain) {
      host_in_force = false;
    }
  }
  if (!host_in_force) broken("an attempt at " + arrival.host + ", which is no URL of its endpoint any more");

  // Which deliveries can this be?
  bool one_may = false, a_partition_is_ours = false;
  DeliverySeen* only = nullptr;
  int candidates = 0;
  for (const Position& position : by_webhook_[webhook]) {
    EventSeen& seen = *event(position);
    const Publication& published = publications[seen.tag - 1];
    if (published.tenant != endpoint.tenant) continue;
    const Process* owner = group_.owner(position.partition);
    const auto lease = leased_at_.find({position.partition, {arrival.from->number, arrival.from->life}});
    const bool holds = lease != leased_at_.end() && time_.now <= lease->second + kSessionMs * 8 / 10;
    a_partition_is_ours |= holds && (owner == nullptr || owner == arrival.from);
    // A command that was asked for by now says that the endpoint takes it, and none answered before it was
    // published says the contrary.
    bool may = false;
    for (const Change& change : endpoint.changes) {
      if (change.refused) continue;
      if (change.answered && *change.answered <= seen.landed) may = false;
      if (change.life == life && matches(change, published)) may = true;
    }
    if (published.target) {
      const Life* known = life_of(published.target->incarnation);
      may = known != nullptr && known->endpoint == &endpoint && (known->number == life || endpoint.uncertain);
    }
    if (arrival.request.body->find("{\"id\":\"" + published.id + "\"") == std::string::npos)
      broken("an attempt at " + arrival.host + " of " + published.id +
             " carries something else: " + arrival.request.body->substr(0, 40));
    one_may |= may || endpoint.uncertain;
    ++candidates;
    for (const std::string& id : seen.deliveries) {
      DeliverySeen& one = deliveries_.at(id);
      const Life* known = life_of(one.incarnation);
      if (known && known->endpoint == &endpoint && known->number == life) only = &one;
    }
  }
  if (candidates == 0)
    broken("something arrived at " + arrival.host + " that nobody published for its tenant");
  if (!one_may)
    broken("an event arrived at " + arrival.host + ", which had not subscribed to it when it was published");
  if (!a_partition_is_ours) {
    broken("process " + std::to_string(arrival.from->number) + " sends to " + arrival.host +
           " though its lease has run out, or another owns the partition");
  }
  if (only != nullptr && candidates == 1 && only->parked && !only->parked->late && !endpoint.uncertain) {
    const Parked& parked = *only->parked;
    const auto epoch = epochs_.find(only->position.partition);
    // Its owner said so, or found it said when it took over. What had not settled by then may be read again.
    const bool knows =
        epoch != epochs_.end() &&
        (parked.epoch == epoch->second || (parked.at < epoch->second && comes_only_from_parked(*only)));
    if (knows && parked.due > time_.now) {
      broken("an attempt at " + arrival.host + " is " + std::to_string(parked.due - time_.now) +
             " ms early: " + only->id);
    }
  }
  if (only != nullptr && candidates == 1 && !only->parked && only->taken_off_by_owner &&
      !endpoint.uncertain && comes_only_from_parked(*only)) {
    broken("an attempt at " + arrival.host + " of " + only->id + ", which has settled and is not parked");
  }
  Arrived& arrived = arrived_[{webhook, life}];
  ++arrived.count;
  if (!arrival.answered_2xx) return;
  arrived.accepted.push_back(time_.now);
  const int excess = static_cast<int>(arrived.accepted.size()) - candidates;
  if (excess <= 0) return;
  // Each event may be accepted once. Of two published under one id, the fault may lie behind the first's
  // acceptance and show only when both have been accepted again: it is looked for from as many back as there
  // are events.
  ++repeats_;
  const std::int64_t before = arrived.accepted[static_cast<std::size_t>(excess) - 1];
  const bool excused = std::any_of(excuses_.begin(), excuses_.end(), [&](std::int64_t when) {
    return when >= before - kExcusesFor && when <= time_.now;
  });
  if (!excused) {
    broken("webhook " + webhook.str() + " of " + std::to_string(candidates) + " events was accepted by " +
           arrival.host + " " + std::to_string(arrived.accepted.size()) + " times without a fault since " +
           std::to_string(time_.now - before) + " ms ago");
  }
}

}  // namespace postrider::simulation
