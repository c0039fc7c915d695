#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "engine/core/fact.h"

namespace postrider {

enum class DeliveryState { queued, sending, parked, delivered, dead, cancelled };
std::string_view name_of(DeliveryState state);

// delivery = fold(facts), in any order and with repeats: delivered > cancelled > dead > parked. A value; what
// `deliveries show` prints.
class Delivery {
 public:
  void apply(const AttemptFact& fact);
  void apply(const CancelledFact& fact);
  void apply(const DeadLetter& fact);
  void apply(const ParkedState& state);  // the newest stamp wins
  void unparked(Stamp stamp);            // a tombstone

  DeliveryState state() const;
  const std::optional<DeliveryRef>& ref() const { return ref_; }
  std::optional<std::int64_t> next_at() const;          // parked: due, unix ms
  const std::vector<AttemptFact>& attempts() const { return attempts_; }  // by time
  std::optional<DeadReason> dead_reason() const { return dead_; }
  std::optional<CancelReason> cancel_reason() const { return cancelled_; }

 private:
  std::optional<DeliveryRef> ref_;
  std::vector<AttemptFact> attempts_;
  std::set<Stamp> seen_;
  bool delivered_ = false;
  std::optional<CancelReason> cancelled_;
  std::optional<DeadReason> dead_;
  std::optional<ParkedState> parked_;
  Stamp parked_stamp_{-1, 0};
};

}  // namespace postrider
