#include "engine/core/decide.h"

#include <algorithm>
#include <array>

namespace postrider {
namespace {

constexpr Millis kOursDelay{1000};
constexpr Millis kWishLeast = std::chrono::seconds(1);
constexpr Millis kWishMost = std::chrono::hours(24);
// A wish that reaches beyond the event's lifetime is cut so that the last attempt still happens within it:
// due at the very end, it would only ever expire.
constexpr Millis kLastChance = std::chrono::minutes(1);

constexpr std::array kReasons{DeadReason::attempts_exhausted, DeadReason::expired,
                              DeadReason::endpoint_disabled,  DeadReason::gone,
                              DeadReason::unauthorized,       DeadReason::client_error,
                              DeadReason::target_denied,      DeadReason::target_gone,
                              DeadReason::payload_lost,       DeadReason::undecodable,
                              DeadReason::oversize,           DeadReason::no_tenant,
                              DeadReason::bad_tenant,         DeadReason::foreign_environment,
                              DeadReason::bad_attribute,      DeadReason::crashed_decoder,
                              DeadReason::schema_violation};

bool is_final(std::int32_t status) {
  return status >= 200;
}
bool is_retried(std::int32_t status) {
  return (status >= 300 && status < 400) || status == 408 || status == 425 || status == 429 || status >= 500;
}

// Failures that say the receiver is unwell. A 429 or 408 says it is busy, a 3xx that it moved, and an attempt
// cut off by us says nothing.
bool counts_for_breaker(const Outcome& outcome) {
  if (is_final(outcome.status)) return outcome.status >= 500;
  switch (outcome.error) {
    case AttemptError::dns:
    case AttemptError::connect:
    case AttemptError::tls:
    case AttemptError::timeout:
    case AttemptError::reset:
    case AttemptError::malformed:
    case AttemptError::headers_too_large:
      return true;
    case AttemptError::none:
    case AttemptError::denied:
    case AttemptError::body_too_large:
    case AttemptError::body_broken:
    case AttemptError::ambiguous:
      return false;
  }
  return false;
}

// What the receiver asks for. Retry-After goes before a reset (draft-ietf-httpapi-ratelimit-headers); a reset
// counts only where the limit is reached.
std::optional<Millis> wish_of(const Outcome& outcome, const Situation& situation) {
  const RateLimit limit = read_rate_limit(outcome.headers, situation.wall_now);
  if (limit.retry_after) return std::clamp(*limit.retry_after, kWishLeast, kWishMost);
  const bool reached = outcome.status == 429 || limit.remaining == 0;
  if (!limit.reset_seconds || !reached) return std::nullopt;
  constexpr std::int64_t kMostSeconds = std::chrono::duration_cast<std::chrono::seconds>(kWishMost).count();
  return std::chrono::seconds(std::clamp<std::int64_t>(*limit.reset_seconds, 1, kMostSeconds));
}

Verdict dead(DeadReason reason, const Outcome& outcome) {
  Verdict verdict;
  verdict.kind = Verdict::Kind::dead;
  verdict.dead = reason;
  verdict.counts_for_breaker = counts_for_breaker(outcome);
  return verdict;
}

Verdict retry(const Outcome& outcome, const RetryPolicy& policy, const Situation& situation) {
  const auto own = policy.delay_after(situation.attempts, situation.chance);
  if (!own) return dead(DeadReason::attempts_exhausted, outcome);
  const Millis left = situation.appended + situation.lifetime - situation.now;
  Millis delay = *own;
  if (const auto wish = wish_of(outcome, situation))
    delay = std::max(delay, std::min(*wish, left - kLastChance));
  if (delay > left) return dead(DeadReason::expired, outcome);
  Verdict verdict;
  verdict.kind = Verdict::Kind::retry;
  verdict.delay = delay;
  verdict.counts_for_breaker = counts_for_breaker(outcome);
  return verdict;
}

}  // namespace

std::string_view reason_of(DeadReason reason) {
  switch (reason) {
    case DeadReason::attempts_exhausted:
      return "attempts_exhausted";
    case DeadReason::expired:
      return "expired";
    case DeadReason::endpoint_disabled:
      return "endpoint_disabled";
    case DeadReason::gone:
      return "gone";
    case DeadReason::unauthorized:
      return "unauthorized";
    case DeadReason::client_error:
      return "client_error";
    case DeadReason::target_denied:
      return "target_denied";
    case DeadReason::target_gone:
      return "target_gone";
    case DeadReason::payload_lost:
      return "payload_lost";
    case DeadReason::undecodable:
      return reason_of(BadEvent::undecodable);
    case DeadReason::oversize:
      return reason_of(BadEvent::oversize);
    case DeadReason::no_tenant:
      return reason_of(BadEvent::no_tenant);
    case DeadReason::bad_tenant:
      return reason_of(BadEvent::bad_tenant);
    case DeadReason::foreign_environment:
      return reason_of(BadEvent::foreign_environment);
    case DeadReason::bad_attribute:
      return reason_of(BadEvent::bad_attribute);
    case DeadReason::schema_violation:
      return "schema_violation";
    case DeadReason::crashed_decoder:
      return "crashed_decoder";
  }
  return "undecodable";
}

std::optional<DeadReason> parse_dead_reason(std::string_view text) {
  const auto found = std::find_if(kReasons.begin(), kReasons.end(),
                                  [&](DeadReason reason) { return reason_of(reason) == text; });
  if (found == kReasons.end()) return std::nullopt;
  return *found;
}

DeadReason dead_reason(BadEvent bad) {
  switch (bad) {
    case BadEvent::undecodable:
      return DeadReason::undecodable;
    case BadEvent::oversize:
      return DeadReason::oversize;
    case BadEvent::no_tenant:
      return DeadReason::no_tenant;
    case BadEvent::bad_tenant:
      return DeadReason::bad_tenant;
    case BadEvent::foreign_environment:
      return DeadReason::foreign_environment;
    case BadEvent::bad_attribute:
      return DeadReason::bad_attribute;
  }
  return DeadReason::undecodable;
}

Category category_of(DeadReason reason) {
  switch (reason) {
    case DeadReason::attempts_exhausted:
    case DeadReason::expired:
    case DeadReason::endpoint_disabled:
    case DeadReason::gone:
    case DeadReason::unauthorized:
    case DeadReason::client_error:
    case DeadReason::target_denied:
    case DeadReason::target_gone:
      return Category::customer;
    case DeadReason::payload_lost:
      return Category::ours;
    case DeadReason::undecodable:
    case DeadReason::oversize:
    case DeadReason::no_tenant:
    case DeadReason::bad_tenant:
    case DeadReason::foreign_environment:
    case DeadReason::bad_attribute:
    case DeadReason::schema_violation:
    case DeadReason::crashed_decoder:
      return Category::bad_event;
  }
  return Category::ours;
}

std::string_view name_of(Category category) {
  switch (category) {
    case Category::customer:
      return "customer_failure";
    case Category::ours:
      return "our_failure";
    case Category::bad_event:
      return "bad_event";
  }
  return "our_failure";
}

Verdict decide(const Outcome& outcome, const RetryPolicy& policy, const Situation& situation) {
  const std::int32_t status = outcome.status;
  // Whatever befell the body afterwards: the receiver has answered.
  if (status >= 200 && status < 300) return Verdict{};
  if (outcome.ours) {
    Verdict verdict;
    verdict.kind = Verdict::Kind::defer;
    verdict.delay = kOursDelay + Millis(static_cast<std::int64_t>(situation.chance % 2000));
    verdict.charged = false;
    return verdict;
  }
  if (outcome.error == AttemptError::denied) return dead(DeadReason::target_denied, outcome);
  if (!is_final(status) || is_retried(status)) return retry(outcome, policy, situation);
  if (status == 410) {
    Verdict verdict = dead(DeadReason::gone, outcome);
    verdict.disable_endpoint = true;
    return verdict;
  }
  if (status == 401 || status == 403) {
    Verdict verdict = dead(DeadReason::unauthorized, outcome);
    verdict.counts_as_unauthorized = true;
    return verdict;
  }
  if (situation.retry_client_errors) return retry(outcome, policy, situation);
  return dead(DeadReason::client_error, outcome);
}

}  // namespace postrider
