#include "engine/core/rate_limiter.h"

#include <algorithm>
#include <cmath>

namespace postrider {
namespace {

// Sums of fractions fall short by some 1e-12: without the slack the token that next() promised is not there.
constexpr double kSlack = 1e-6;
constexpr double kLongestWaitMs = 24.0 * 3600 * 1000;

}  // namespace

double RateLimiter::tokens_at(SteadyTime now) const {
  const double full = std::max(1.0, per_second_);
  if (tokens_ < 0) return full;
  const double seconds = static_cast<double>(std::max<std::int64_t>(0, (now - counted_at_).count())) / 1000;
  return std::min(full, tokens_ + seconds * per_second_);
}

bool RateLimiter::admit(SteadyTime now) {
  if (!(per_second_ > 0)) return true;
  const double tokens = tokens_at(now);
  if (tokens < 1 - kSlack) return false;
  tokens_ = std::max(0.0, tokens - 1);
  counted_at_ = std::max(counted_at_, now);
  return true;
}

SteadyTime RateLimiter::next(SteadyTime now) const {
  if (!(per_second_ > 0)) return now;
  const double missing = 1 - kSlack - tokens_at(now);
  if (missing <= 0) return now;
  const double wait_ms = std::min(std::ceil(missing / per_second_ * 1000), kLongestWaitMs);
  return now + Millis(static_cast<std::int64_t>(wait_ms));
}

}  // namespace postrider
