#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/core/ids.h"
#include "engine/operations/fact_rows.h"

namespace postrider {

// What the facts of one delivery come to, as delivery.h folds them: delivered > cancelled > dead > parked.
struct DeliveryAccount {
  Hash128 delivery;
  bool delivered = false, cancelled = false, dead = false, parked = false;
  std::int64_t gave_up_at = 0;  // of an attempt after which a dead letter follows; 0: there was none
  Offset registry_version = 0;  // newest that its event was routed to it under
};

// What the facts of one event come to.
struct EventAccount {
  bool no_match = false, repeat = false, set_aside = false, bad_letter = false;
  Offset first = 0;           // repeat: of which
  std::int64_t aside_at = 0;  // set_aside: when
  // How it was routed: more than once when it was read again after a crash, and not always under a newer
  // version: the next owner's registry may be a moment behind.
  struct Routing {
    Offset registry_version = 0;
    Offset epoch = 0;  // of the first owner whose facts name it
    std::uint32_t fan_out = 0;
  };
  std::vector<Routing> routings;            // by version; none: no fact says
  Routing last_routing() const;             // by epoch
  std::vector<DeliveryAccount> deliveries;  // by id

  void clear();
  void apply(const FactRow& row);  // in the order of by_event()
  bool knows(const Hash128& delivery) const;
};

// Why an event, or a delivery of it, is not accounted for.
enum class Gap {
  no_fact,             // nothing on the log speaks of it
  fewer_than_fan_out,  // facts speak of fewer deliveries than it was routed to
  matched_after_all,   // a fact says that nothing matched
  no_dead_letter,      // its last attempt gave it up
  not_parked,          // its last attempt failed
  aside_without_letter,
  repeat_of_later,
  repeat_of_another,
};
std::string_view sentence_of(Gap gap);

}  // namespace postrider
