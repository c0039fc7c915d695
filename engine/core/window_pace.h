#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>

#include "engine/core/outcome.h"
#include "engine/core/time.h"

namespace postrider {

// Keeps to a customer's rate limit before it refuses: what is nearly used up is spread until the reset, and
// at nothing left it waits. The newest answer counts; far from the limit nothing is held back. A value: no
// clock, no locks. A shard owns one per endpoint.
//
// Whatever a customer says, a request goes every kLongestWait. When one that was sent though nothing was left
// is accepted, and nothing is said to be left still, then that limit is not one: until a 429 it is not
// heeded.
class WindowPace {
 public:
  static constexpr Millis kLongestWait = std::chrono::minutes(5);

  // An answer came. `under_way`: attempts that it may not have counted yet.
  void heard(const RateLimit& said, std::int32_t status, std::uint32_t under_way, SteadyTime now);
  void sent(SteadyTime now);

  // When a request may go that has so many before it: `now`, or later by kLongestWait at most.
  SteadyTime next(SteadyTime now, std::size_t ahead = 0) const;
  // No more at once than the whole window takes; its reset tells nothing about how much of it is free.
  std::uint32_t at_once() const { return at_once_; }

 private:
  void plan(SteadyTime from);

  static constexpr std::uint32_t kAnyNumber = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t at_once_ = kAnyNumber;
  SteadyTime until_{};  // the reset; past: nothing is held back
  std::int64_t left_ = 0;
  SteadyTime last_{}, next_{};
  Millis gap_{0};
  bool beyond_ = false;   // the last one was sent though nothing was left
  bool ignored_ = false;  // the customer itself does not keep to what it says
};

}  // namespace postrider
