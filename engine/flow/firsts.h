#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "engine/flow/ownership.h"
#include "engine/flow/view.h"

namespace postrider::flow {

// The index of first positions: by it a repeat is known (DESIGN §4). Owned by the shard.
//
// An event enters it when it has been routed to an endpoint; the view, once it has settled: what stands there
// is true whoever owns the partition next, and whatever an event that was read again is routed to then.
//
// The view may lack what others settled: it was lost, or the partition was another's. Then `attempts` is read
// back from its end, in small pieces and with rests in between, for as long as repeat_window. Only what
// *proves* that an event was routed counts: a success, or a delivery that is parked now. An event that
// matched nothing, was set aside, was itself a repeat or of which nothing is known has no such fact. A proof
// names neither the event's source nor its append time, so it is a hint: before an event is dropped because
// of it, Intake fetches what stands at that position and compares.
//
// How far back that goes is the view's Coverage, of which readiness and a metric tell. Until it is the whole
// window an event that is not known is delivered: at-least-once wins.
class Firsts {
 public:
  Firsts(Context& context, Ownership& ownership, View& view)
      : context_(context), ownership_(ownership), view_(view) {}

  bool wanted() const { return context_.config.repeat_window > Millis(0); }

  // --- Intake's
  void taken(OwnedPartition& partition, const Record& record);
  std::optional<View::First> find(const OwnedPartition& partition, const Hash128& key);
  // An event below that offset that may be the first of its kind: what stands there tells.
  std::optional<Offset> hint(const OwnedPartition& partition, const Event& event, Offset below);
  static bool is_unsettled(const OwnedPartition& partition, const Hash128& key) {
    return partition.firsts.unsettled.contains(key);
  }
  static void routed(OwnedPartition& partition, const Hash128& key, View::First first);
  void confirmed(const OwnedPartition& partition, const Hash128& key, View::First first);
  void settled(OwnedPartition& partition, const ActiveEvent& event);

  // --- how far it goes
  bool covers_window(const OwnedPartition& partition) const;
  Millis covered(const OwnedPartition& partition) const;
  // One sentence while a partition's index does not cover the window.
  std::optional<std::string> note();

  // --- rebuilding
  void start(OwnedPartition& partition);  // it begins to run
  void drop(const OwnedPartition& partition);
  // `room`: memory and time are not short.
  void tick(SteadyTime now, bool room);
  SteadyTime next_wake(SteadyTime now);
  void on_tail(const Record& record);  // of `attempts`
  void on_end(Partition partition, Offset end, SteadyTime asked_at);
  // Before the view's batch is written, as Ownership::note_positions().
  void note_coverage();

 private:
  using State = OwnedPartition::FirstPositions;
  std::optional<LogTime> oldest_to_come(const OwnedPartition& partition) const;
  bool lacks_something(const OwnedPartition& partition) const;
  OwnedPartition* next_lacking();
  static void begin_anew(OwnedPartition& partition, const std::optional<View::Coverage>& before);
  void go_on(OwnedPartition& partition, SteadyTime now);
  void scan_parked(OwnedPartition& partition, SteadyTime now);
  void read_piece(OwnedPartition& partition, SteadyTime now);
  void absorb(OwnedPartition& partition, const Record& record);
  void piece_read(OwnedPartition& partition);
  void end_piece();
  bool prove(OwnedPartition& partition, const DeliveryRef& delivery, LogTime appended);  // false: not now
  static void goes_back_to(State& state, LogTime since);

  Context& context_;
  Ownership& ownership_;
  View& view_;
  // What is being read of `attempts`: [from, to). One at a time.
  struct Piece {
    Partition partition = 0;
    Offset from = 0, to = 0;
    std::optional<LogTime> oldest;  // append time of its first record
    bool failed = false;            // the view failed meanwhile: it is read once more
    SteadyTime heard_at{};
  };
  std::optional<Piece> piece_;
  SteadyTime next_{};
  Partition last_ = -1;  // partitions take turns
};

}  // namespace postrider::flow
