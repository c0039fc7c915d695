#include "engine/flow/stalls.h"

#include <algorithm>

namespace postrider::flow {
namespace {

std::string seconds_since(SteadyTime since, SteadyTime now) {
  return std::to_string((now - since).count() / 1000) + " s";
}

}  // namespace

std::optional<std::string> stall_of(const OwnedPartition& partition, SteadyTime now) {
  using Phase = OwnedPartition::Phase;
  const std::string name = "partition " + std::to_string(partition.number) + ": ";
  if (partition.phase == Phase::stopped || partition.phase == Phase::draining) return std::nullopt;
  if (partition.phase != Phase::running) {
    if (now - partition.assigned_at < kStalled) return std::nullopt;
    return name + "it was assigned " + seconds_since(partition.assigned_at, now) +
           " ago, and what is parked there is not read yet";
  }
  const SteadyTime acknowledged = partition.acknowledged_at.value_or(partition.running_since);
  if (now - acknowledged >= kStalled)
    return name + "the group has acknowledged no commit for " + seconds_since(acknowledged, now) +
           ": nothing is sent meanwhile";
  if (partition.unanswered_since && now - *partition.unanswered_since >= kStalled)
    return name + "where `events` ends is not to be had for " +
           seconds_since(*partition.unanswered_since, now) + ": perhaps it has no leader";
  if (partition.astray_since && now - *partition.astray_since >= kStalled) {
    const std::string since = seconds_since(*partition.astray_since, now);
    return name + (partition.known_end < partition.read_to
                       ? "`events` has ended for " + since + " at " + std::to_string(partition.known_end) +
                             ", below offset " + std::to_string(partition.read_to) + ", which was read"
                       : "nothing was read for " + since + ", though offset " +
                             std::to_string(partition.read_to) + " waits");
  }
  if (partition.watermark.unsettled() > 0 && now - partition.settled_at >= kStalled)
    return name + "nothing has settled for " + seconds_since(partition.settled_at, now) + ", offset " +
           std::to_string(partition.watermark.lowest_unsettled()) + " is the first that waits";
  return std::nullopt;
}

}  // namespace postrider::flow
