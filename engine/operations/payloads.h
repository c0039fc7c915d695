#pragma once
#include <optional>

#include "engine/core/event.h"
#include "engine/core/fact.h"
#include "engine/operations/desk.h"
#include "engine/operations/patience.h"

// What was, or shall be, sent: an event found again by the delivery that speaks of it.
namespace postrider {

struct Payload {
  DeliveryRef delivery;
  Event event;         // of a sealed one: its attributes as they travel, without the data
  std::string sealed;  // not empty: that of a dead letter, or of a replay which carries one unopened
  TenantId sealed_for;
  std::string sealed_target;  // "endpoint:incarnation"; empty, with no tenant: the environment's own
  bool raw = false;           // sealed is the record of a bad event, as its producer wrote it
  Position record;            // where it was read, on `events` or `dead-letters`
  bool from_dead_letter = false;
};

// How many facts of its partition are looked at for a delivery that no view knows.
inline constexpr std::uint64_t kReferencesLookedAt = 1'000'000;

// Who the delivery of that id is, from the log. Errc::not_found: none of those facts speaks of it, or it is
// not `within` that tenant, which is told in the same words.
Result<DeliveryRef> find_delivery(Desk& desk, const DeliveryId& id, const TenantId& within,
                                  const Patience& patience = {});

// Its event: from `events` by position, if what stands there is still the event that the delivery names; else
// from its dead letter. Errc::not_found: neither holds it any more.
Result<Payload> find_payload(Desk& desk, const DeliveryRef& delivery);
// The one of a dead letter. Errc::not_found as of show_dead_letter().
Result<Payload> find_dead_letter_payload(Desk& desk, const DeliveryId& id, const TenantId& within);

}  // namespace postrider
