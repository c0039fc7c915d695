#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/core/event.h"
#include "engine/core/outcome.h"
#include "engine/core/retry_policy.h"
#include "engine/core/time.h"

// Outcome in, verdict out, with its reason: the table of DESIGN §9. Pure.
namespace postrider {

// Why a dead letter is dead. A closed list; the spelling (reason_of) is stored.
enum class DeadReason {
  attempts_exhausted,
  expired,            // its lifetime ended while it waited
  endpoint_disabled,  // its lifetime ended while the endpoint was disabled or quarantined
  gone,               // 410
  unauthorized,       // 401, 403
  client_error,       // other 4xx
  target_denied,      // the address guard refused
  target_gone,        // a replay whose endpoint is no more
  payload_lost,       // the event's bytes are nowhere any more
  undecodable,
  oversize,
  no_tenant,
  bad_tenant,
  foreign_environment,
  bad_attribute,     // bad events, up to here
  schema_violation,  // its data break the schema of its type
  crashed_decoder,   // the process died three times while it decoded that record
};
std::string_view reason_of(DeadReason reason);
std::optional<DeadReason> parse_dead_reason(std::string_view text);
DeadReason dead_reason(BadEvent bad);

enum class Category { customer, ours, bad_event };  // "customer_failure", "our_failure", "bad_event"
Category category_of(DeadReason reason);
std::string_view name_of(Category category);

struct Verdict {
  enum class Kind { success, retry, dead, defer };
  Kind kind = Kind::success;
  Millis delay{0};                      // retry and defer: from now
  std::optional<DeadReason> dead;       // dead
  bool disable_endpoint = false;        // 410
  bool counts_as_unauthorized = false;  // 401, 403: the fifth in a row quarantines
  bool counts_for_breaker = false;      // 5xx, timeout, connect, …
  bool charged = true;                  // an attempt of the policy was used up
};

struct Situation {
  std::uint32_t attempts = 1;  // charged attempts, this one included
  LogTime now{};
  LogTime appended{};   // of the event: its lifetime begins here
  WallTime wall_now{};  // for dates in Retry-After only
  bool retry_client_errors = false;
  Millis lifetime = kLifetimeMax;
  std::uint64_t chance = 0;  // uniform
};

Verdict decide(const Outcome& outcome, const RetryPolicy& policy, const Situation& situation);

}  // namespace postrider
