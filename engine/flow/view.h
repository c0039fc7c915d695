#pragma once
#include <absl/container/flat_hash_map.h>

#include <bitset>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/fact.h"
#include "engine/core/ids.h"
#include "engine/core/registry.h"
#include "engine/core/result.h"
#include "engine/flow/context.h"
#include "engine/ports/store.h"

namespace postrider::flow {

// The view's rows and their keys: what is quick to ask for and can be built again from the log. Changes
// gather in one batch, written by flush() at the end of each step; a read that needs them finds them in it or
// flushes first.
//
// Keys (numbers big-endian, so that order is numeric order):
//   parked   partition(4) delivery id            → ParkedRecord as on the log
//   due      partition(4) due ms(8) delivery id  → empty
//   held     partition(4) incarnation 0 delivery id → expiry ms(8): where its due row stands
//   claims   partition(4) offset(8) webhook-id 0 → ttl(8) sealed event
//            … 0 delivery id                     → ttl(8): a parked delivery that needs it
//   history  delivery id 0 epoch(8) sequence(8)  → ttl(8) AttemptRecord
//            delivery id 1                       → ttl(8) DeadLetterRecord without its payload
//            delivery id 2                       → ttl(8): ended, and nothing more is known
//   index    "w" webhook-id 0 partition(4) offset(8) 0 number(8)      → ttl(8) delivery ids, each and \n
//            "w" webhook-id 0 partition(4) offset(8) 1 delivery id    → ttl(8) that id and \n
//            "e" event id 0 webhook-id           → ttl(8)
//   repeats  partition(4) key(16)                → ttl(8) offset(8) append time ms(8)
//            partition(4) proof key(16) "p"      → ttl(8) offset(8) its proof's append time ms(8)
//   meta     "tail" partition(4)                 → next offset(8) append time ms(8) count(8)
//            "mark" partition(4)                 → ParkedRecord: the newest owner mark seen
//            "firsts" partition(4)               → Coverage: next(8) time ms(8) since ms(8) read to(8)
//                                                  older since ms(8) older until ms(8)
//            "probe"                             → nothing: written to see whether the disk takes writes
//            again "log"                               → identity of the log this is a view of
// FOR EVER: a change of a key or a value is a new format version (engine/rocks refuses older ones).
class View {
 public:
  explicit View(Context& context) : context_(context) {}

  // An error of the store is kept, said once, and ends intake (readiness names it).
  Result<void> flush(bool sync = false);
  // The same of a large batch whose writing nobody waits for; its error comes with a later call.
  Result<void> flush_behind();
  std::size_t waiting() const { return batch_.ops.size(); }
  // Hook of the owner of positions: what belongs into the batch that is about to be written.
  std::function<void()> before_flush = [] {};
  const std::optional<Error>& broken() const { return broken_; }
  // Some of its bytes are not what was written: no waiting mends that, it must be wiped and built again.
  bool damaged() const { return damaged_; }

  // --- parked deliveries and when they are due
  std::optional<ParkedState> parked(const DeliveryId& id);
  // Writes the state and moves its due row from `old_due`.
  void put_parked(const ParkedState& state, std::optional<std::int64_t> old_due);
  // The same of a record that was read: `bytes` are those of `state`.
  void put_parked(const ParkedState& state, std::string bytes, std::optional<std::int64_t> old_due);
  void erase_parked(const DeliveryRef& ref, std::optional<std::int64_t> due);
  void erase_due(Partition partition, std::int64_t due, const DeliveryId& id);
  void move_due(const DeliveryRef& ref, std::int64_t from, std::int64_t to);
  // The row's own note of where its due row stands now; the log's state keeps its due.
  void put_due(ParkedState state, std::int64_t due);
  struct Due {
    std::int64_t due = 0;
    DeliveryId id;
    auto operator<=>(const Due&) const = default;
  };
  // Rows from `from` (inclusive) due by `until`, oldest first, at most `limit`.
  std::vector<Due> due(Partition partition, const Due& from, std::int64_t until, std::size_t limit);
  std::optional<std::int64_t> next_due(Partition partition, const Due& from);

  // --- held: parked deliveries of a stopped endpoint; their due row stands at their expiry meanwhile
  void hold(const DeliveryRef& ref, std::int64_t due, std::int64_t expiry);
  void unhold(const DeliveryRef& ref);
  bool is_held(const DeliveryRef& ref);
  std::vector<DeliveryId> held(Partition partition, const Incarnation& incarnation, std::size_t limit);
  std::map<Incarnation, std::uint64_t> held_counts(Partition partition);

