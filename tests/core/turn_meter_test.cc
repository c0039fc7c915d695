#include "engine/core/turn_meter.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

// `turns` of `work` ms with `rest` ms after each.
void live(TurnMeter& meter, SteadyTime& now, int turns, std::int64_t work, std::int64_t rest) {
  for (int i = 0; i < turns; ++i) {
    meter.begin(now);
    now += Millis(work);
    meter.end(now);
    now += Millis(rest);
  }
}

TEST(TurnMeter, ALoopWithoutRestIsOutpacedByAnswersThatComeAsFastAsItsTurns) {
  TurnMeter meter;
  SteadyTime now(Millis(5'000));
  live(meter, now, 100, 8, 0);
  EXPECT_TRUE(meter.outpaced_by(Millis(10)));
  EXPECT_TRUE(meter.outpaced_by(Millis(25)));
  EXPECT_TRUE(meter.saturated());
  EXPECT_FALSE(meter.outpaced_by(Millis(27))) << "a slow endpoint gets all it may have";
}

TEST(TurnMeter, ALoopThatRestsIsNot) {
  TurnMeter meter;
  SteadyTime now(Millis(5'000));
  live(meter, now, 100, 8, 2);
  EXPECT_FALSE(meter.outpaced_by(Millis(0)));
  EXPECT_FALSE(meter.saturated());
}

TEST(TurnMeter, ForgetsWithinATenthOfASecond) {
  TurnMeter meter;
  SteadyTime now(Millis(5'000));
  live(meter, now, 100, 8, 0);
  live(meter, now, 20, 1, 9);
  EXPECT_FALSE(meter.outpaced_by(Millis(0)));
}

TEST(TurnMeter, ATurnOfVirtualTimeTakesNone) {
  TurnMeter meter;
  SteadyTime now(Millis(5'000));
  live(meter, now, 1000, 0, 1);
  EXPECT_FALSE(meter.outpaced_by(Millis(0)));
}

}  // namespace
}  // namespace postrider
