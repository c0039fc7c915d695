#include "engine/api/scans.h"

#include <utility>

namespace postrider {

Scans::Taken Scans::run(const TenantId& tenant, std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  const auto known = waiting_.find(tenant);
  const std::size_t waiting = known == waiting_.end() ? 0 : known->second;
  if (waiting >= (tenant.empty() ? kPlatformWaitingMax : 1)) return Taken::too_many_of_tenant;
  const bool taken = worker_.run([this, tenant, job = std::move(job)] {
    begun(tenant);
    job();
  });
  if (!taken) return Taken::too_many;
  ++waiting_[tenant];
  return Taken::yes;
}

void Scans::begun(const TenantId& tenant) {
  const std::lock_guard lock(mutex_);
  const auto known = waiting_.find(tenant);
  if (known != waiting_.end() && --known->second == 0) waiting_.erase(known);
}

void Scans::stop() {
  stopping_ = true;
  worker_.stop();
}

}  // namespace postrider
