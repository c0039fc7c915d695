#pragma once
#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "engine/core/time.h"

namespace postrider::embedded {

// The log's time: the wall clock is read once, at open, never below the last append, and from then on time
// passes as CLOCK_BOOTTIME does: a wall clock that is set while we run moves nothing. Never falls.
// Thread-safe.
class AppendClock {
 public:
  using Steady = std::function<SteadyTime()>;
  AppendClock(WallTime wall, LogTime newest, Steady steady)
      : steady_(std::move(steady)),
        base_(std::max(from_ms<LogTime>(to_ms(wall)), newest)),
        started_(steady_()),
        last_(base_) {}

  LogTime now() {
    const std::scoped_lock lock(mutex_);
    last_ = std::max(last_, base_ + (steady_() - started_));
    return last_;
  }

 private:
  const Steady steady_;
  const LogTime base_;
  const SteadyTime started_;
  std::mutex mutex_;
  LogTime last_;
};

}  // namespace postrider::embedded
