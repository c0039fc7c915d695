#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "engine/flow/active.h"
#include "engine/flow/dispatch.h"
#include "engine/flow/ownership.h"
#include "engine/flow/registry_view.h"
#include "engine/flow/settle.h"
#include "engine/flow/view.h"

namespace postrider::flow {

// From a record of `events` to deliveries: decode, judge, drop repeats, route. What is no event of ours
// becomes a dead letter with its raw bytes, and the partition goes on. Owned by the shard.
class Intake {
 public:
  Intake(Context& context, RegistryView& registry, Ownership& ownership, Dispatch& dispatch, Settle& settle,
         View& view, ActiveTable& active);

  void on_event(Record record);
  // Works off what came, as long as the registry is fresh.
  void pump(SteadyTime now);
  void drop(const OwnedPartition& partition);
  std::size_t waiting() const { return queue_.size() + sealed_.size(); }
  std::size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  // `since`: when it was first taken.
  void take(OwnedPartition& partition, Record& record, SteadyTime since);
  // nullopt: settled otherwise, or waiting for its key.
  std::optional<Event> decode(OwnedPartition& partition, Record& record, SteadyTime since);
  bool is_repeat(OwnedPartition& partition, const Record& record, const Event& event);
  void note_first(OwnedPartition& partition, const Record& record, const Event& event);
  void make_deliveries(OwnedPartition& partition, const Record& record, Event event,
                       const std::vector<const Endpoint*>& endpoints);
  void cancel(OwnedPartition& partition, const Record& record, const Event& event, CancelReason reason);
  void retry_sealed(SteadyTime now);

  Context& context_;
  RegistryView& registry_;
  Ownership& ownership_;
  Dispatch& dispatch_;
  Settle& settle_;
  View& view_;
  ActiveTable& active_;
  std::deque<Record> queue_;
  std::size_t waiting_bytes_ = 0;
  struct Sealed {
    Record record;
    SteadyTime since;
  };
  std::vector<Sealed> sealed_;  // replays whose key is not here yet
  SteadyTime next_sealed_{};
};

}  // namespace postrider::flow
