#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/operations/desk.h"
#include "engine/operations/event_account.h"

// The proof that nothing is lost, from the log alone: every event of a span × every endpoint that it matched
// under the registry version it was last routed under is delivered, parked, dead or cancelled; or in
// progress, while its event has not settled. Daemons may run meanwhile.
//
// Memory is bounded: facts are sorted on disk when they are many (fact_rows.h).
namespace postrider {

struct ReconcileRequest {
  // By append time, unix ms, [since, until). 0: from the oldest event whose facts are all retained; up to
  // now.
  std::int64_t since = 0, until = 0;
  // What our topics hold for at least so long, whatever else they no longer hold. 0: not known.
  Millis kept_for{0};
  bool untold_too = false;             // with since 0: the events before, whose facts may have been removed
  TenantId tenant;                     // empty: all
  std::optional<Partition> partition;  // of `events`; nullopt: all
  Offset from = 0;                     // events below are left out: with `partition`
  // What the group has committed: events below have settled. nullopt: nothing.
  std::function<Result<std::optional<Offset>>(Partition)> committed;
};

struct ReconcileTotals {
  std::uint64_t events = 0;
  std::uint64_t no_match = 0, repeats = 0, set_aside = 0;  // of the events: those that made no delivery
  std::uint64_t delivered = 0, parked = 0, dead = 0, cancelled = 0;  // deliveries
  std::uint64_t in_progress = 0;  // deliveries, or events not yet routed, that have not settled
  std::uint64_t unaccounted = 0;  // deliveries, or events of which no fact speaks
  std::uint64_t beyond_evidence =
      0;  // deliveries that only a dead letter older than are kept can have told of
  std::uint64_t lost_at_source = 0;     // offsets that retention took before they were read
  std::uint64_t repeats_unchecked = 0;  // whose first event is no longer there to compare, or too many to
  bool operator==(const ReconcileTotals&) const = default;
};

struct Unaccounted {
  Position position;
  TenantId tenant;  // empty, as the others: not known
  std::string event_id;
  EndpointId endpoint;  // empty: the event as a whole
  DeliveryId delivery;
  Gap gap = Gap::no_fact;
};

// What is told while it goes on. Any may be empty.
struct ReconcileWatch {
  std::function<void(const Unaccounted&)> unaccounted;
  std::function<void(Position)> in_progress;                            // events, in order of each partition
  std::function<void(std::uint64_t done, std::uint64_t all)> progress;  // records
};

// BEYOND_RETENTION (not_found): `events` or `attempts` no longer hold the whole span. STOPPED (unavailable):
// `stop` was set. NO_ROOM: the temporary directory is full.
Result<ReconcileTotals> reconcile(Desk& desk, const ReconcileRequest& request, const ReconcileWatch& watch,
                                  const std::atomic<bool>& stop);

}  // namespace postrider
