#include "engine/core/health.h"

#include <algorithm>
#include <bit>

namespace postrider {
namespace {

constexpr std::uint32_t kWindow = 100;
constexpr std::uint64_t kHighMask = (std::uint64_t{1} << (kWindow - 64)) - 1;

}  // namespace

void EndpointHealth::restore(const HealthFact& fact, std::uint64_t current_enable_revision,
                             LogTime resumed_at) {
  *this = EndpointHealth();
  if (fact.enable_revision < current_enable_revision) return;
  stop_ = fact.stop;
  failing_ = fact.failing;
  failing_since_ = std::max(from_ms<LogTime>(fact.since), resumed_at);
}

void EndpointHealth::remember(bool failure) {
  window_high_ = ((window_high_ << 1) | (window_low_ >> 63)) & kHighMask;
  window_low_ = (window_low_ << 1) | (failure ? 1 : 0);
  if (window_count_ < kWindow) ++window_count_;
}

std::optional<EndpointHealth::Change> EndpointHealth::succeeded(LogTime now) {
  remember(false);
  unauthorized_in_a_row_ = 0;
  if (!failing_) return std::nullopt;
  failing_ = false;
  // A stop outlives a success that was still under way: only `enable` lifts it.
  if (stop_ != Stop::none) return std::nullopt;
  return Change{Stop::none, false, "recovered", now};
}

std::optional<EndpointHealth::Change> EndpointHealth::failed(LogTime now, bool unauthorized, bool gone,
                                                             bool answered) {
  remember(true);
  const bool first = !failing_;
  if (first) failing_since_ = now;
  failing_ = true;
  if (unauthorized) {
    ++unauthorized_in_a_row_;
  } else if (answered) {
    unauthorized_in_a_row_ = 0;
  }

  if (stop_ == Stop::disabled) return std::nullopt;
  if (gone) return stopped(Stop::disabled, "gone_410", now);
  if (now - failing_since_ >= kDisableAfterFailing) return stopped(Stop::disabled, "failing_24h", now);
  if (stop_ == Stop::quarantined) return std::nullopt;
  if (unauthorized_in_a_row_ >= kUnauthorizedToQuarantine) {
    return stopped(Stop::quarantined, "unauthorized_5_in_a_row", now);
  }
  if (first) return Change{Stop::none, true, "first_failure", now};
  return std::nullopt;
}

EndpointHealth::Change EndpointHealth::stopped(Stop stop, std::string why, LogTime now) {
  stop_ = stop;
  return Change{stop, true, std::move(why), now};
}

double EndpointHealth::failure_share() const {
  if (window_count_ == 0) return 0;
  return static_cast<double>(std::popcount(window_low_) + std::popcount(window_high_)) / window_count_;
}

std::string_view name_of(HealthState state) {
  switch (state) {
    case HealthState::healthy:
      return "healthy";
    case HealthState::degraded:
      return "degraded";
    case HealthState::failing:
      return "failing";
    case HealthState::quarantined:
      return "quarantined";
    case HealthState::disabled:
      return "disabled";
    case HealthState::needs_reauth:
      return "needs_reauth";
    case HealthState::revoked:
      return "revoked";
    case HealthState::unverified:
      return "unverified";
  }
  return "unknown";
}

// DESIGN §9: failing when the breaker is not closed, or more than half of the last 100 failed; degraded above
// 5 %.
HealthState health_state(Stop stop, CircuitBreaker::State breaker, double failure_share) {
  if (stop == Stop::disabled) return HealthState::disabled;
  if (stop == Stop::quarantined) return HealthState::quarantined;
  if (stop == Stop::unverified) return HealthState::unverified;
  if (breaker != CircuitBreaker::State::closed || failure_share > 0.5) return HealthState::failing;
  return failure_share > 0.05 ? HealthState::degraded : HealthState::healthy;
}

}  // namespace postrider
