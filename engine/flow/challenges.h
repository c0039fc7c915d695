#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "engine/core/registry.h"
#include "engine/flow/context.h"
#include "engine/flow/dispatch.h"
#include "engine/flow/ownership.h"
#include "engine/flow/registry_view.h"

namespace postrider::flow {

// Asks endpoints that have not proven themselves. A tenant can name any URL; nothing is delivered to it
// before whoever is behind it has agreed, by giving back a value that stood in a signed POST. The value is a
// fact of the endpoint (EndpointDef::sealed_challenge), and so is its absence: every instance knows who is
// asked still. One of them asks: the owner of the partition that the tenant's events are on. Owned by the
// shard.
class Challenges {
 public:
  Challenges(Context& context, RegistryView& registry, Ownership& ownership, Dispatch& dispatch)
      : context_(context), registry_(registry), ownership_(ownership), dispatch_(dispatch) {}

  void tick(SteadyTime now);
  void registry_changed() { next_look_ = {}; }
  bool is_ours(std::uint64_t token) const { return flights_.contains(token); }
  void on_outcome(std::uint64_t token, const Outcome& outcome);
  // As Dispatch::may_still_send().
  bool may_still_send(std::uint64_t token);
  SteadyTime next_wake() const { return std::max(next_tick_, next_look_); }

  // What this instance has heard, in a sentence; empty: it has not asked.
  std::string heard(const Endpoint& endpoint) const;

 private:
  struct Asked {
    std::string challenge;  // sealed: another one, and all begins anew
    LogTime resumed_at{};   // of its tenant: another one, and all begins anew too
    SteadyTime next{};
    std::uint32_t times = 0;
    bool in_flight = false;
    std::string heard;
    SteadyTime
        begun{};  // with the last challenge that was sent: a URL that goes to and fro is asked no more often
  };
  struct Flight {
    TenantId tenant;
    EndpointId endpoint;
    Incarnation incarnation;
    std::string challenge;  // sealed
    std::string value;
    Partition partition = 0;
    std::uint64_t generation = 0, version = 0;
  };
  void consider(const Endpoint& endpoint, SteadyTime now);
  bool has_place(const TenantId& tenant) const;
  void ask(const Endpoint& endpoint, Asked& asked, const OwnedPartition& partition, SteadyTime now);
  const OwnedPartition* asking_partition(const TenantId& tenant, SteadyTime now);
  void proven(const Endpoint& endpoint);

  Context& context_;
  RegistryView& registry_;
  Ownership& ownership_;
  Dispatch& dispatch_;
  std::map<Incarnation, Asked> asked_;
  std::map<std::uint64_t, Flight> flights_;
  std::uint64_t last_token_ = 0;
  std::pair<TenantId, EndpointId> asked_last_;  // who comes behind it has the next turn
  SteadyTime next_tick_{};                      // no sooner than that
  SteadyTime next_look_{};                      // somebody is to be asked, or a partition may have come
};

// What an endpoint's challenge is sealed under.
SealContext challenge_context(const Environment& environment, const EndpointDef& def);

}  // namespace postrider::flow
