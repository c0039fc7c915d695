#pragma once
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "engine/core/slab.h"
#include "engine/core/turn_meter.h"
#include "engine/flow/active.h"
#include "engine/flow/endpoint_state.h"
#include "engine/flow/fair_round.h"
#include "engine/flow/ownership.h"
#include "engine/flow/registry_view.h"
#include "engine/flow/request_maker.h"
#include "engine/flow/settle.h"

namespace postrider::flow {

// Admits deliveries into their endpoints' queues and sends them: signed with the time of this attempt, to an
// address that was vetted, within the endpoint's limits. Owned by the shard.
class Dispatch {
 public:
  Dispatch(Context& context, RegistryView& registry, Ownership& ownership, Settle& settle,
           ActiveTable& active);

  // Into the queue, or parked without an attempt: endpoint stopped, breaker open or queue full (DESIGN §2
  // step 4).
  void admit(ActiveDelivery& delivery);
  // Whether a due delivery of that endpoint would be admitted, for it has room and its tenant its share of
  // the memory; else when to look again.
  struct Room {
    enum class Kind { yes, later, stopped, gone } kind = Kind::yes;
    Millis wait{0};
  };
  Room room(const TenantId& tenant, const Target& target, SteadyTime now);

  // The shard's turns, which say how many attempts at once are of use.
  void turn_begins(SteadyTime now) { turns_.begin(now); }
  void turn_ends(SteadyTime now) { turns_.end(now); }

  // A request to that endpoint which is no delivery, signed and ready to go; or not yet, for its name is
  // looked up or a key is away.
  struct Unsent {
    enum class Kind { ready, later, no_address } kind = Kind::later;
    HttpRequest request;
  };
  Unsent prepare_unsent(const Endpoint& endpoint, const Event& event, SteadyTime now);

  // Sends what may be sent.
  void pump(SteadyTime now);
  void on_outcome(std::uint64_t token, const Outcome& outcome);
  // The lease still holds, the partition is ours, and the endpoint is still what it was when this was signed:
  // asked when the first byte is about to leave.
  bool may_still_send(std::uint64_t token);
  void on_resolved(std::uint64_t token, const Result<Resolved>& resolved);

  // The drain is over: the partition's attempts under way count as ambiguous.
  void give_up_in_flight(Partition partition);
  // New events had better wait: a queue is half full and empties, quickly, within about a second, or enough
  // is queued that waits for nothing but ourselves.
  bool wants_pause(SteadyTime now);
  void stop_sending(bool stopped) { stopped_ = stopped; }
  // Parks what is queued (not in flight) of one event: pressure on the head of a window.
  void park_queued(const ActiveEvent& event, Millis wait);
  // Whether something of it was sent, while something else still waits.
  bool has_begun(const ActiveEvent& event) const;

  EndpointState& state(const TenantId& tenant, const Target& target);
  EndpointState* known(const Incarnation& incarnation);
  const absl::flat_hash_map<Incarnation, std::unique_ptr<EndpointState>>& states() const { return states_; }
  std::size_t in_flight() const { return flights_.size(); }
  std::size_t in_flight(Partition partition) const;
  std::size_t queued() const { return queued_; }
  std::size_t silent_in_flight() const { return silent_flights_; }
  std::uint64_t slowed(SteadyTime now) const;  // endpoints that get less than they were declared with
  // Stopped by the registry, or by what we have seen ourselves and not yet read back.
  Stop stop_of(const Endpoint& endpoint, EndpointState& state) const;
  SteadyTime next_wake(SteadyTime now) const;

 private:
  struct Flight {
    EndpointState* endpoint = nullptr;
    std::uint64_t serial = 0;
    Partition partition = 0;
    AttemptMade made;
    std::uint64_t version = 0;  // of the endpoint in the registry, as it was signed
    bool abandoned = false;     // already recorded as ambiguous
    bool outdated = false;      // not sent: the endpoint changed while it connected
  };

