#include "engine/core/request_limiter.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using std::chrono::seconds;

SteadyTime at(Millis span) {
  return SteadyTime(std::chrono::hours(1)) + span;
}

RequestLimiter::Limits limits() {
  return {.tenant_token = {.per_second = 2},
          .platform_token = {},
          .address = {.per_second = 5},
          .failures = {.per_second = 0.05, .least = 3}};
}

TEST(RequestLimiter, LetsTwoSecondsWorthThroughAtOnceAndThenAsManyAsCome) {
  RequestLimiter limiter(limits());
  auto charge = limiter.authenticated("t", false, at(seconds(0)));
  EXPECT_TRUE(charge.admitted);
  EXPECT_EQ(charge.limit, 4);
  EXPECT_EQ(charge.remaining, 3);
  EXPECT_EQ(charge.reset_s, 1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.arrived("a", "t", at(seconds(0))).admitted);
  charge = limiter.arrived("a", "t", at(seconds(0)));
  EXPECT_FALSE(charge.admitted);
  EXPECT_EQ(charge.remaining, 0);
  EXPECT_EQ(charge.reset_s, 2);
  EXPECT_EQ(charge.retry_s, 1);
  EXPECT_TRUE(limiter.arrived("a", "t", at(Millis(500))).admitted);
  EXPECT_FALSE(limiter.arrived("a", "t", at(Millis(500))).admitted);
  EXPECT_EQ(limiter.arrived("a", "t", at(seconds(60))).remaining, 3) << "no more than the bucket holds";
}

TEST(RequestLimiter, ChargesARequestOnce) {
  RequestLimiter limiter(limits());
  limiter.authenticated("t", false, at(seconds(0)));
  EXPECT_EQ(limiter.arrived("a", "t", at(seconds(0))).remaining, 2);
  EXPECT_EQ(limiter.authenticated("t", false, at(seconds(0))).remaining, 2);
}

TEST(RequestLimiter, PlatformTokensHaveALimitOfTheirOwnAndHereNone) {
  RequestLimiter limiter(limits());
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(limiter.authenticated("p", true, at(seconds(0))).admitted);
    EXPECT_TRUE(limiter.arrived("a", "p", at(seconds(0))).admitted) << "nor does its address count";
  }
}

TEST(RequestLimiter, AnAddressThatGuessesIsShutOutAndThoseWhoShareItAreNot) {
  RequestLimiter limiter(limits());
  limiter.authenticated("p", true, at(seconds(0)));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limiter.arrived("192.0.2.1", "guess", at(seconds(0))).admitted);
    limiter.failed("192.0.2.1", "guess", at(seconds(0)));
  }
  const auto refused = limiter.arrived("192.0.2.1", "guess", at(seconds(0)));
  EXPECT_FALSE(refused.admitted);
  EXPECT_EQ(refused.retry_s, 20);
  EXPECT_FALSE(limiter.arrived("192.0.2.1", "", at(seconds(0))).admitted);
  EXPECT_TRUE(limiter.arrived("192.0.2.1", "p", at(seconds(0))).admitted) << "a token that has proved valid";
  EXPECT_TRUE(limiter.arrived("192.0.2.2", "guess", at(seconds(0))).admitted) << "another address";
  EXPECT_TRUE(limiter.arrived("192.0.2.1", "guess", at(seconds(20))).admitted);
}

TEST(RequestLimiter, ATokenThatIsRevokedHasProvedNothing) {
  RequestLimiter limiter(limits());
  limiter.authenticated("p", true, at(seconds(0)));
  for (int i = 0; i < 3; ++i) limiter.failed("192.0.2.1", "p", at(seconds(0)));
  EXPECT_FALSE(limiter.arrived("192.0.2.1", "p", at(seconds(0))).admitted);
}

TEST(RequestLimiter, TakesAnIpv6NetworkForOneClient) {
  EXPECT_EQ(client_of("2001:db8:0:1::1"), client_of("2001:db8:0:1:ffff::2"));
  EXPECT_NE(client_of("2001:db8:0:1::1"), client_of("2001:db8:0:2::1"));
  EXPECT_NE(client_of("192.0.2.1"), client_of("192.0.2.2"));
}

TEST(Buckets, ForgetWhoWasHeardOfLongestAgo) {
  Buckets buckets(2);
  const Allowance one{.per_second = 1, .least = 1};
  buckets.take("a", one, at(seconds(0)));
  buckets.take("b", one, at(seconds(0)));
  buckets.take("a", one, at(seconds(0)));
  buckets.take("c", one, at(seconds(0)));
  EXPECT_TRUE(buckets.knows("a"));
  EXPECT_FALSE(buckets.knows("b"));
  EXPECT_EQ(buckets.size(), 2u);
}

TEST(Buckets, LoseNothingToSumsOfFractions) {
  Buckets buckets(1);
  const Allowance slow{.per_second = 0.1, .least = 1};
  int admitted = 0;
  for (int i = 0; i <= 1000; ++i) admitted += buckets.take("a", slow, at(Millis(i * 100))).admitted ? 1 : 0;
  EXPECT_EQ(admitted, 11);
}

TEST(RequestLimiter, HoldsABearerToOneBucketHoweverManyTokensHeHas) {
  RequestLimiter limiter(limits());
  const auto now = at(seconds(0));
  EXPECT_EQ(limiter.authenticated("t1", false, now, "ada").remaining, 3);
  EXPECT_EQ(limiter.authenticated("t2", false, now, "ada").remaining, 2)
      << "another text, and charged all the same";
  EXPECT_EQ(limiter.arrived("a", "t1", now).remaining, 1);
  EXPECT_EQ(limiter.authenticated("t1", false, now, "ada").remaining, 1) << "once";
  EXPECT_EQ(limiter.arrived("a", "t2", now).remaining, 0);
  EXPECT_FALSE(limiter.arrived("a", "t1", now).admitted);
  EXPECT_FALSE(limiter.authenticated("t3", false, now, "ada").admitted);
  EXPECT_TRUE(limiter.authenticated("t4", false, now, "eve").admitted);
  limiter.failed("b", "t1", now);
  EXPECT_FALSE(limiter.authenticated("t1", false, now, "ada").admitted) << "an old token fills nothing";
}

}  // namespace
}  // namespace postrider
