#pragma once
#include "engine/core/time.h"

namespace postrider {

// How busy a loop is: the share of its time that its turns take, and how long one takes, over the last tenth
// of a second. A value; the caller says when a turn begins and ends.
//
// A loop without rest is the slower party: to an endpoint whose answers lie ready by the next turn, more
// attempts at once bring nothing, and each costs a connection's memory in the kernel, in libcurl and in the
// caches.
class TurnMeter {
 public:
  void begin(SteadyTime now);
  void end(SteadyTime now);

  bool saturated() const { return saturated_; }
  // Nearly without rest, and answers that take this long come about as fast as turns do.
  bool outpaced_by(Millis answer) const {
    return saturated_ && static_cast<double>(answer.count()) <= 3 * turn_ms_ + 1;
  }

 private:
  SteadyTime window_began_{}, turn_began_{};
  Millis worked_{0};
  int turns_ = 0;
  bool saturated_ = false;
  double turn_ms_ = 0;
};

}  // namespace postrider
