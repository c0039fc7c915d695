#include "engine/core/replay_turns.h"

#include <algorithm>
#include <set>

namespace postrider {

std::optional<ReplayJobId> ReplayTurns::next(const std::vector<ReplayJob>& jobs, SteadyTime now) {
  forget_others(jobs);
  const ReplayJob* first = nullptr;
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) {
    if (!may_run(*job, now)) continue;
    if (!first || turn_of(job->within) < turn_of(first->within)) first = &*job;
  }
  if (!first) return std::nullopt;
  if (!first->within.empty()) turns_[first->within] = ++turn_;
  return first->id;
}

void ReplayTurns::not_ended(const ReplayJobId& id, SteadyTime now) {
  Wait& wait = waits_[id];
  wait.span = std::clamp(wait.span * 2, kLeastWait, kMostWait);
  wait.until = now + wait.span;
}

bool ReplayTurns::may_run(const ReplayJob& job, SteadyTime now) const {
  if (!job.is_free || !is_known(job.selection)) return false;
  const auto wait = waits_.find(job.id);
  return wait == waits_.end() || wait->second.until <= now;
}

// 0: the platform's, which come first; and 1, who has had none.
std::uint64_t ReplayTurns::turn_of(const TenantId& tenant) const {
  if (tenant.empty()) return 0;
  const auto turn = turns_.find(tenant);
  return turn == turns_.end() ? 1 : 1 + turn->second;
}

void ReplayTurns::forget_others(const std::vector<ReplayJob>& jobs) {
  std::set<ReplayJobId> ids;
  std::set<TenantId> tenants;
  for (const auto& job : jobs) {
    ids.insert(job.id);
    tenants.insert(job.within);
  }
  std::erase_if(waits_, [&](const auto& wait) { return !ids.contains(wait.first); });
  std::erase_if(turns_, [&](const auto& turn) { return !tenants.contains(turn.first); });
}

}  // namespace postrider