  // --- claim checks
  // Of an event at its position: where a topic was made again another one stands there now.
  void put_claim(Position position, const WebhookId& event, const DeliveryId& id, std::string_view sealed,
                 std::int64_t expiry);
  std::optional<std::string> claim(Position position, const WebhookId& event);
  // True: nobody needed it any more.
  bool drop_claim(Position position, const WebhookId& event, const DeliveryId& id);

  // --- history
  void put_attempt(const DeliveryId& id, Stamp stamp, std::string_view record);
  // Where an event's deliveries are found by its ids: all of them when it is routed, one when it is loaded
  // here from `parked`, perhaps after a takeover.
  void put_index(const WebhookId& webhook_id, const std::string& event_id, Position position,
                 const std::vector<DeliveryId>& ids);
  void put_index_of(const DeliveryRef& ref);
  // Of a delivery whose last fact was not seen here.
  void put_end(const DeliveryRef& ref, LogTime ended);
  void put_dead(const DeadLetter& letter);
  void put_cancelled(const CancelledFact& fact, std::string_view record);
  bool has_ended(const DeliveryId& id);
  struct History {
    std::vector<std::string> attempts;  // AttemptRecord bytes
    std::optional<std::string> dead;    // DeadLetterRecord bytes
    bool ended = false;
  };
  History history(const DeliveryId& id);
  std::vector<DeliveryId> deliveries_of(std::string_view webhook_or_event_id);

  // --- repeats
  struct First {
    Offset offset = 0;
    LogTime appended{};
  };
  std::optional<First> first_position(Partition partition, const Hash128& key);
  void put_first_position(Partition partition, const Hash128& key, First first);
  // Of events that `attempts` or `parked` prove to have been routed: `appended` is the proof's, not before
  // the event's. What stands at that offset of `events` tells whether it is the same event.
  std::optional<First> proven_position(Partition partition, const Hash128& proof_key);
  void put_proven_position(Partition partition, const Hash128& proof_key, First proven);
  // Parked deliveries in the order of their ids, those behind `after`; `after` is moved on. At most `limit`.
  std::vector<ParkedState> parked_behind(Partition partition, std::string& after, std::size_t limit);
  // Which events the first positions are complete for.
  struct Coverage {
    Offset next = 0;      // all that were routed, appended from `since` on, and lie below this offset
    LogTime time{};       // events from `next` on were appended at this time or later
    LogTime since{};      // 0: as far back as the log goes
    Offset read_to = -1;  // `attempts` was read back to this offset for it; -1: not begun
    LogTime older_since{}, older_until{};  // another span before: it is whole again once since <= until
    bool operator==(const Coverage&) const = default;
  };
  std::optional<Coverage> coverage(Partition partition);
  void put_coverage(Partition partition, const Coverage& coverage);

  // --- positions
  struct Tail {
    Offset next = 0;     // of `parked`
    LogTime appended{};  // of the last record applied
    std::uint64_t parked = 0;
  };
  std::optional<Tail> tail(Partition partition);
  void put_tail(Partition partition, const Tail& tail);
  std::optional<OwnerMark> mark(Partition partition);
  void put_mark(Partition partition, const OwnerMark& mark);
  // Forgets all of one partition but its history. False: not all of it could be removed.
  bool wipe(Partition partition);

 private:
  void put(Family family, std::string key, std::string value);
  void erase(Family family, std::string key);
  void settle_down(Family family);
  void flushed();
  std::optional<std::string> get(Family family, std::string_view key);
  std::optional<std::string> get_stored(Family family, std::string_view key);
  void put_parked_row(const DeliveryId& id, std::string bytes);
  void scan(Family family, const std::string& from, const std::string& to,
            const std::function<bool(std::string_view, std::string_view)>& each);
  void put_ttl(Family family, std::string key, std::int64_t expiry, std::string_view value);
  void put_index_row(const WebhookId& webhook_id, const std::string& event_id, Position position,
                     const std::string& part, std::string_view ids);
  std::int64_t history_expiry() const;
  void broke(const Error& error);

  Context& context_;
  StoreBatch batch_;
  std::bitset<kFamilyCount> dirty_;                             // what it changes
  absl::flat_hash_map<std::string, std::size_t> fresh_parked_;  // its newest change of a row of `parked`
  std::size_t batched_claims_ = 0;                              // bytes of payloads in it
  std::optional<First> first_row(const std::string& row);
  void put_first_row(std::string row, First first);
  std::map<std::string, First> fresh_first_;  // put since the last flush
  std::optional<Error> broken_;
  bool damaged_ = false;
};

}  // namespace postrider::flow
