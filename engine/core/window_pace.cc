#include "engine/core/window_pace.h"

#include <algorithm>
#include <optional>

namespace postrider {
namespace {

constexpr Millis kWindowMost = std::chrono::hours(24);
constexpr std::int64_t kNearUnknown = 10;  // left, of a limit that is not told
constexpr std::int64_t kNearLeast = 2;
constexpr std::int64_t kAtOnceMost = 1000;  // EndpointLimits::concurrency

std::int64_t near_of(const RateLimit& said) {
  return said.limit ? std::max(kNearLeast, *said.limit / 10) : kNearUnknown;
}

struct Told {
  std::int64_t left = 0;
  Millis until{0};
};

// Retry-After goes before a reset (draft-ietf-httpapi-ratelimit-headers). A limit of 0 is how some say that
// there is none.
std::optional<Told> told_by(const RateLimit& said, std::int32_t status) {
  const bool refused = status == 429;
  if (said.retry_after && (refused || status == 503)) return Told{0, *said.retry_after};
  if (!said.reset_seconds) return std::nullopt;
  const std::int64_t seconds =
      std::min(*said.reset_seconds, std::int64_t{kWindowMost / std::chrono::seconds(1)});
  if (refused) return Told{0, std::chrono::seconds(seconds)};
  if (!said.remaining || said.limit == 0) return std::nullopt;
  return Told{*said.remaining, std::chrono::seconds(seconds)};
}

}  // namespace

void WindowPace::heard(const RateLimit& said, std::int32_t status, std::uint32_t under_way, SteadyTime now) {
  at_once_ = said.limit.value_or(0) > 0 ? static_cast<std::uint32_t>(std::min(*said.limit, kAtOnceMost))
                                        : kAnyNumber;
  if (status == 429) ignored_ = false;
  const auto told = told_by(said, status);
  if (!told) return;
  if (beyond_ && told->left == 0 && status >= 200 && status < 300) ignored_ = true;
  beyond_ = false;
  left_ = std::max<std::int64_t>(0, told->left - under_way);
  if (ignored_ || left_ > near_of(said)) {
    until_ = {};
    return;
  }
  until_ = now + std::clamp(told->until, Millis(0), kWindowMost);
  plan(left_ > 0 ? last_ : now);
}

void WindowPace::sent(SteadyTime now) {
  last_ = now;
  if (now >= until_) return;
  beyond_ = left_ == 0;
  left_ = std::max<std::int64_t>(0, left_ - 1);
  plan(now);
}

void WindowPace::plan(SteadyTime from) {
  gap_ = std::min((until_ - from) / (left_ + 1), kLongestWait);
  next_ = from + gap_;
}

SteadyTime WindowPace::next(SteadyTime now, std::size_t ahead) const {
  if (now >= until_) return now;
  const SteadyTime turn = std::max(next_, now) + gap_ * static_cast<std::int64_t>(ahead);
  return std::min({turn, until_, now + kLongestWait});
}

}  // namespace postrider
