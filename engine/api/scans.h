#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>

#include "engine/api/worker.h"
#include "engine/core/ids.h"
#include "engine/operations/patience.h"

namespace postrider {

// Look-ups that may read much of the log. They have a thread of their own, so that no command waits for them;
// and of one tenant one runs and one waits at most, so that none shuts out the others. Any thread may call.
class Scans {
 public:
  enum class Taken { yes, too_many_of_tenant, too_many };
  // Of the platform (no tenant), which looks after all of them, several may wait.
  Taken run(const TenantId& tenant, std::function<void()> job);
  // For the jobs' walks.
  Patience patience() const { return {kTimeMax, kBytesMax, &stopping_}; }
  // Ends what runs at its next record, and drops what waits.
  void stop();

  // After which a look-up answers with what it has; the next page goes on from there.
  static constexpr Millis kTimeMax{2'000};
  static constexpr std::uint64_t kBytesMax = std::uint64_t{256} << 20;

 private:
  static constexpr std::size_t kWaitingMax = 32, kPlatformWaitingMax = 8;
  void begun(const TenantId& tenant);

  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::map<TenantId, std::size_t> waiting_;  // of those that have any
  Worker worker_{kWaitingMax};
};

}  // namespace postrider
