#pragma once
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "engine/core/decide.h"
#include "engine/core/outcome.h"
#include "engine/ports/observer.h"

// Every metric, resolved once: counting an attempt looks nothing up. For this room's .cc files only.
// Thread-safe.
namespace postrider::telemetry {

// How many there are of a closed list, by its last.
template <typename Last>
constexpr std::size_t count_to(Last last) {
  return static_cast<std::size_t>(last) + 1;
}
inline constexpr std::size_t kVerdicts = count_to(Verdict::Kind::defer);
inline constexpr std::size_t kAttemptErrors = count_to(AttemptError::ambiguous);
inline constexpr std::size_t kDeadReasons = count_to(DeadReason::crashed_decoder);
inline constexpr std::size_t kCancelReasons = count_to(CancelReason::by_operator);
// A stopped endpoint beyond these is counted in postrider_endpoints_stopped, and has no series of its own.
inline constexpr std::size_t kStoppedSeriesMax = 500;

// Gauges of one shard, in the order of ShardGauges.
class ShardMetrics {
 public:
  ShardMetrics(prometheus::Registry& registry, int shard);
  void set(const ShardGauges& gauges, std::int64_t unix_ms);

 private:
  void set_repeat_index(const std::vector<RepeatIndexGauge>& now);

  prometheus::Gauge &unsettled_, &in_flight_, &queued_, &parked_, &held_, &bytes_, &unacknowledged_,
      &oldest_due_, &lag_, &breakers_open_, &slowed_, &silent_in_flight_, &endpoints_, &partitions_,
      &view_broken_, &heartbeat_, &repeat_index_incomplete_;
  const std::string shard_;
  prometheus::Family<prometheus::Gauge>& repeat_index_;
  std::map<Partition, prometheus::Gauge*> repeat_index_of_;  // of the partitions that we own
};

class Metrics {
 public:
  Metrics(const std::string& environment, const std::string& version);

  void attempt(const AttemptReport& report);
  void dead_letter(DeadReason reason);
  void endpoint_changed(const std::string& tenant, const std::string& endpoint, Stop stop,
                        std::string_view why);
  void set_gauge(const std::string& name, const std::string& help, double value);
  void http_request(std::string_view route, int status, std::int64_t duration_ms);
  std::string text(std::uint64_t lines_dropped);
  prometheus::Registry& registry() { return registry_; }

 private:
  prometheus::Registry registry_;

 public:  // counted directly
  prometheus::Counter &events_routed, &events_no_match, &events_repeat, &events_perhaps_repeat,
      &events_misplaced, &fan_out, &parked_attempted, &parked_unattempted, &state_delivered, &state_parked,
      &state_dead, &state_cancelled, &breakers_opened, &notes_warn, &notes_error;
  std::array<prometheus::Counter*, kCancelReasons> cancelled{};

 private:
  void count_failure(const AttemptFact& fact);

  std::array<prometheus::Counter*, kVerdicts> attempts_{};
  std::array<prometheus::Counter*, kAttemptErrors> failures_{};
  prometheus::Counter &http_3xx_, &http_4xx_, &http_429_, &http_5xx_, &retries_, &limits_exhausted_;
  prometheus::Histogram &duration_success_, &duration_failure_, &queued_seconds_;
  std::array<prometheus::Counter*, kDeadReasons> dead_letters_{};

  prometheus::Family<prometheus::Gauge>& stopped_family_;
  prometheus::Gauge& stopped_count_;
  prometheus::Counter& lines_dropped_;
  prometheus::Family<prometheus::Counter>& http_requests_;
  prometheus::Histogram& http_seconds_;

  std::mutex lock_;
  std::map<std::pair<std::string, std::string>, prometheus::Gauge*> stopped_;  // null: no series of its own
  std::size_t stopped_series_ = 0;
};

}  // namespace postrider::telemetry
