#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Three clocks, three types, so that none is taken for another. None can be read here: time is an argument.
// All in milliseconds.
namespace postrider {

using Millis = std::chrono::milliseconds;

template <class Tag>
struct ClockOf {
  using rep = Millis::rep;
  using period = Millis::period;
  using duration = Millis;
  using time_point = std::chrono::time_point<ClockOf, Millis>;
  static constexpr bool is_steady = false;
};

// Wall time since 1970, UTC: signatures only.
using WallTime = ClockOf<struct WallTag>::time_point;
// The log's own append times, since 1970: due times and lifetimes. A host with a wrong clock sends nothing
// early.
using LogTime = ClockOf<struct LogTag>::time_point;
// CLOCK_BOOTTIME, which counts suspended time too: durations and the lease.
using SteadyTime = ClockOf<struct SteadyTag>::time_point;

template <class Point>
constexpr std::int64_t to_ms(Point point) {
  return point.time_since_epoch().count();
}
template <class Point>
constexpr Point from_ms(std::int64_t ms) {
  return Point(Millis(ms));
}

// "2026-01-31T12:00:00.123Z" (RFC 3339, UTC) and back. Back accepts any offset and 0–9 fraction digits.
std::string rfc3339(std::int64_t unix_ms);
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

// "90s", "5m", "2h", "1d", "250ms" and back in the largest unit that is exact. No negative spans, no blanks.
std::optional<Millis> parse_duration(std::string_view text);
std::string format_duration(Millis span);

}  // namespace postrider
