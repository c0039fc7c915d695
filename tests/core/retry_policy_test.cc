#include "engine/core/retry_policy.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace postrider {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t kLeast = 0;
constexpr std::uint64_t kMiddle = std::uint64_t{1} << 63;
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

RetryPolicy policy(std::vector<std::string> words) {
  auto parsed = parse_retry_policy(words);
  EXPECT_TRUE(parsed.has_value());
  return parsed.value_or(RetryPolicy{});
}

// The delays at the middle of their jitter.
std::vector<Millis> delays_of(const RetryPolicy& policy) {
  std::vector<Millis> delays;
  for (std::uint32_t attempts = 1; const auto delay = policy.delay_after(attempts, kMiddle); ++attempts) {
    delays.push_back(*delay);
  }
  return delays;
}

TEST(RetryPolicy, StandardRetriesFiveTimes) {
  EXPECT_EQ(policy({"standard"}).attempts_max(), 6u);
  EXPECT_EQ(delays_of(policy({"standard"})), (std::vector<Millis>{5s, 5min, 30min, 2h, 5h}));
}

TEST(RetryPolicy, PatientIsStandardWebhooksSchedule) {
  EXPECT_EQ(policy({"patient"}).attempts_max(), 10u);
  EXPECT_EQ(delays_of(policy({"patient"})),
            (std::vector<Millis>{5s, 5min, 30min, 2h, 5h, 10h, 14h, 20h, 24h}));
}

TEST(RetryPolicy, QuickDrawsFromNothingToTwiceTheSpanBefore) {
  const RetryPolicy quick = policy({"quick"});
  EXPECT_EQ(quick.attempts_max(), 6u);
  Millis most = 1s;
  for (std::uint32_t attempts = 1; attempts <= 5; ++attempts, most *= 2) {
    EXPECT_EQ(quick.delay_after(attempts, kLeast), 0ms);
    EXPECT_EQ(quick.delay_after(attempts, kMost), most);
  }
  EXPECT_EQ(quick.delay_after(6, kLeast), std::nullopt);
  EXPECT_LE(quick.longest(), 31s);
}

TEST(RetryPolicy, JitterIsAFifthEitherWay) {
  for (const RetryPolicy& each : {policy({"standard"}), policy({"patient"}), policy({"10s", "7s"})}) {
    const auto delays = delays_of(each);
    for (std::uint32_t i = 0; i < delays.size(); ++i) {
      EXPECT_EQ(each.delay_after(i + 1, kLeast), delays[i] * 4 / 5);
      EXPECT_EQ(each.delay_after(i + 1, kMost), delays[i] * 6 / 5);
    }
  }
}

RC_GTEST_PROP(RetryPolicy, NoDelayLeavesItsJitter, ()) {
  const auto attempts = *rc::gen::inRange<std::uint32_t>(1, 6);
  const auto chance = *rc::gen::arbitrary<std::uint64_t>();
  const std::vector<Millis> standard{5s, 5min, 30min, 2h, 5h};
  const auto delay = RetryPolicy{}.delay_after(attempts, chance);
  RC_ASSERT(delay.has_value());
  RC_ASSERT(*delay >= standard[attempts - 1] * 4 / 5);
  RC_ASSERT(*delay <= standard[attempts - 1] * 6 / 5);
}

TEST(RetryPolicy, JitterIsEvenOverItsSpan) {
  const RetryPolicy one = policy({"10s"});
  for (const std::uint64_t quarter : {0u, 1u, 2u, 3u, 4u}) {
    const std::uint64_t chance = quarter == 4 ? kMost : quarter << 62;
    const Millis expected = 8s + Millis(1000 * static_cast<std::int64_t>(quarter));
    EXPECT_NEAR(static_cast<double>(one.delay_after(1, chance)->count()),
                static_cast<double>(expected.count()), 1);
  }
}

TEST(RetryPolicy, EndsWithItsSchedule) {
  EXPECT_EQ(RetryPolicy{}.delay_after(6, kLeast), std::nullopt);
  EXPECT_EQ(RetryPolicy{}.delay_after(kMost & 0xffffffff, kLeast), std::nullopt);
}

TEST(RetryPolicy, BeforeAnyAttemptNothingIsWaitedFor) {
  EXPECT_EQ(RetryPolicy{}.delay_after(0, kMost), 0ms);
}

TEST(RetryPolicy, AnEmptyListIsNeverRetried) {
  const RetryPolicy never = policy({});
  EXPECT_EQ(never.attempts_max(), 1u);
  EXPECT_EQ(never.delay_after(1, kMiddle), std::nullopt);
  EXPECT_EQ(never.longest(), 0ms);
}

TEST(RetryPolicy, LongestCountsTheJitterAtItsMost) {
  EXPECT_EQ(policy({"10s", "20s"}).longest(), 36s);
  for (const char* name : {"standard", "quick", "patient"})
    EXPECT_LE(policy({name}).longest(), kLifetimeMax) << name;
}

TEST(RetryPolicy, RefusesASchedule) {
  const std::vector<std::vector<std::string>> refused{{"eager"},
                                                      {"standard", "quick"},
                                                      {"5"},
                                                      {"999ms"},
                                                      {"25h"},
                                                      {"0s"},
                                                      {"-5s"},
                                                      {"24h", "24h", "24h", "24h"},  // 96 h, with jitter more
                                                      std::vector<std::string>(21, "1s")};
  for (const auto& words : refused) {
    const auto parsed = parse_retry_policy(words);
    ASSERT_FALSE(parsed.has_value()) << words.front();
    EXPECT_EQ(parsed.error().code, "INVALID_RETRY_POLICY");
    EXPECT_FALSE(parsed.error().suggestion.empty());
  }
  EXPECT_TRUE(parse_retry_policy({"24h", "24h", "24h", "8h"}).has_value());  // 80 h × 1.2 = 96 h
  EXPECT_FALSE(parse_retry_policy({"24h", "24h", "24h", "8h", "1s"}).has_value());
}

TEST(RetryPolicy, ComesBackAsItWasWritten) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"standard"}, {"quick"}, {"patient"}, {}, {"5s", "5m", "90s", "1d"}, {"1500ms"}}) {
    EXPECT_EQ(format_retry_policy(policy(words)), words);
  }
  EXPECT_EQ(format_retry_policy(policy({"60s", "24h"})), (std::vector<std::string>{"1m", "1d"}));
}

}  // namespace
}  // namespace postrider
