#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "engine/core/ids.h"
#include "engine/core/replay_ledger.h"
#include "engine/core/time.h"

namespace postrider {

// Which replay an instance runs next: the platform's own first, then those of the tenant whose turn is the
// longest ago, and of one tenant the oldest. One that did not end waits, each time for longer, so that it
// holds up nobody else; one that selects by what this version does not know is left to a newer one.
class ReplayTurns {
 public:
  static constexpr Millis kLeastWait = std::chrono::seconds(5);
  static constexpr Millis kMostWait = std::chrono::minutes(5);

  // Of `jobs`, the newest first (ReplayLedger::all). It is that one's turn then. nullopt: there is none.
  std::optional<ReplayJobId> next(const std::vector<ReplayJob>& jobs, SteadyTime now);
  void ended(const ReplayJobId& id) { waits_.erase(id); }
  // Whatever kept it from ending may keep it again.
  void not_ended(const ReplayJobId& id, SteadyTime now);

 private:
  struct Wait {
    Millis span{0};
    SteadyTime until{};
  };
  bool may_run(const ReplayJob& job, SteadyTime now) const;
  std::uint64_t turn_of(const TenantId& tenant) const;
  void forget_others(const std::vector<ReplayJob>& jobs);

  std::map<ReplayJobId, Wait> waits_;
  std::map<TenantId, std::uint64_t> turns_;  // the last of each
  std::uint64_t turn_ = 0;
};

}  // namespace postrider
