#pragma once
#include "engine/core/time.h"

namespace postrider {

// Log time is no clock: flow derives it from append times and steady().
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime wall() const = 0;
  virtual SteadyTime steady() const = 0;  // CLOCK_BOOTTIME
};

}  // namespace postrider
