#pragma once
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/core/fact.h"
#include "engine/core/watermark.h"
#include "engine/flow/active.h"
#include "engine/flow/view.h"
#include "engine/ports/log.h"

namespace postrider::flow {

// One partition of `events` while this instance owns it. Plain state; Ownership moves it through its phases:
//
// - opening: the view is asked for its position; waits while it cannot be read or wiped
// - reading: `parked` from the view's position to the end that stood at assignment: the last owner's mark
// - marking: our own mark is under way; its offset becomes the epoch
// - restoring: `parked` up to our mark
// - running: events come, deliveries go
// - draining: revoked; what is in flight is brought home, what waits of an event that has begun is parked
// - stopped: refused (offsets lost, source replaced); an operator decides
struct OwnedPartition {
  enum class Phase { opening, reading, marking, restoring, running, draining, stopped };

  Partition number = 0;
  std::uint64_t generation = 0;  // of this assignment: what an older one started is told by it
  Phase phase = Phase::opening;
  Assignment assignment;
  SteadyTime assigned_at{}, running_since{};
  std::optional<OwnerMark> last_mark;  // the newest before ours
  LogTime view_as_of{};                // of the view's position at assignment
  bool view_at_hand = false;
  // Whether what the last owner had read still stands where it stood.
  enum class Source { unknown, asked, same, replaced } source = Source::unknown;
  SteadyTime source_asked_at{};
  Offset source_looked_below = 0;       // how far below what was read, when nothing stands there
  std::optional<OwnerMark::Read> read;  // the newest event, by us or by the last owner
  bool from_nothing = false;            // it had no rows of this partition, and has what was restored since

  Offset epoch = -1;
  std::uint64_t sequence = 0;
  // When a higher mark of another instance was seen: nothing is sent or produced until a commit sent after it
  // is acknowledged. A former owner's mark may land late; a new owner's makes our commits fail.
  std::optional<SteadyTime> superseded_at;

  // --- our tail of `parked`
  Offset tail_next = 0;
  LogTime tail_appended{};
  bool tail_moved = false;
  bool tail_stalled = false;  // the view failed while a record was restored: read again from tail_next
  bool wipe_owed = false;     // and its rows are to be removed before
  std::uint64_t parked = 0;
  std::optional<View::Tail> noted;                    // as the view has it, or its batch
  std::uint64_t own_seen = 0;                         // highest own sequence read back
  absl::flat_hash_set<std::uint64_t> unacknowledged;  // own sequences on `parked`
  // Own words that were acknowledged before they were read back, by sequence: where they stand. What is read
  // of ours and is neither here nor unacknowledged was given up, or stands twice; below one of these it is
  // not the last. As many as the tail is behind.
  absl::flat_hash_map<DeliveryId, std::map<std::uint64_t, Offset>> unread;
  // Foreign words that ours must follow: not yet said (no lease, a broken view), and not yet acknowledged.
  // Our position stays below them, so that a restart sees them again.
  struct Foreign {
    DeliveryId id;
    std::optional<ParkedState> said;  // nullopt: a tombstone
    Offset at = 0;
  };
  std::vector<Foreign> unanswered;
  // By delivery: the words that wait for the answer that is under way. One at a time, or else each answer
  // whose acknowledgement is lost would be answered beside its repetition, and words would breed.
  absl::flat_hash_map<DeliveryId, std::vector<Foreign>> answering;
  // Foreign states of events that we have not read yet: for their deliveries' last words.
  absl::flat_hash_map<DeliveryId, std::vector<Foreign>> foreign;
  std::map<std::uint64_t, Foreign> seen_unacknowledged;  // own words, read back before their acknowledgement
  std::multiset<Offset> owed;

  // --- events
  Watermark watermark;
  SettledAbove settled_above;
  Offset next_event = 0;
  // Not settled, by offset: the head is parked under pressure. The table of deliveries owns them.
  std::map<Offset, std::weak_ptr<ActiveEvent>> unsettled;

  // --- first positions (flow/firsts.h)
  struct FirstPositions {
    // Routed and not settled yet: what is in the view has settled.
    absl::flat_hash_map<Hash128, View::First> unsettled;
    // Repeats of those, by the offset of their first: they settle after it.
    absl::flat_hash_map<Offset, std::vector<RepeatFact::Repeat>> repeats;
    View::Coverage coverage;
    bool moved = false;  // the coverage, since the view has it
    Offset start = 0;    // where this assignment began: from there on events are indexed as they settle
    LogTime started{};
    LogTime taken{};  // append time of the newest event that was taken
    // Once all below this offset has settled, the coverage's time may move on.
    std::optional<std::pair<Offset, LogTime>> sample;
    enum class Stage { scanning, waiting_for_end, reading } stage = Stage::scanning;
    std::string scanned;  // id of the last parked delivery that was looked at
    SteadyTime scanned_at{}, asked_at{};
    bool told = false;  // that the window is covered
  } firsts;

  // --- commits and lease
  std::optional<SteadyTime> lease_until;
  std::optional<SteadyTime> acknowledged_at;  // the newest acknowledgement of a commit
  SteadyTime settled_at{};                    // the newest offset; or the first to wait, when none did
  bool commit_under_way = false;
  SteadyTime commit_sent{};
  Offset committed = -1;  // acknowledged
  std::uint64_t settled_since_commit = 0;
  bool mark_names_offset = false;  // the newest mark of this assignment
  SteadyTime next_mark{};
  std::optional<SteadyTime> mark_again_at;  // the first one, which did not land

  // Gone from `events` before they were read: both ends count as received, and settle once that is told.
  struct Lost {
    Offset first, last;
    bool under_way = false;
  };
  std::vector<Lost> lost;

  // --- is it read?
  SteadyTime end_asked_at{};
  std::optional<SteadyTime> unanswered_since;  // where `events` ends
  std::optional<SteadyTime> astray_since;      // reading stands still elsewhere
  Offset known_end = 0, read_to = 0;

  // --- drain
  SteadyTime drain_until{};
  SteadyTime next_parking{};  // of what began and waits
  bool final_commit_sent = false;

  // --- due
  View::Due due_cursor;
  std::optional<std::int64_t> next_due;  // of the view, when known
  bool held_counted = false;             // what it holds of stopped endpoints is part of their counts

  Stamp next_stamp() { return {epoch, ++sequence}; }
};

}  // namespace postrider::flow
