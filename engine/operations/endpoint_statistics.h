#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "engine/operations/desk.h"
#include "engine/operations/patience.h"

namespace postrider {

// How an endpoint has done, from the attempts on the log: so any instance can say, whoever owns the
// partitions, and all of them say the same.
struct EndpointStatistics {
  std::int64_t since = 0, until = 0;  // append times, unix ms, [since, until): what was asked for
  std::int64_t looked_back_to = 0;    // not 0: `since` was not reached, and only what is newer was counted
  std::uint64_t attempts = 0, succeeded = 0, failed = 0;
  std::map<std::string, std::uint64_t> by_outcome;  // "HTTP_200", "TIMEOUT", …
  struct Latency {
    std::int32_t p50 = 0, p95 = 0, p99 = 0, max = 0;  // ms, of attempts that were answered
  };
  std::optional<Latency> latency;  // nullopt: none was
  // Deliveries that were tried, by what their newest attempt in that time came to.
  std::uint64_t delivered = 0, dead = 0, waiting = 0;
};

inline constexpr std::uint64_t kStatisticsRecordsMax = 200'000;  // looked at

Result<EndpointStatistics> endpoint_statistics(Desk& desk, const TenantId& tenant, const Target& target,
                                               std::int64_t since, std::int64_t until,
                                               const Patience& patience = {});

}  // namespace postrider
