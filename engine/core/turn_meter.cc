#include "engine/core/turn_meter.h"

namespace postrider {
namespace {

constexpr Millis kLookBack{100};
constexpr double kSaturated = 0.9;

}  // namespace

void TurnMeter::begin(SteadyTime now) {
  const Millis window = now - window_began_;
  if (window >= kLookBack) {
    const auto whole = static_cast<double>(window.count());
    saturated_ = turns_ > 0 && static_cast<double>(worked_.count()) >= kSaturated * whole;
    turn_ms_ = turns_ > 0 ? whole / turns_ : 0;
    window_began_ = now;
    worked_ = Millis(0);
    turns_ = 0;
  }
  turn_began_ = now;
}

void TurnMeter::end(SteadyTime now) {
  worked_ += now - turn_began_;
  ++turns_;
}

}  // namespace postrider
