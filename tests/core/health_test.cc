#include "engine/core/health.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

LogTime at(Millis span) {
  return LogTime(std::chrono::hours(1'000'000)) + span;
}

TEST(EndpointHealth, TheFirstFailureAndTheFirstSuccessAfterItAreChangesAndNothingBetween) {
  EndpointHealth health;
  EXPECT_FALSE(health.succeeded(at(seconds(0))));
  const auto first = health.failed(at(seconds(1)), false, false);
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->failing);
  EXPECT_EQ(first->stop, Stop::none);
  EXPECT_EQ(first->why, "first_failure");
  EXPECT_EQ(first->since, at(seconds(1)));
  EXPECT_FALSE(health.failed(at(seconds(2)), false, false));
  const auto recovered = health.succeeded(at(seconds(3)));
  ASSERT_TRUE(recovered);
  EXPECT_FALSE(recovered->failing);
  EXPECT_EQ(recovered->why, "recovered");
  EXPECT_FALSE(health.succeeded(at(seconds(4))));
}

TEST(EndpointHealth, GoneDisablesAtOnce) {
  EndpointHealth health;
  const auto change = health.failed(at(seconds(1)), false, true);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->stop, Stop::disabled);
  EXPECT_EQ(change->why, "gone_410");
  EXPECT_EQ(change->since, at(seconds(1)));
  EXPECT_FALSE(health.failed(at(seconds(2)), false, true));
  EXPECT_FALSE(health.succeeded(at(seconds(3))));
}

TEST(EndpointHealth, TheFifthUnauthorizedInARowQuarantines) {
  EndpointHealth health;
  EXPECT_TRUE(health.failed(at(seconds(1)), true, false));  // the first failure
  for (int i = 2; i <= 4; ++i) EXPECT_FALSE(health.failed(at(seconds(i)), true, false)) << i;
  const auto change = health.failed(at(seconds(5)), true, false);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->stop, Stop::quarantined);
  EXPECT_EQ(change->why, "unauthorized_5_in_a_row");
  EXPECT_FALSE(health.failed(at(seconds(6)), true, false));
}

TEST(EndpointHealth, AnyOtherFinalAnswerEndsTheRunOfUnauthorized) {
  for (const bool success : {false, true}) {
    EndpointHealth health;
    for (int i = 1; i <= 4; ++i) health.failed(at(seconds(i)), true, false);
    if (success) {
      health.succeeded(at(seconds(5)));
    } else {
      health.failed(at(seconds(5)), false, false);
    }
    for (int i = 6; i <= 9; ++i) {
      const auto change = health.failed(at(seconds(i)), true, false);
      EXPECT_TRUE(!change || change->stop == Stop::none) << i;
    }
    EXPECT_EQ(health.failed(at(seconds(10)), true, false)->stop, Stop::quarantined);
  }
}

TEST(EndpointHealth, ATimeoutIsNoAnswerAndLeavesTheRunAsItIs) {
  EndpointHealth health;
  for (int i = 1; i <= 4; ++i) health.failed(at(seconds(i)), true, false);
  EXPECT_FALSE(health.failed(at(seconds(5)), false, false, false));
  const auto change = health.failed(at(seconds(6)), true, false);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->stop, Stop::quarantined);
}

TEST(EndpointHealth, ADayOfNothingButFailuresDisables) {
  EndpointHealth health;
  health.failed(at(hours(0)), false, false);
  EXPECT_FALSE(health.failed(at(hours(24)) - Millis(1), false, false));
  const auto change = health.failed(at(hours(24)), false, false);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->stop, Stop::disabled);
  EXPECT_EQ(change->why, "failing_24h");
  EXPECT_EQ(change->since, at(hours(24)));
}

