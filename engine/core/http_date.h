#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/core/time.h"

namespace postrider {

// RFC 9110 §5.6.7 in its three forms, to unix milliseconds:
//   Sun, 06 Nov 1994 08:49:37 GMT, Sunday, 06-Nov-94 08:49:37 GMT, Sun Nov  6 08:49:37 1994.
// The weekday is not compared with the date. A year of two digits is the one within 50 years of `now`.
std::optional<std::int64_t> parse_http_date(std::string_view text, WallTime now);

}  // namespace postrider
