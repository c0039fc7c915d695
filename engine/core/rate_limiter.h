#pragma once
#include "engine/core/time.h"

namespace postrider {

// A token bucket of one second's burst (at least one token). A value; a shard owns one per endpoint.
class RateLimiter {
 public:
  explicit RateLimiter(double per_second = 0) : per_second_(per_second) {}  // 0: no limit

  bool admit(SteadyTime now);
  // When the next token is there; `now` when one is already.
  SteadyTime next(SteadyTime now) const;

 private:
  double tokens_at(SteadyTime now) const;
  double per_second_;
  double tokens_ = -1;  // negative: not yet used, full
  SteadyTime counted_at_{};
};

}  // namespace postrider
