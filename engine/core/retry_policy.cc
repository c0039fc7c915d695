#include "engine/core/retry_policy.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace postrider {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::array<Millis, 5> kStandard{seconds(5), minutes(5), minutes(30), hours(2), hours(5)};
constexpr std::array<Millis, 9> kPatient{seconds(5), minutes(5), minutes(30), hours(2), hours(5),
                                         hours(10),  hours(14),  hours(20),   hours(24)};
// The most each delay can be: min(60 s, 1 s × 2^n).
constexpr std::array<Millis, 5> kQuick{seconds(1), seconds(2), seconds(4), seconds(8), seconds(16)};

constexpr std::size_t kDelaysMax = 20;
constexpr Millis kDelayLeast = seconds(1);
constexpr Millis kDelayMost = hours(24);

std::span<const Millis> schedule(const RetryPolicy& policy) {
  switch (policy.kind) {
    case RetryPolicy::Kind::standard:
      return kStandard;
    case RetryPolicy::Kind::quick:
      return kQuick;
    case RetryPolicy::Kind::patient:
      return kPatient;
    case RetryPolicy::Kind::custom:
      return policy.delays;
  }
  return kStandard;
}

struct Bounds {
  Millis least, most;
};
Bounds bounds(const RetryPolicy& policy, Millis delay) {
  if (policy.kind == RetryPolicy::Kind::quick) return {Millis(0), delay};
  return {delay - delay / 5, delay + delay / 5};
}

// Uniform over both ends. `chance` is multiplied, not divided: no remainder favours the low values.
Millis between(Bounds bounds, std::uint64_t chance) {
  const auto values = static_cast<std::uint64_t>((bounds.most - bounds.least).count()) + 1;
  const auto picked = static_cast<unsigned __int128>(chance) * values >> 64;
  return bounds.least + Millis(static_cast<std::int64_t>(picked));
}

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_RETRY_POLICY", std::move(message), std::move(suggestion));
}

}  // namespace

std::uint32_t RetryPolicy::attempts_max() const {
  return static_cast<std::uint32_t>(schedule(*this).size()) + 1;
}

std::optional<Millis> RetryPolicy::delay_after(std::uint32_t attempts, std::uint64_t chance) const {
  if (attempts == 0) return Millis(0);  // nothing was charged yet: the first attempt waits for nothing
  const auto planned = schedule(*this);
  if (attempts > planned.size()) return std::nullopt;
  return between(bounds(*this, planned[attempts - 1]), chance);
}

Millis RetryPolicy::longest() const {
  Millis sum{0};
  for (const Millis delay : schedule(*this)) sum += bounds(*this, delay).most;
  return sum;
}

Result<RetryPolicy> parse_retry_policy(const std::vector<std::string>& words) {
  if (words.size() == 1) {
    if (words[0] == "standard") return RetryPolicy{};
    if (words[0] == "quick") return RetryPolicy{RetryPolicy::Kind::quick, {}};
    if (words[0] == "patient") return RetryPolicy{RetryPolicy::Kind::patient, {}};
  }
  if (words.size() > kDelaysMax) {
    return refuse("the retry policy has " + std::to_string(words.size()) + " delays", "give at most 20");
  }
  RetryPolicy policy{RetryPolicy::Kind::custom, {}};
  for (const std::string& word : words) {
    const auto delay = parse_duration(word);
    if (!delay) {
      return refuse(
          "\"" + word.substr(0, 64) + "\" is neither a retry policy nor a delay",
          "use \"standard\", \"quick\", \"patient\", or a list of delays such as [\"5s\", \"5m\", \"2h\"]");
    }
    if (*delay < kDelayLeast || *delay > kDelayMost) {
      return refuse("the delay " + word.substr(0, 64) + " is out of range", "give delays from 1s to 24h");
    }
    policy.delays.push_back(*delay);
  }
  if (policy.longest() > kLifetimeMax) {
    return refuse("the retry policy may take " + format_duration(policy.longest()) +
                      " with its jitter of 20 %, " + "longer than an event lives",
                  "keep the delays' sum within 80h: an event is given up 96h after it was appended");
  }
  return policy;
}

std::vector<std::string> format_retry_policy(const RetryPolicy& policy) {
  switch (policy.kind) {
    case RetryPolicy::Kind::standard:
      return {"standard"};
    case RetryPolicy::Kind::quick:
      return {"quick"};
    case RetryPolicy::Kind::patient:
      return {"patient"};
    case RetryPolicy::Kind::custom:
      break;
  }
  std::vector<std::string> words;
  std::transform(policy.delays.begin(), policy.delays.end(), std::back_inserter(words), format_duration);
  return words;
}

}  // namespace postrider
