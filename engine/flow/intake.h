#pragma once
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "engine/flow/active.h"
#include "engine/flow/dispatch.h"
#include "engine/flow/firsts.h"
#include "engine/flow/ownership.h"
#include "engine/flow/registry_view.h"
#include "engine/flow/schemas.h"
#include "engine/flow/settle.h"
#include "engine/flow/view.h"

namespace postrider::flow {

// From a record of `events` to deliveries: decode, judge, drop repeats, route. What is no event of ours
// becomes a dead letter with its raw bytes, and the partition goes on. Owned by the shard.
class Intake {
 public:
  Intake(Context& context, RegistryView& registry, Ownership& ownership, Dispatch& dispatch, Settle& settle,
         View& view, ActiveTable& active, Firsts& firsts, Schemas& schemas);

  void on_event(Record record);
  void on_lost(Partition partition, Offset first, Offset next);
  // Works off what came, as long as the registry is fresh.
  void pump(SteadyTime now);
  void drop(const OwnedPartition& partition);
  // An event that was routed has settled: what repeats it may.
  void first_settled(OwnedPartition& partition, Offset first);
  void on_fetched(std::uint64_t token, const Result<Record>& record);
  // Whether that answer is ours: of a first position that is looked at.
  static bool is_look(std::uint64_t token);
  SteadyTime next_wake(SteadyTime now) const;
  std::size_t waiting() const { return queue_.size() + later_.size() + looks_.size(); }
  std::size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  // `since`: when it was first taken. `looked`: what stands at its first position, if there may be one, was
  // looked at.
  void take(OwnedPartition& partition, Record& record, SteadyTime since, bool looked = false);
  // nullopt: settled otherwise, or waiting for its key.
  std::optional<Event> decode(OwnedPartition& partition, Record& record, SteadyTime since);
  // True: it breaks its type's schema, and has become a dead letter.
  bool breaks_schema(OwnedPartition& partition, const Record& record, const Event& event,
                     const std::vector<const Endpoint*>& endpoints);
  Result<Event> open_sealed(const Event& replay);
  bool is_repeat(OwnedPartition& partition, const Record& record, const Event& event, const Hash128& key);
  // True: the record waits until what stands at a proven position was fetched.
  bool look_at_first(OwnedPartition& partition, Record& record, const Event& event, const Hash128& key,
                     SteadyTime since);
  void go_on_with_looked_at(SteadyTime now);
  // The key in the index of what stands there; nullopt: no event of ours, or it cannot be opened now.
  std::optional<Hash128> key_of(const Record& record);
  void make_deliveries(OwnedPartition& partition, const Record& record, Event event,
                       const std::vector<const Endpoint*>& endpoints, const Hash128& key);
  void cancel(OwnedPartition& partition, const Record& record, const Event& event, CancelReason reason);
  void wait(Record record, SteadyTime since);
  void retry_later(SteadyTime now);

  Context& context_;
  RegistryView& registry_;
  Ownership& ownership_;
  Dispatch& dispatch_;
  Settle& settle_;
  View& view_;
  ActiveTable& active_;
  Firsts& firsts_;
  Schemas& schemas_;
  struct Queued {
    Record record;
    std::optional<Offset> lost_from;  // no record: what stood from there up to record.offset is gone
  };
  std::deque<Queued> queue_;
  std::size_t waiting_bytes_ = 0;
  struct Later {
    Record record;
    SteadyTime since;
  };
  std::vector<Later> later_;  // replays whose key is not here yet, and what came while the view failed
  SteadyTime next_later_{};
  struct Look {
    Record record;
    SteadyTime since;
    Hash128 key;
    Position first;
    SteadyTime until;             // then it is delivered: perhaps a repeat
    std::optional<LogTime> same;  // it is the same event, appended then
    bool answered = false;
    std::optional<SteadyTime> again_at;  // the log did not answer
  };
  std::map<std::uint64_t, Look> looks_;  // by token: in the order of their records
  std::uint64_t last_look_ = 0;
  bool any_answered_ = false;
};

}  // namespace postrider::flow
