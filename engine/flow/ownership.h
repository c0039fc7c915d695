#pragma once
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/flow/active.h"
#include "engine/flow/appender.h"
#include "engine/flow/owned_partition.h"
#include "engine/flow/registry_view.h"
#include "engine/flow/seen_filter.h"
#include "engine/flow/view.h"

namespace postrider::flow {

// Which partitions are ours, since when, and until when: takeover, the tail of `parked`, commits, lease
// (DESIGN §3, §7). Owned by the shard.
class Ownership {
 public:
  Ownership(Context& context, Appender& appender, View& view, ActiveTable& active, RegistryView& registry);

  void on_assigned(std::span<const Assignment> assigned);
  void on_revoked(std::span<const Partition> revoked, bool lost);
  void on_tail(const Record& record);
  void on_committed(Partition partition, Offset offset, SteadyTime sent_at, bool acknowledged);
  // Where `events` ends, as we ask in turn; `held`: polling is stopped on purpose.
  void on_end(Partition partition, Offset end, SteadyTime asked_at, bool held);
  void tick(SteadyTime now);
  SteadyTime next_tick() const { return next_tick_; }
  // Before the view's batch is written: positions go with the rows they stand for.
  void note_positions();
  bool restores() const;  // a partition's view is on its way to the end of `parked`
  void note_counts();

  // nullptr: not ours, or no longer that assignment.
  OwnedPartition* find(Partition partition);
  OwnedPartition* find(Partition partition, std::uint64_t generation);
  std::vector<OwnedPartition*> all();
  // Before every send and every produce of a partition's facts: ours, not superseded, and the lease holds.
  bool may_act(const OwnedPartition& partition, SteadyTime now) const;
  // The same for what waits in the appender; before a partition runs only its own assignment counts.
  bool may_append(const Appender::Owner& owner, SteadyTime now);

  // Tells it by a fact; nothing is committed past it before that stands.
  void lost_at_source(OwnedPartition& partition, Offset first, Offset last);
  void received(OwnedPartition& partition, Offset offset);
  // Answers to what a takeover asks of the log.
  static bool is_question(std::uint64_t token);
  void on_fetched(std::uint64_t token, const Result<Record>& record);
  void settled(OwnedPartition& partition, Offset offset);
  void settled(OwnedPartition& partition, const ActiveEvent& event);

  // `parked` records of ours, so that the tail can tell what is whose. Answered once, with the stamp it had.
  void append_parked(OwnedPartition& partition, const ParkedState& state, Appender::Answer answer);
  void append_tombstone(OwnedPartition& partition, const DeliveryId& id, Appender::Answer answer);

  // Hooks of the shard: a partition begins to run; nothing of it may be kept any more.
  std::function<void(OwnedPartition&)> on_running = [](OwnedPartition&) {};
  std::function<void(OwnedPartition&)> on_dropped = [](OwnedPartition&) {};
  std::function<void(OwnedPartition&, const ActiveEvent&)> on_settled = [](OwnedPartition&,
                                                                           const ActiveEvent&) {};
  // Whether anything of that partition is still being sent or recorded.
  std::function<bool(const OwnedPartition&)> is_busy = [](const OwnedPartition&) { return false; };
  // While it drains: what began of an event is to be told whole, or the next owner begins it again.
  std::function<void(OwnedPartition&)> on_draining = [](OwnedPartition&) {};
  // The drain's time is over: what is still in flight becomes an ambiguous attempt.
  std::function<void(OwnedPartition&)> on_drain_over = [](OwnedPartition&) {};

  // The log's identity; empty before the registry was read.
  LogIdentity identity() const;

  // Partitions that were refused, or in which something has stopped, in plain words.
  std::vector<std::string> complaints() const;
  void drain_all();
  bool empty() const { return owned_.empty(); }

 private:
  void open(OwnedPartition& partition);
  void follow(OwnedPartition& partition);  // the tail, from tail_next
  void rebuild(OwnedPartition& partition);
  void take_up_again(OwnedPartition& partition);
  void read_on(OwnedPartition& partition);
  void check_and_mark(OwnedPartition& partition);
  bool knows_source(OwnedPartition& partition);
  static Offset begin_of(const OwnedPartition& partition);
  std::optional<Error> refusal(const OwnedPartition& partition) const;
  void write_mark(OwnedPartition& partition);
  void marked(OwnedPartition& partition, const Appended& appended);
  void run(OwnedPartition& partition);
  bool restore_record(OwnedPartition& partition, const Record& record);  // false: the view failed
  void answer_if_foreign(OwnedPartition& partition, const Record& record);
  void answer(OwnedPartition& partition, OwnedPartition::Foreign word);
  static bool is_over(const OwnedPartition& partition, Offset event);
  Appender::Answer answer_to(OwnedPartition& partition, OwnedPartition::Foreign word);
  void answered(OwnedPartition& partition, const DeliveryId& id, const Appended& appended);
  static void forget_compacted(OwnedPartition& partition);
  enum class OwnWord { newest, superseded, astray };
  static OwnWord take_own(OwnedPartition& partition, const DeliveryId& id, std::uint64_t sequence, Offset at);
  void tell_lost(OwnedPartition& partition, SteadyTime now);
  void told_lost(OwnedPartition& partition, Offset first, bool acknowledged);
  void append_stamped(OwnedPartition& partition, NewRecord record, Stamp stamp, Appender::Answer answer);
  void said(OwnedPartition& partition, const DeliveryId& id, std::uint64_t sequence,
            const Appended& appended);
  void commit(OwnedPartition& partition, SteadyTime now);
  void ask_an_end(SteadyTime now);
  void tick_partition(OwnedPartition& partition, SteadyTime now);
  bool tick_drain(OwnedPartition& partition, SteadyTime now);  // true: over
  void drop(Partition partition);
  void forget_restored();

  Context& context_;
  Appender& appender_;
  View& view_;
  ActiveTable& active_;
  RegistryView& registry_;
  std::map<Partition, std::unique_ptr<OwnedPartition>> owned_;
  std::unique_ptr<SeenFilter> restored_;  // ids of what was restored into views that began with nothing
  std::map<std::uint64_t, std::pair<Partition, std::uint64_t>> questions_;  // by token: partition, generation
  std::uint64_t last_question_ = 0;
  std::uint64_t generations_ = 0;
  SteadyTime next_tick_{}, next_end_ask_{};
  std::map<Partition, std::string> complaints_;
};

}  // namespace postrider::flow
