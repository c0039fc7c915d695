#include "engine/core/concurrency_limit.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace postrider {
namespace {

Outcome answered(std::int32_t status, std::int32_t took_ms = 20) {
  Outcome outcome;
  outcome.status = status;
  outcome.phases.total = took_ms;
  return outcome;
}

Outcome failed(AttemptError error) {
  Outcome outcome;
  outcome.error = error;
  return outcome;
}

// As many at once as it allows, all with that outcome, while more wait.
void round(ConcurrencyLimit& limit, const Outcome& outcome) {
  EXPECT_FALSE(limit.admits(limit.allowed()));
  for (std::uint32_t under_way = limit.allowed(); under_way > 0; --under_way)
    limit.saw(outcome, under_way - 1);
}

TEST(ConcurrencyLimit, BeginsOpenAndStaysSoWhileItIsAnswered) {
  ConcurrencyLimit limit(16);
  EXPECT_EQ(limit.allowed(), 16u);
  for (int i = 0; i < 100; ++i) round(limit, answered(i % 2 == 0 ? 200 : 404, 20 + i % 7 * 10));
  EXPECT_EQ(limit.allowed(), 16u);
  EXPECT_FALSE(limit.reduced());
}

TEST(ConcurrencyLimit, IsHalvedOnceByAllThatWasRefusedTogether) {
  for (const Outcome& refusal :
       {answered(429), answered(503), failed(AttemptError::connect), failed(AttemptError::reset)}) {
    ConcurrencyLimit limit(16);
    round(limit, refusal);
    EXPECT_EQ(limit.allowed(), 8u);
    round(limit, refusal);
    EXPECT_EQ(limit.allowed(), 4u);
    for (int i = 0; i < 10; ++i) round(limit, refusal);
    EXPECT_EQ(limit.allowed(), 1u) << "never none";
  }
}

TEST(ConcurrencyLimit, LeavesOneToWhoDoesNotAnswerInTime) {
  ConcurrencyLimit limit(1000);
  round(limit, failed(AttemptError::timeout));
  EXPECT_EQ(limit.allowed(), 1u);
}

TEST(ConcurrencyLimit, DoesNotMindWhatSaysNothingOfLoad) {
  ConcurrencyLimit limit(16);
  for (const AttemptError error : {AttemptError::dns, AttemptError::denied, AttemptError::tls,
                                   AttemptError::malformed, AttemptError::ambiguous}) {
    round(limit, failed(error));
  }
  round(limit, answered(500));
  EXPECT_EQ(limit.allowed(), 16u);
}

TEST(ConcurrencyLimit, GrowsBackByDoublingToHalfAndThenByOneARound) {
  ConcurrencyLimit limit(64);
  round(limit, failed(AttemptError::timeout));
  std::vector<std::uint32_t> levels;
  for (int i = 0; i < 8; ++i) {
    round(limit, answered(200));
    levels.push_back(limit.allowed());
  }
  EXPECT_EQ(levels, (std::vector<std::uint32_t>{2, 4, 8, 16, 32, 32, 33, 34}));
  for (int i = 0; i < 40; ++i) round(limit, answered(200));
  EXPECT_EQ(limit.allowed(), 64u);
}

TEST(ConcurrencyLimit, GrowsOnlyWhereItIsMet) {
  ConcurrencyLimit limit(64);
  round(limit, answered(429));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(limit.admits(7));
    limit.saw(answered(200), 7);
  }
  EXPECT_EQ(limit.allowed(), 32u);
}

TEST(ConcurrencyLimit, WarmsWhoAnswersAgainFromOneToAllInAFewRounds) {
  ConcurrencyLimit limit(16);
  for (int i = 0; i < 10; ++i) round(limit, failed(AttemptError::timeout));
  limit.warm();
  EXPECT_EQ(limit.allowed(), 1u);
  for (const std::uint32_t level : {2u, 4u, 8u, 16u, 16u}) {
    round(limit, answered(200));
    EXPECT_EQ(limit.allowed(), level);
  }
}

TEST(ConcurrencyLimit, ShrinksToAQuarterAtLeastWhileAnswersGrowSlow) {
  ConcurrencyLimit limit(16);
  for (int i = 0; i < 10; ++i) round(limit, answered(200, 50));
  EXPECT_EQ(limit.allowed(), 16u);
  for (int i = 0; i < 6; ++i) round(limit, answered(200, 900));
  EXPECT_EQ(limit.allowed(), 4u);
  // A quicker answer again, or what is slow has become usual.
  ConcurrencyLimit recovered = limit;
  for (int i = 0; i < 30; ++i) round(recovered, answered(200, 50));
  EXPECT_EQ(recovered.allowed(), 16u);
  for (int i = 0; i < 200; ++i) round(limit, answered(200, 900));
  EXPECT_EQ(limit.allowed(), 16u);
}

TEST(ConcurrencyLimit, IsNotShrunkByTimeThatIsOurs) {
  ConcurrencyLimit limit(16);
  for (int i = 0; i < 10; ++i) round(limit, answered(200, 50));
  for (std::uint32_t i = 0; i < 100; ++i) limit.saw(answered(200, 900), 15, false);
  EXPECT_EQ(limit.allowed(), 16u);
}

TEST(ConcurrencyLimit, FollowsWhatIsDeclared) {
  ConcurrencyLimit limit(16);
  limit.set_most(100);
  EXPECT_EQ(limit.allowed(), 100u);
  limit.saw(answered(503), 99);
  limit.set_most(200);
  EXPECT_EQ(limit.allowed(), 50u) << "reduced, it grows into what it may have";
  limit.set_most(10);
  EXPECT_EQ(limit.allowed(), 10u);
}

RC_GTEST_PROP(ConcurrencyLimit, StaysBetweenOneAndWhatIsDeclaredAndOpensAgain, ()) {
  const auto most = *rc::gen::inRange<std::uint32_t>(1, 200);
  ConcurrencyLimit limit(most);
  const auto outcomes = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 8));
  for (const int kind : outcomes) {
    switch (kind) {
      case 0:
        limit.saw(answered(429), *rc::gen::inRange<std::uint32_t>(0, most));
        break;
      case 1:
        limit.saw(failed(AttemptError::timeout), *rc::gen::inRange<std::uint32_t>(0, most));
        break;
      case 2:
        limit.warm();
        break;
      default:
        limit.saw(answered(200, *rc::gen::inRange(0, 15'000)), *rc::gen::inRange<std::uint32_t>(0, most));
    }
    RC_ASSERT(limit.allowed() >= 1 && limit.allowed() <= most);
  }
  for (int i = 0; i < 500; ++i) round(limit, answered(200));
  RC_ASSERT(limit.allowed() == most);
}

}  // namespace
}  // namespace postrider
