#include "engine/core/delivery.h"

#include <algorithm>
#include <tuple>

namespace postrider {

std::string_view name_of(DeliveryState state) {
  switch (state) {
    case DeliveryState::queued:
      return "queued";
    case DeliveryState::sending:
      return "sending";
    case DeliveryState::parked:
      return "parked";
    case DeliveryState::delivered:
      return "delivered";
    case DeliveryState::dead:
      return "dead";
    case DeliveryState::cancelled:
      return "cancelled";
  }
  return "unknown";
}

bool Delivery::is_ours(const DeliveryRef& delivery) {
  if (!ref_) ref_ = delivery;
  return ref_->id == delivery.id;
}

void Delivery::apply(const AttemptFact& fact) {
  if (!is_ours(fact.delivery) || !seen_.insert(fact.stamp).second) return;
  if (fact.verdict == Verdict::Kind::success) delivered_ = true;
  const auto earlier = [](const AttemptFact& one, const AttemptFact& other) {
    return std::tie(one.at, one.stamp) < std::tie(other.at, other.stamp);
  };
  attempts_.insert(std::upper_bound(attempts_.begin(), attempts_.end(), fact, earlier), fact);
}

void Delivery::apply(const CancelledFact& fact) {
  if (!is_ours(fact.delivery) || fact.stamp <= cancelled_stamp_) return;
  cancelled_ = fact.reason;
  cancelled_stamp_ = fact.stamp;
}

void Delivery::apply(const DeadLetter& fact) {
  if (!is_ours(fact.delivery) || fact.stamp <= dead_stamp_) return;
  dead_ = fact.reason;
  dead_stamp_ = fact.stamp;
}

void Delivery::apply(const ParkedState& state) {
  if (!is_ours(state.delivery) || state.stamp <= parked_stamp_) return;
  parked_ = state;
  parked_stamp_ = state.stamp;
}

void Delivery::unparked(Stamp stamp) {
  if (stamp < parked_stamp_) return;
  parked_.reset();
  parked_stamp_ = stamp;
}

void Delivery::apply(const Delivery& other) {
  for (const AttemptFact& attempt : other.attempts_) apply(attempt);
  if (!other.ref_ || !is_ours(*other.ref_)) return;
  if (other.cancelled_ && other.cancelled_stamp_ > cancelled_stamp_) {
    cancelled_ = other.cancelled_;
    cancelled_stamp_ = other.cancelled_stamp_;
  }
  if (other.dead_ && other.dead_stamp_ > dead_stamp_) {
    dead_ = other.dead_;
    dead_stamp_ = other.dead_stamp_;
  }
  if (other.parked_) {
    apply(*other.parked_);
  } else {
    unparked(other.parked_stamp_);
  }
}

const AttemptFact* Delivery::newest_attempt() const {
  const auto older = [](const AttemptFact& one, const AttemptFact& other) { return one.stamp < other.stamp; };
  const auto newest = std::max_element(attempts_.begin(), attempts_.end(), older);
  return newest == attempts_.end() ? nullptr : &*newest;
}

DeliveryState Delivery::state() const {
  if (delivered_) return DeliveryState::delivered;
  if (cancelled_) return DeliveryState::cancelled;
  if (dead_) return DeliveryState::dead;
  // The attempt fact comes before the dead letter or the parked state that follows from it.
  const AttemptFact* newest = newest_attempt();
  if (newest != nullptr && newest->stamp > parked_stamp_) {
    if (newest->verdict == Verdict::Kind::dead) return DeliveryState::dead;
    return DeliveryState::parked;
  }
  return parked_ ? DeliveryState::parked : DeliveryState::queued;
}

std::optional<std::int64_t> Delivery::next_at() const {
  if (state() != DeliveryState::parked) return std::nullopt;
  const AttemptFact* newest = newest_attempt();
  if (newest != nullptr && newest->stamp > parked_stamp_) return newest->next_at;
  return parked_->due;
}

}  // namespace postrider
