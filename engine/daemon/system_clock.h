#pragma once
#include <ctime>

#include "engine/ports/clock.h"

namespace postrider {

// The machine's clocks. Thread-safe.
class SystemClock : public Clock {
 public:
  WallTime wall() const override { return from_ms<WallTime>(read(CLOCK_REALTIME)); }
  // CLOCK_BOOTTIME counts the time a machine was suspended: a lease must run out meanwhile.
  SteadyTime steady() const override { return from_ms<SteadyTime>(read(CLOCK_BOOTTIME)); }

 private:
  static std::int64_t read(clockid_t id) {
    timespec now{};
    clock_gettime(id, &now);
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  }
};

}  // namespace postrider
