#include "engine/core/rate_limiter.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace postrider {
namespace {

SteadyTime at(std::int64_t ms) {
  return from_ms<SteadyTime>(ms);
}

int burst(RateLimiter& limiter, SteadyTime now) {
  int admitted = 0;
  while (admitted < 1000 && limiter.admit(now)) ++admitted;
  return admitted;
}

TEST(RateLimiter, ZeroMeansNoLimit) {
  RateLimiter limiter(0);
  EXPECT_EQ(burst(limiter, at(5)), 1000);
  EXPECT_EQ(limiter.next(at(5)), at(5));
}

TEST(RateLimiter, AllowsOneSecondsBurstAndThenTheRate) {
  RateLimiter limiter(10);
  EXPECT_EQ(burst(limiter, at(1000)), 10);
  EXPECT_EQ(limiter.next(at(1000)), at(1100));
  EXPECT_FALSE(limiter.admit(at(1099)));
  EXPECT_TRUE(limiter.admit(at(1100)));
  EXPECT_FALSE(limiter.admit(at(1100)));
  EXPECT_EQ(burst(limiter, at(1600)), 5);
}

TEST(RateLimiter, SavesUpNoMoreThanOneSecond) {
  RateLimiter limiter(10);
  burst(limiter, at(0));
  EXPECT_EQ(burst(limiter, at(3'600'000)), 10);
}

TEST(RateLimiter, BelowOneASecondStillHasOneToken) {
  RateLimiter limiter(0.1);
  EXPECT_TRUE(limiter.admit(at(0)));
  EXPECT_FALSE(limiter.admit(at(9'900)));
  EXPECT_EQ(limiter.next(at(0)), at(10'000));
  EXPECT_TRUE(limiter.admit(at(10'000)));
}

TEST(RateLimiter, AClockThatStandsStillOrStepsBackGivesNothingAway) {
  RateLimiter limiter(1);
  EXPECT_TRUE(limiter.admit(at(5000)));
  EXPECT_FALSE(limiter.admit(at(5000)));
  EXPECT_FALSE(limiter.admit(at(1000)));
  EXPECT_FALSE(limiter.admit(at(5999)));
  EXPECT_TRUE(limiter.admit(at(6000)));
  RateLimiter faster(10);
  EXPECT_TRUE(faster.admit(at(5000)));
  EXPECT_TRUE(faster.admit(at(1000)));  // nine were left
}

TEST(RateLimiter, ATinyRateWaitsADayAtMost) {
  RateLimiter limiter(1e-12);
  EXPECT_TRUE(limiter.admit(at(0)));
  EXPECT_EQ(limiter.next(at(0)), at(86'400'000));
}

RC_GTEST_PROP(RateLimiter, NextIsWhenATokenIsThereAndNeverExceedsTheRate, ()) {
  const double rate = *rc::gen::inRange(1, 5000) / 10.0;
  RateLimiter limiter(rate);
  SteadyTime now = at(*rc::gen::inRange(0, 1'000'000));
  const SteadyTime start = now;
  double admitted = 0;
  for (int i = 0; i < 200; ++i) {
    now = limiter.next(now);
    RC_ASSERT(limiter.admit(now));
    ++admitted;
  }
  const double seconds = static_cast<double>((now - start).count()) / 1000;
  RC_ASSERT(admitted <= std::max(1.0, rate) + seconds * rate + 0.01);
}

}  // namespace
}  // namespace postrider
