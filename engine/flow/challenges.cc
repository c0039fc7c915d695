#include "engine/flow/challenges.h"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/core/challenge.h"
#include "engine/core/partitioner.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr Millis kChallengeLook{200}, kLookForPartitions{5000};
constexpr Millis kFirstAgain{10'000}, kAgainMost = std::chrono::hours(6);
constexpr Millis kAskedFor = std::chrono::hours(72);
// Of all, and of one tenant: whose receivers hang holds up its own.
constexpr std::size_t kAskedAtOnce = 16, kAskedAtOnceOfTenant = 2;
constexpr Millis kNoSooner{60'000};
constexpr std::uint64_t kChallengeToken = std::uint64_t{1} << 63;

Millis again_after(std::uint32_t times) {
  Millis wait = kFirstAgain;
  for (std::uint32_t i = 1; i < times && wait < kAgainMost; ++i) wait *= 3;
  return std::min(wait, kAgainMost);
}

std::string sentence_of(const Outcome& outcome) {
  if (outcome.status == 0) return "no answer: " + std::string(code_of(outcome.error));
  const std::string status = "HTTP " + std::to_string(outcome.status);
  return outcome.status / 100 == 2 ? status + " without the challenge" : status;
}

}  // namespace

SealContext challenge_context(const Environment& environment, const EndpointDef& def) {
  return {environment, def.tenant, format_target({def.id, def.incarnation}), "challenge"};
}

const OwnedPartition* Challenges::asking_partition(const TenantId& tenant, SteadyTime now) {
  const Partition partitions = context_.ports.log.partitions();
  if (partitions <= 0) return nullptr;
  const OwnedPartition* partition = ownership_.find(murmur2_partition(tenant.str(), partitions));
  const bool runs = partition && partition->phase == OwnedPartition::Phase::running;
  return runs && ownership_.may_act(*partition, now) ? partition : nullptr;
}

void Challenges::tick(SteadyTime now) {
  if (now < next_tick_ || !registry_.fresh(now)) return;
  next_tick_ = now + kChallengeLook;
  next_look_ = now + kAgainMost;
  const Registry& registry = registry_.registry();
  if (registry.unproven().empty() && asked_.empty()) return;
  next_look_ = now + kLookForPartitions;
  const auto& unproven = registry.unproven();
  const auto first = unproven.upper_bound(asked_last_);
  std::set<Incarnation> seen;
  const auto look = [&](auto from, auto to) {
    for (; from != to; ++from) {
      const Endpoint* endpoint = registry.find(from->first, from->second);
      if (!endpoint) continue;
      seen.insert(endpoint->def.incarnation);
      consider(*endpoint, now);
    }
  };
  look(first, unproven.end());
  look(unproven.begin(), first);
  std::erase_if(asked_, [&](const auto& one) { return !seen.contains(one.first) && !one.second.in_flight; });
}

void Challenges::consider(const Endpoint& endpoint, SteadyTime now) {
  const EndpointDef& def = endpoint.def;
  const OwnedPartition* partition = asking_partition(def.tenant, now);
  if (!partition || def.disabled || endpoint.suspended.stop != Stop::none) return;
  Asked& asked = asked_[def.incarnation];
  if (asked.challenge != def.sealed_challenge || asked.resumed_at != endpoint.resumed_at) {
    const SteadyTime next = asked.begun == SteadyTime{} ? now : std::max(now, asked.begun + kNoSooner);
    asked = {def.sealed_challenge, endpoint.resumed_at, next, 0, asked.in_flight, "", asked.begun};
  }
  // While its tenant was suspended nobody could answer: the time counts anew from then.
  const bool asked_long_enough =
      context_.ports.clock.wall() - from_ms<WallTime>(def.challenged_at) >= kAskedFor &&
      context_.log_now() - endpoint.resumed_at >= kAskedFor;
  if (asked_long_enough) return;
  if (!asked.in_flight && now >= asked.next && has_place(def.tenant)) ask(endpoint, asked, *partition, now);
  if (!asked.in_flight) next_look_ = std::min(next_look_, asked.next);
}

bool Challenges::has_place(const TenantId& tenant) const {
  const auto of_tenant = std::count_if(flights_.begin(), flights_.end(),
                                       [&](const auto& one) { return one.second.tenant == tenant; });
  return flights_.size() < kAskedAtOnce && static_cast<std::size_t>(of_tenant) < kAskedAtOnceOfTenant;
}

void Challenges::ask(const Endpoint& endpoint, Asked& asked, const OwnedPartition& partition,
                     SteadyTime now) {
  auto value = context_.ports.keys.open(challenge_context(context_.config.environment, endpoint.def),
                                        endpoint.def.sealed_challenge);
  if (!value) return;  // its key is not here yet
  const std::string text(value->reveal());
  auto ready = dispatch_.prepare_unsent(endpoint, challenge_event(endpoint.def, text), now);
  using Kind = Dispatch::Unsent::Kind;
  if (ready.kind == Kind::later) return;
  if (++asked.times == 1) asked.begun = now;
  asked_last_ = {endpoint.def.tenant, endpoint.def.id};
  asked.next = now + again_after(asked.times);
  if (ready.kind == Kind::no_address) {
    asked.heard = "its name leads to no address that may be dialled";
    return;
  }
  ready.request.headers.push_back({std::string(kChallengeHeader), text});
  const std::uint64_t token = kChallengeToken | ++last_token_;
  flights_.emplace(token, Flight{endpoint.def.tenant, endpoint.def.id, endpoint.def.incarnation,
                                 endpoint.def.sealed_challenge, text, partition.number, partition.generation,
                                 endpoint.version});
  asked.in_flight = true;
  context_.ports.transport.send(std::move(ready.request), token);
}

bool Challenges::may_still_send(std::uint64_t token) {
  const auto at = flights_.find(token);
  if (at == flights_.end()) return false;
  const SteadyTime now = context_.steady();
  const OwnedPartition* partition = ownership_.find(at->second.partition, at->second.generation);
  if (!partition || !ownership_.may_act(*partition, now) || !registry_.fresh(now)) return false;
  const Endpoint* endpoint = registry_.registry().find(at->second.tenant, at->second.endpoint);
  return endpoint && endpoint->version == at->second.version;
}

void Challenges::on_outcome(std::uint64_t token, const Outcome& outcome) {
  const auto at = flights_.find(token);
  if (at == flights_.end()) return;
  const Flight flight = std::move(at->second);
  flights_.erase(at);
  const auto asked = asked_.find(flight.incarnation);
  if (asked == asked_.end()) return;
  asked->second.in_flight = false;
  next_look_ = {};  // there is a place
  const Endpoint* endpoint = registry_.registry().find(flight.tenant, flight.endpoint);
  if (!endpoint || endpoint->def.incarnation != flight.incarnation) return;
  if (endpoint->def.sealed_challenge != flight.challenge) return;  // proven otherwise, or asked anew
  if (outcome.error == AttemptError::ambiguous) {
    asked->second.next = context_.steady();  // cut off by us, or not sent
    return;
  }
  if (gives_back(outcome, flight.value)) return proven(*endpoint);
  asked->second.heard = sentence_of(outcome);
  context_.ports.observer.note(
      "info", "endpoint_unverified",
      flight.tenant.str() + "/" + flight.endpoint.str() + " was challenged: " + asked->second.heard, nullptr);
}

// Another instance, or a person, may have been quicker, or the endpoint has changed: then nothing is changed
// by this, and the registry says what is to be asked now.
void Challenges::proven(const Endpoint& endpoint) {
  EndpointDef def = endpoint.def;
  def.replaces = def.revision++;
  def.sealed_challenge.clear();
  def.proven_by = "challenge";
  def.changed_by = "postrider";
  def.changed_at = to_ms(context_.ports.clock.wall());
  registry_.write(def_key(def.tenant, def.id), wire::encode(context_.config.environment, def),
                  [this, def](Result<bool> applied) {
                    if (!applied || !*applied) return;
                    const Endpoint* now = registry_.registry().find(def.tenant, def.id);
                    if (!now || now->suspended.stop == Stop::none)
                      context_.ports.observer.endpoint_changed(def.tenant, def.id, Stop::none, "proven");
                  });
}

std::string Challenges::heard(const Endpoint& endpoint) const {
  const auto asked = asked_.find(endpoint.def.incarnation);
  return asked == asked_.end() || asked->second.challenge != endpoint.def.sealed_challenge
             ? std::string()
             : asked->second.heard;
}

}  // namespace postrider::flow