  void list(EndpointState& state);
  void wake(SteadyTime now);
  // `idle`: until something happens to the endpoint; `wait`: look again then; `share`: until those who are
  // silent have a flight to spare.
  struct Pumped {
    enum class Kind { more, idle, wait, share } kind = Kind::idle;
    SteadyTime until{};
  };
  std::size_t pump_next(SteadyTime now);
  Pumped pump_front(EndpointState& state, ActiveDelivery& delivery, SteadyTime now);
  ActiveDelivery* front(EndpointState& state);
  void pop_front(EndpointState& state);
  const Endpoint* declared(EndpointState& state);  // nullptr: deleted
  void begin_as_told(EndpointState& state, const Endpoint& endpoint);
  // Whether one more attempt may be under way; else what is in the way: its own limit, that we are slower
  // than it, that few flights are left, or that the silent ones have their share of them.
  enum class InFlight { has_room, its_limit, our_pace, scarce, silent_share };
  InFlight in_flight_of(EndpointState& state, SteadyTime now) const;
  std::size_t of_use_at_once() const;
  std::size_t share_of(const EndpointState& state) const;
  bool answered_lately(const EndpointState& state, SteadyTime now) const;
  std::size_t silent_flights_left() const;
  void set_silent(EndpointState& state, bool silent);
  std::optional<Pumped> held_by_pace(EndpointState& state, SteadyTime now);
  void learn(EndpointState& state, const Outcome& outcome, Flight& flight);
  void send(EndpointState& state, ActiveDelivery& delivery, SteadyTime now);
  void settle_outcome(EndpointState& state, ActiveDelivery& delivery, const Outcome& outcome,
                      const AttemptMade& made);
  void note_health(EndpointState& state, Partition partition, const Outcome& outcome, const Verdict& verdict,
                   LogTime now);
  void note_breaker(EndpointState& state, const Outcome& outcome, const Verdict& verdict);
  void park_all(EndpointState& state, Millis wait);
  bool a_queue_fills(SteadyTime now);
  bool has_enough_ahead(SteadyTime now);
  Room room_of(EndpointState& state, SteadyTime now);
  // Of its queue, by number or by bytes.
  bool is_full(const EndpointState& state, const Endpoint& endpoint) const;
  bool is_half_full(const EndpointState& state) const;  // of one that has been looked up
  void adopt(EndpointState& state, const Endpoint& endpoint);
  EndpointHealth& health_of(EndpointState& state, Partition partition);
  Millis spread(Millis wait);

  Context& context_;
  RegistryView& registry_;
  Ownership& ownership_;
  Settle& settle_;
  ActiveTable& active_;
  absl::flat_hash_map<Incarnation, std::unique_ptr<EndpointState>> states_;
  absl::flat_hash_map<TenantId, std::unique_ptr<TenantTurn>> tenants_;
  FairRound round_;  // endpoints with queued deliveries, in turn
  Slab<Flight> flights_;
  RequestMaker maker_;
  TurnMeter turns_;
  std::size_t queued_ = 0;
  bool stopped_ = false;
  absl::flat_hash_set<EndpointState*> half_full_;
  absl::flat_hash_set<EndpointState*> paced_;  // more would be sent to them if we were faster
  SteadyTime next_pace_look_{};
  bool enough_ahead_ = false;
  struct Waiting {
    SteadyTime until;
    EndpointState* state;
    bool operator<(const Waiting& other) const { return until > other.until; }
  };
  std::vector<Waiting> waiting_;               // for a rate, a lease or a key: a heap, the next one first
  std::size_t flying_ = 0;                     // endpoints with an attempt under way
  std::size_t flying_tenants_ = 0;             // and their tenants
  std::size_t silent_flights_ = 0;             // those of silent endpoints
  std::deque<EndpointState*> silent_waiting_;  // for one of them to end
};

}  // namespace postrider::flow
