#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/core/circuit_breaker.h"
#include "engine/core/endpoint.h"
#include "engine/core/ids.h"
#include "engine/core/time.h"

namespace postrider {

// A change of an endpoint's state as the owner of one partition saw it: a record of `health`, keyed
// tenant/endpoint/incarnation/partition. Void once the endpoint was enabled after `enable_revision`.
struct HealthFact {
  TenantId tenant;
  EndpointId endpoint;
  Incarnation incarnation;
  Partition partition = 0;
  std::uint64_t enable_revision = 0;
  Stop stop = Stop::none;
  bool failing = false;    // the last attempt failed; false: it succeeded
  std::string why;         // "gone_410", "unauthorized_5_in_a_row", "failing_24h", "first_failure", …
  std::int64_t since = 0;  // unix ms of log time: the first failure of this run, or the stop
  std::string unknown;
  bool operator==(const HealthFact&) const = default;
};

// What a partition's owner has seen of one endpoint. A value, one per endpoint and partition: it turns
// outcomes into changes worth a fact. Stops come from 410 (at once), five 401/403 in a row, and 24 h of
// nothing but failures.
class EndpointHealth {
 public:
  // What is known from the log; void when it is older than the last enable, and then all is forgotten. A run
  // of failures counts from `resumed_at`: while its tenant was suspended nothing could end it.
  void restore(const HealthFact& fact, std::uint64_t current_enable_revision, LogTime resumed_at = {});

  // The changed state to record; nullopt when this outcome changes nothing.
  struct Change {
    Stop stop = Stop::none;
    bool failing = false;
    std::string why;
    LogTime since{};
  };
  std::optional<Change> succeeded(LogTime now);
  // `answered`: there was a final status. Without one (timeout, connect) a run of 401/403 neither grows nor
  // ends. After a stop nothing is a change any more, but for a quarantine that becomes a disable.
  std::optional<Change> failed(LogTime now, bool unauthorized, bool gone, bool answered = true);

  // For people: of the last 100 attempts.
  double failure_share() const;

 private:
  void remember(bool failure);
  Change stopped(Stop stop, std::string why, LogTime now);
  Stop stop_ = Stop::none;
  bool failing_ = false;
  LogTime failing_since_{};
  std::uint32_t unauthorized_in_a_row_ = 0;
  std::uint64_t window_low_ = 0, window_high_ = 0;  // bit i: the i-th last attempt failed
  std::uint32_t window_count_ = 0;
};

inline constexpr Millis kDisableAfterFailing = std::chrono::hours(24);
inline constexpr std::uint32_t kUnauthorizedToQuarantine = 5;

enum class HealthState {
  healthy,
  degraded,
  failing,
  quarantined,
  disabled,
  needs_reauth,
  revoked,
  unverified
};
std::string_view name_of(HealthState state);
HealthState health_state(Stop stop, CircuitBreaker::State breaker, double failure_share);

}  // namespace postrider