TEST(EndpointHealth, OneSuccessBetweenStartsTheDayAgain) {
  EndpointHealth health;
  health.failed(at(hours(0)), false, false);
  health.succeeded(at(hours(23)));
  EXPECT_EQ(health.failed(at(hours(25)), false, false)->why, "first_failure");
  EXPECT_FALSE(health.failed(at(hours(48)), false, false));
  EXPECT_EQ(health.failed(at(hours(49)), false, false)->why, "failing_24h");
}

TEST(EndpointHealth, AQuarantineMayBecomeADisableAndNeverTheOtherWay) {
  EndpointHealth health;
  for (int i = 1; i <= 5; ++i) health.failed(at(seconds(i)), true, false);
  EXPECT_EQ(health.failed(at(seconds(6)), false, true)->stop, Stop::disabled);
  for (int i = 7; i <= 20; ++i) EXPECT_FALSE(health.failed(at(seconds(i)), true, false));
}

TEST(EndpointHealth, WhatTheLogKnowsIsRestoredSoThatTheDayGoesOn) {
  HealthFact fact;
  fact.enable_revision = 3;
  fact.failing = true;
  fact.since = to_ms(at(hours(0)));
  EndpointHealth health;
  health.restore(fact, 3);
  EXPECT_EQ(health.failed(at(hours(24)), false, false)->why, "failing_24h");
}

TEST(EndpointHealth, ARunOfFailuresCountsFromTheEndOfASuspensionAtTheEarliest) {
  HealthFact fact;
  fact.failing = true;
  fact.since = to_ms(at(hours(0)));
  EndpointHealth health;
  health.restore(fact, 0, at(hours(48)));
  ASSERT_FALSE(health.failed(at(hours(48)), false, false));
  EXPECT_EQ(health.failed(at(hours(72)), false, false)->why, "failing_24h");
}

TEST(EndpointHealth, AFactFromBeforeTheLastEnableIsVoid) {
  HealthFact fact;
  fact.enable_revision = 3;
  fact.stop = Stop::disabled;
  fact.failing = true;
  EndpointHealth health;
  health.failed(at(seconds(1)), false, false);
  health.restore(fact, 4);
  EXPECT_EQ(health.failed(at(seconds(2)), false, false)->why, "first_failure");
}

TEST(EndpointHealth, TheShareIsThatOfTheLastHundredAttempts) {
  EndpointHealth health;
  EXPECT_EQ(health.failure_share(), 0);
  health.failed(at(seconds(0)), false, false);
  EXPECT_EQ(health.failure_share(), 1);
  for (int i = 0; i < 99; ++i) health.succeeded(at(seconds(1)));
  EXPECT_DOUBLE_EQ(health.failure_share(), 0.01);
  health.succeeded(at(seconds(1)));  // the failure is the 101st last now
  EXPECT_EQ(health.failure_share(), 0);
  for (int i = 0; i < 70; ++i) health.failed(at(seconds(2)), false, false);
  EXPECT_DOUBLE_EQ(health.failure_share(), 0.7);
}

TEST(HealthState, FollowsStopThenBreakerThenShare) {
  using Breaker = CircuitBreaker::State;
  EXPECT_EQ(health_state(Stop::disabled, Breaker::open, 1), HealthState::disabled);
  EXPECT_EQ(health_state(Stop::quarantined, Breaker::open, 1), HealthState::quarantined);
  EXPECT_EQ(health_state(Stop::none, Breaker::open, 0), HealthState::failing);
  EXPECT_EQ(health_state(Stop::none, Breaker::half_open, 0), HealthState::failing);
  EXPECT_EQ(health_state(Stop::none, Breaker::closed, 0.51), HealthState::failing);
  EXPECT_EQ(health_state(Stop::none, Breaker::closed, 0.5), HealthState::degraded);
  EXPECT_EQ(health_state(Stop::none, Breaker::closed, 0.06), HealthState::degraded);
  EXPECT_EQ(health_state(Stop::none, Breaker::closed, 0.05), HealthState::healthy);
  EXPECT_EQ(name_of(HealthState::needs_reauth), "needs_reauth");
}

}  // namespace
}  // namespace postrider
