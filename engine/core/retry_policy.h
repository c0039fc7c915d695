#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "engine/core/time.h"

namespace postrider {

// When the next attempt comes, counted from the end of the last one. A value; chance is an argument.
// DESIGN §9: `standard` 5 s, 5 min, 30 min, 2 h, 5 h, each ±20 %; `quick` random(0, min(60 s, 1 s × 2^n));
// `patient` 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h (±20 %); or a list of one's own (±20 %).
struct RetryPolicy {
  enum class Kind { standard, quick, patient, custom };
  Kind kind = Kind::standard;
  std::vector<Millis> delays;  // custom only: 1–20 delays, each 1 s – 24 h (0 entries: never retried)
  bool operator==(const RetryPolicy&) const = default;

  // Attempts in all, the first included.
  std::uint32_t attempts_max() const;
  // After `attempts` charged attempts (1: the first has failed). nullopt: the schedule is used up.
  // `chance` is uniform over all 64-bit values.
  std::optional<Millis> delay_after(std::uint32_t attempts, std::uint64_t chance) const;
  // The longest span from first to last attempt, jitter at its most.
  Millis longest() const;
};

inline constexpr Millis kLifetimeMax = std::chrono::hours(96);  // DESIGN §9

// "standard" | "quick" | "patient" | a list such as {"5s","5m"}. Refused: unknown names, a schedule longer
// than kLifetimeMax.
Result<RetryPolicy> parse_retry_policy(const std::vector<std::string>& words);
std::vector<std::string> format_retry_policy(const RetryPolicy& policy);

}  // namespace postrider
