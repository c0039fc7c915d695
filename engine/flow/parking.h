#pragma once
#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <set>

#include "engine/flow/active.h"
#include "engine/flow/dispatch.h"
#include "engine/flow/ownership.h"
#include "engine/flow/settle.h"
#include "engine/flow/view.h"

namespace postrider::flow {

// Brings parked deliveries back when they fall due, in time order and no more than memory allows; holds those
// of stopped endpoints, and drains them gently once enabled. Owned by the shard.
class Parking {
 public:
  Parking(Context& context, RegistryView& registry, Ownership& ownership, Dispatch& dispatch, Settle& settle,
          View& view, ActiveTable& active);

  // A partition begins to run: its rows are ours now.
  void start(OwnedPartition& partition);
  void drop(const OwnedPartition& partition);
  void tick(SteadyTime now);
  void on_fetched(std::uint64_t token, const Result<Record>& record);
  // The registry changed: endpoints that are enabled again get their held deliveries back.
  void registry_changed() { look_for_enabled_ = true; }
  std::size_t loaded() const { return loading_.size(); }
  SteadyTime next_wake(SteadyTime now);
  // How late the oldest due row is, in ms of log time.
  std::int64_t oldest_due_ms();

 private:
  void count_held(OwnedPartition& partition);
  void load_due(OwnedPartition& partition, SteadyTime now);
  // False: memory or a limit says not now, the cursor stays.
  bool bring_back(OwnedPartition& partition, const View::Due& row, SteadyTime now);
  // Its row moves: it is looked at again after `wait`.
  void later(OwnedPartition& partition, const ParkedState& state, std::int64_t due, Millis wait);
  void activate(const ParkedState& state, std::shared_ptr<ActiveEvent> event, std::int64_t due);
  std::shared_ptr<ActiveEvent> event_of(const OwnedPartition& partition, const ParkedState& state);
  std::shared_ptr<ActiveEvent> make_event(const OwnedPartition& partition, const ParkedState& state,
                                          Event event);
  void fetch(OwnedPartition& partition, const ParkedState& state, std::int64_t due);
  void without_payload(OwnedPartition& partition, const ParkedState& state, std::int64_t due,
                       DeadReason reason);
  void erased(OwnedPartition& partition, const ParkedState& state, std::int64_t due);
  void drain_held(SteadyTime now);
  ActiveDelivery& add(const ParkedState& state, std::shared_ptr<ActiveEvent> event, std::int64_t due);

  Context& context_;
  RegistryView& registry_;
  Ownership& ownership_;
  Dispatch& dispatch_;
  Settle& settle_;
  View& view_;
  ActiveTable& active_;
  struct Loading {
    Partition partition = 0;
    std::uint64_t generation = 0;
    ParkedState state;
    std::int64_t due = 0;
  };
  absl::flat_hash_map<std::uint64_t, Loading> loading_;  // payloads under way from `events`, by token
  absl::flat_hash_map<DeliveryId, std::uint64_t> loading_ids_;
  std::uint64_t last_token_ = 0;
  SteadyTime next_load_{};
  SteadyTime next_held_{};
  bool look_for_enabled_ = true;
};

}  // namespace postrider::flow
