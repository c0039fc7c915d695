#pragma once
#include <cstdint>

#include "engine/core/time.h"

namespace postrider {

struct BreakerLimits {
  std::uint32_t failures_to_open = 10;
  Millis first_pause = std::chrono::seconds(30);
  Millis longest_pause = std::chrono::minutes(5);
};

// Stops calling an endpoint that keeps failing, then lets one probe through.
// A value: no clock, no locks. A shard owns one per endpoint.
class CircuitBreaker {
 public:
  explicit CircuitBreaker(BreakerLimits limits = {}) : limits_(limits) {}

  enum class State { closed, open, half_open };
  State state(SteadyTime now) const;

  // False while open, and while a probe is in flight. True while half open takes the probe: every admit that
  // answered true is followed by exactly one of succeeded, failed or abandoned.
  bool admit(SteadyTime now);
  void succeeded();
  void failed(SteadyTime now);
  void abandoned();  // the attempt was not made, or says nothing of the endpoint's health (a 404, our fault)

  // When admit may be true again; `now` when it is already.
  SteadyTime reopens_at(SteadyTime now) const;

 private:
  BreakerLimits limits_;
  std::uint32_t failures_in_a_row_ = 0;
  Millis pause_{0};  // zero: closed
  SteadyTime open_until_{};
  bool probing_ = false;
};

}  // namespace postrider
