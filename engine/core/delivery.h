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
// `deliveries show` prints. Facts of another delivery than the first one's are left out.
class Delivery {
 public:
  void apply(const AttemptFact& fact);
  void apply(const CancelledFact& fact);
  void apply(const DeadLetter& fact);
  void apply(const ParkedState& state);  // the newest stamp wins
  void unparked(Stamp stamp);            // a tombstone
  void apply(const Delivery& other);     // what another reader of the same log knows

  DeliveryState state() const;
  const std::optional<DeliveryRef>& ref() const { return ref_; }
  std::optional<std::int64_t> next_at() const;                            // parked: due, unix ms
  const std::vector<AttemptFact>& attempts() const { return attempts_; }  // by time
  std::optional<DeadReason> dead_reason() const { return dead_; }
  std::optional<CancelReason> cancel_reason() const { return cancelled_; }

 private:
  bool is_ours(const DeliveryRef& delivery);
  const AttemptFact* newest_attempt() const;  // by stamp

  std::optional<DeliveryRef> ref_;
  std::vector<AttemptFact> attempts_;
  std::set<Stamp> seen_;  // of attempts: a repeat is one that is equal in it, whatever its number
  bool delivered_ = false;
  // Of several the newest stamp speaks, so that the order in which they are read does not matter.
  std::optional<CancelReason> cancelled_;
  Stamp cancelled_stamp_{-1, 0};
  std::optional<DeadReason> dead_;
  Stamp dead_stamp_{-1, 0};
  std::optional<ParkedState> parked_;
  Stamp parked_stamp_{-1, 0};
};

}  // namespace postrider
