#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/event.h"
#include "engine/core/time.h"

namespace postrider {

// What stopped an attempt before a final status, or, beside a final status, what befell the body after it.
enum class AttemptError {
  none,
  dns,        // no address for the name
  denied,     // the address guard refused every address
  connect,    // refused, unreachable
  tls,        // handshake or certificate
  timeout,    // the attempt's 15 s
  reset,      // closed or reset before a whole answer
  malformed,  // not HTTP, half a header
  headers_too_large,
  body_too_large,  // more than the cap
  body_broken,     // after the final status: short, slow or malformed body
  ambiguous,       // cut off by us (drain, lease): it may have arrived
};
std::string_view code_of(AttemptError error);  // "dns", "connect", …

// Milliseconds by phase; negative: the phase was not reached.
struct Phases {
  std::int32_t queue = -1, dns = -1, connect = -1, tls = -1, first_byte = -1, total = -1;
  bool operator==(const Phases&) const = default;
};

// What came of one HTTP try, as the transport saw it. A value.
struct Outcome {
  std::int32_t status = 0;  // final HTTP status; 0: there was none
  AttemptError error = AttemptError::none;
  Headers headers;      // only those that decide asks for: Retry-After, rate limits, Date, request ids
  std::string snippet;  // first bytes of the body, for operators; sealed before it is stored
  std::string dialled;  // the address that was dialled; empty: none
  Phases phases;
  bool ours = false;  // we lacked a file or memory, and nothing was sent: no attempt of the receiver's
  bool operator==(const Outcome&) const = default;
};

inline constexpr std::size_t kSnippetBytesMax = 1024;

// A customer's wish about the next attempt, from Retry-After or a rate-limit header: seconds from now.
// Spellings of D4; RFC 9110 §10.2.3 for Retry-After. `now` is wall time (dates are compared with it).
struct RateLimit {
  std::optional<std::int64_t> limit, remaining, reset_seconds;
  std::optional<Millis> retry_after;
};
RateLimit read_rate_limit(const Headers& headers, WallTime now);

}  // namespace postrider
