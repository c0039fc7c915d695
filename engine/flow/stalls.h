#pragma once
#include <optional>
#include <string>

#include "engine/core/time.h"
#include "engine/flow/owned_partition.h"

namespace postrider::flow {

// What has stopped in a partition of ours, for readiness: it is not taken over, no commit is acknowledged, or
// nothing settles, for longer than kStalled. One sentence; nullopt: it moves. Longer than an attempt, shorter
// than anybody looks away.
std::optional<std::string> stall_of(const OwnedPartition& partition, SteadyTime now);
inline constexpr Millis kStalled{25'000};

}  // namespace postrider::flow
