#pragma once
#include <atomic>
#include <cstdint>

#include "engine/core/result.h"
#include "engine/core/time.h"

namespace postrider {

// How long whoever waits for a walk through the log will wait. By default: for ever, as at a terminal.
struct Patience {
  Millis time_max{0};                       // 0: any
  std::uint64_t bytes_max = 0;              // of keys and values read; 0: any
  const std::atomic<bool>* stop = nullptr;  // once true the walk fails at its next record; outlives it

  bool stopped() const { return stop != nullptr && stop->load(); }
};

// What a walk that was stopped fails with.
inline Error walk_stopped() {
  return {Errc::unavailable, "SERVICE_UNAVAILABLE", "this instance is going down",
          "ask another, or again soon"};
}

}  // namespace postrider
