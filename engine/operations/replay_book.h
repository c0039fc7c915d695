#pragma once
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/replay_ledger.h"
#include "engine/operations/desk.h"

namespace postrider {

// `replays` as far as it was read. Reading goes on from there, so that asking again is cheap. Any thread.
class ReplayBook {
 public:
  // Up to what the log has now.
  Result<void> read_on(Desk& desk);
  // As of the last reading. nullopt: there is none, or it is not `within` that tenant (empty: any).
  std::optional<ReplayJob> find(const Desk& desk, const ReplayJobId& id, const TenantId& within = {}) const;
  std::vector<ReplayJob> all(const Desk& desk, const TenantId& within = {}) const;  // the newest first
  bool runs(const ReplayJobId& id, const std::string& run) const;
  bool cancel_asked(const ReplayJobId& id) const;

 private:
  mutable std::mutex mutex_;  // of the ledger
  std::mutex reading_;        // held by who reads on; readers of what is known do not wait for it
  ReplayLedger ledger_;
  Offset next_ = 0;
};

// Writes a record of `replays` and returns once the log has it.
Result<void> append_replay(Desk& desk, const ReplayFact& fact);

}  // namespace postrider
