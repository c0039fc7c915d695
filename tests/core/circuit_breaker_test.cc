#include "engine/core/circuit_breaker.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

SteadyTime at(Millis span) {
  return SteadyTime(span);
}

CircuitBreaker opened_at(SteadyTime now) {
  CircuitBreaker breaker;
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(breaker.admit(now));
    breaker.failed(now);
  }
  return breaker;
}

TEST(CircuitBreaker, OpensAtTheTenthFailureInARowAndNotBefore) {
  CircuitBreaker breaker;
  for (int i = 0; i < 9; ++i) breaker.failed(at(seconds(1)));
  EXPECT_EQ(breaker.state(at(seconds(1))), CircuitBreaker::State::closed);
  EXPECT_TRUE(breaker.admit(at(seconds(1))));
  breaker.failed(at(seconds(1)));
  EXPECT_EQ(breaker.state(at(seconds(1))), CircuitBreaker::State::open);
  EXPECT_FALSE(breaker.admit(at(seconds(1))));
}

TEST(CircuitBreaker, ASuccessBetweenStartsTheCountAgain) {
  CircuitBreaker breaker;
  for (int i = 0; i < 9; ++i) breaker.failed(at(seconds(1)));
  breaker.succeeded();
  for (int i = 0; i < 9; ++i) breaker.failed(at(seconds(1)));
  EXPECT_TRUE(breaker.admit(at(seconds(1))));
}

TEST(CircuitBreaker, AnAbandonedAttemptNeitherEndsTheRunNorCounts) {
  CircuitBreaker breaker;
  for (int i = 0; i < 9; ++i) breaker.failed(at(seconds(1)));
  breaker.abandoned();
  EXPECT_EQ(breaker.state(at(seconds(1))), CircuitBreaker::State::closed);
  breaker.failed(at(seconds(1)));
  EXPECT_EQ(breaker.state(at(seconds(1))), CircuitBreaker::State::open);
}

TEST(CircuitBreaker, LetsOneProbeThroughAfterThirtySeconds) {
  CircuitBreaker breaker = opened_at(at(seconds(0)));
  EXPECT_EQ(breaker.reopens_at(at(seconds(10))), at(seconds(30)));
  EXPECT_FALSE(breaker.admit(at(seconds(30)) - Millis(1)));
  EXPECT_EQ(breaker.state(at(seconds(30))), CircuitBreaker::State::half_open);
  EXPECT_EQ(breaker.reopens_at(at(seconds(30))), at(seconds(30)));
  EXPECT_TRUE(breaker.admit(at(seconds(30))));
  EXPECT_FALSE(breaker.admit(at(seconds(30))));
  EXPECT_GT(breaker.reopens_at(at(seconds(31))), at(seconds(31)));
}

TEST(CircuitBreaker, AProbeThatSucceedsClosesItAndForgetsThePause) {
  CircuitBreaker breaker = opened_at(at(seconds(0)));
  ASSERT_TRUE(breaker.admit(at(seconds(30))));
  breaker.failed(at(seconds(31)));
  ASSERT_TRUE(breaker.admit(at(seconds(91))));
  breaker.succeeded();
  EXPECT_EQ(breaker.state(at(seconds(91))), CircuitBreaker::State::closed);
  EXPECT_EQ(breaker.reopens_at(at(seconds(91))), at(seconds(91)));
  for (int i = 0; i < 10; ++i) breaker.failed(at(seconds(100)));
  EXPECT_EQ(breaker.reopens_at(at(seconds(100))), at(seconds(130)));
}

TEST(CircuitBreaker, EachFailedProbeDoublesThePauseUpToFiveMinutes) {
  CircuitBreaker breaker = opened_at(at(seconds(0)));
  SteadyTime now = at(seconds(30));
  for (const Millis pause : {Millis(seconds(60)), Millis(seconds(120)), Millis(seconds(240)),
                             Millis(minutes(5)), Millis(minutes(5))}) {
    ASSERT_TRUE(breaker.admit(now));
    breaker.failed(now);
    EXPECT_FALSE(breaker.admit(now + pause - Millis(1)));
    EXPECT_EQ(breaker.reopens_at(now), now + pause);
    now += pause;
  }
}

TEST(CircuitBreaker, AnAbandonedProbeMakesRoomForAnotherAtOnce) {
  CircuitBreaker breaker = opened_at(at(seconds(0)));
  ASSERT_TRUE(breaker.admit(at(seconds(30))));
  breaker.abandoned();
  EXPECT_EQ(breaker.state(at(seconds(30))), CircuitBreaker::State::half_open);
  EXPECT_TRUE(breaker.admit(at(seconds(30))));
}

TEST(CircuitBreaker, AStragglersFailureWhileOpenDoesNotProlongThePause) {
  CircuitBreaker breaker = opened_at(at(seconds(0)));
  breaker.failed(at(seconds(14)));
  EXPECT_EQ(breaker.reopens_at(at(seconds(14))), at(seconds(30)));
}

TEST(CircuitBreaker, AStragglersSuccessClosesIt) {
  CircuitBreaker breaker = opened_at(at(seconds(0)));
  breaker.succeeded();
  EXPECT_TRUE(breaker.admit(at(seconds(1))));
}

}  // namespace
}  // namespace postrider
