#pragma once
#include <string>
#include <vector>

#include "engine/core/delivery.h"
#include "engine/operations/desk.h"

namespace postrider {

struct DeliveryLookup {
  std::vector<Delivery> deliveries;  // by delivery id, at most kDeliveriesFoundMax
  // Sentences that say why an event has none, or fewer than one might think. Empty: nothing to explain.
  std::vector<std::string> explanations;
  bool pending =
      false;  // an event of that id is not routed yet, or none of its deliveries has had an attempt
};
inline constexpr std::size_t kDeliveriesFoundMax = 1000;

// Finds the deliveries of a delivery id, webhook-id or event id on the log: for what the view does not know.
// Slow: it reads `attempts`, `parked`, `dead-letters` and, where these know nothing, `events`. A delivery id
// is looked for in its own partition only. `since` (unix ms) leaves older records out; 0: all there are.
// Errc::not_found: nothing on the log speaks of it.
// `within`: of that tenant alone, as if nothing else were there; empty: of all.
Result<DeliveryLookup> look_up_deliveries(Desk& desk, const std::string& id, std::int64_t since = 0,
                                          const TenantId& within = {});

}  // namespace postrider
