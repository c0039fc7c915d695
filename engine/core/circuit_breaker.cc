#include "engine/core/circuit_breaker.h"

#include <algorithm>

namespace postrider {

CircuitBreaker::State CircuitBreaker::state(SteadyTime now) const {
  if (pause_ == Millis(0)) return State::closed;
  return now < open_until_ ? State::open : State::half_open;
}

bool CircuitBreaker::admit(SteadyTime now) {
  switch (state(now)) {
    case State::closed:
      return true;
    case State::open:
      return false;
    case State::half_open:
      break;
  }
  if (probing_) return false;
  probing_ = true;
  return true;
}

// Also when it comes from an attempt that was under way when the breaker opened: the endpoint answers again.
void CircuitBreaker::succeeded() {
  failures_in_a_row_ = 0;
  pause_ = Millis(0);
  probing_ = false;
}

void CircuitBreaker::failed(SteadyTime now) {
  if (pause_ == Millis(0)) {
    if (++failures_in_a_row_ < limits_.failures_to_open) return;
    pause_ = limits_.first_pause;
  } else if (probing_) {
    pause_ = std::min(pause_ * 2, limits_.longest_pause);
  } else {
    return;  // was under way when the breaker opened: it says nothing new
  }
  probing_ = false;
  open_until_ = now + pause_;
}

void CircuitBreaker::abandoned() {
  probing_ = false;
}

SteadyTime CircuitBreaker::reopens_at(SteadyTime now) const {
  switch (state(now)) {
    case State::closed:
      return now;
    case State::open:
      return open_until_;
    case State::half_open:
      break;
  }
  // A probe in flight ends within an attempt's time; asking again a first pause later finds it ended.
  return probing_ ? now + limits_.first_pause : now;
}

}  // namespace postrider
