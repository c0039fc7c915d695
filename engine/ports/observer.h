#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/fact.h"
#include "engine/core/health.h"
#include "engine/core/result.h"

namespace postrider {

// One attempt as logs and metrics tell it (O1, O3). Views live for the call only.
struct AttemptReport {
  const AttemptFact& fact;
  std::uint32_t attempts_max = 0;
  std::string_view traceparent;
  std::optional<std::int64_t> rate_limit_remaining;
  std::string_view error_code;  // "HTTP_503", "TIMEOUT", …; empty: success
  std::optional<DeadReason> dead;
};

// How much of the repeat window one partition's index of first positions covers.
struct RepeatIndexGauge {
  Partition partition = 0;
  std::int64_t covered_ms = 0;
  bool complete = false;  // the whole window, or all that the log has
};

// Gauges of one shard, set whole each second.
struct ShardGauges {
  std::uint64_t unsettled = 0, in_flight = 0, queued = 0, parked = 0, held = 0;
  std::uint64_t bytes = 0, unacknowledged = 0;
  std::int64_t oldest_due_ms = 0;  // how late the oldest due delivery is; 0: none is late
  std::uint64_t lag = 0;           // events not yet polled or not settled
  std::uint64_t breakers_open = 0, endpoints = 0, partitions = 0;
  // Endpoints that get fewer attempts at once than they were declared with, or wait for their own rate limit;
  // and attempts at those that did not answer in time last.
  std::uint64_t slowed = 0, silent_in_flight = 0;
  bool view_broken = false;  // it cannot be written or read: a full disk, damage
  std::vector<RepeatIndexGauge>
      repeat_index;  // of the owned ones that run; empty: repeats are not looked for
};

// What flow tells the world. Called on the shard's thread; must not block. Receives nothing secret: no
// bodies, no queries of URLs.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void attempt(const AttemptReport& report) = 0;
  virtual void dead_letter(const DeadLetter& letter) = 0;
  virtual void endpoint_changed(const TenantId& tenant, const EndpointId& endpoint, Stop stop,
                                std::string_view why) = 0;
  virtual void breaker_changed(const TenantId& tenant, const EndpointId& endpoint, bool open) = 0;
  virtual void event_taken(const TenantId& tenant, std::uint32_t fan_out) = 0;  // routed
  virtual void no_match(const TenantId& tenant) = 0;
  virtual void repeat(const TenantId& tenant) = 0;
  // Routed while the index of first positions did not cover the whole window: perhaps a repeat.
  virtual void perhaps_repeat(const TenantId& tenant) = 0;
  // Taken from another partition than its key belongs to: its repeats and it may not meet.
  virtual void misplaced(const TenantId& tenant) = 0;
  virtual void parked(bool attempted) = 0;
  virtual void cancelled(const CancelledFact& fact) = 0;
  // level: "info", "warn", "error". `operation` is a snake_case word: "partition_assigned", "offsets_lost", …
  virtual void note(std::string_view level, std::string_view operation, std::string_view message,
                    const Error* error) = 0;
  virtual void gauges(const ShardGauges& gauges) = 0;
};

}  // namespace postrider
