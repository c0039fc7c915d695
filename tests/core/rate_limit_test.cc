#include <gtest/gtest.h>

#include "engine/core/http_date.h"
#include "engine/core/outcome.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

// 2026-01-31T12:00:00Z
constexpr WallTime kNow = from_ms<WallTime>(1'769'860'800'000);

RateLimit read(Headers headers) {
  return read_rate_limit(headers, kNow);
}

TEST(RetryAfter, IsReadInEveryForm) {
  const std::vector<std::pair<std::string, std::optional<Millis>>> forms{
      {"120", 120s},
      {" 120 ", 120s},
      {"0", 0s},
      {"1.5", 1500ms},
      {"Sat, 31 Jan 2026 12:01:30 GMT", 90s},     // IMF-fixdate
      {"Saturday, 31-Jan-26 12:01:30 GMT", 90s},  // RFC 850
      {"Sat Jan 31 12:01:30 2026", 90s},          // asctime
      {"Sun Feb  1 12:00:00 2026", 24h},          // asctime pads the day with a blank
      {"2026-01-31T12:01:30Z", 90s},
      {"1769860890", 90s},                    // epoch seconds
      {"1769860890000", 90s},                 // epoch milliseconds
      {"Sat, 31 Jan 2026 11:00:00 GMT", 0s},  // past
      {"1769860000", 0s},
      {"999999999", 999'999'999s},
      {"", std::nullopt},
      {"soon", std::nullopt},
      {"-5", std::nullopt},
      {"1e3", std::nullopt},
      {"Sat, 32 Jan 2026 12:00:00 GMT", std::nullopt},
      {"Sat, 31 Foo 2026 12:00:00 GMT", std::nullopt},
      {"Sat, 31 Jan 2026 12:00:00 CET", std::nullopt},
      {"Sat, 31 Jan 2026", std::nullopt}};
  for (const auto& [text, expected] : forms) {
    EXPECT_EQ(read({{"Retry-After", text}}).retry_after, expected) << text;
  }
}

TEST(RetryAfter, HasAnyCaseAndTheFirstCounts) {
  EXPECT_EQ(read({{"RETRY-AFTER", "1"}, {"retry-after", "2"}}).retry_after, 1s);
}

TEST(RetryAfter, OfAnAbsurdLengthIsStillANumber) {
  EXPECT_GT(read({{"Retry-After", "99999999999999999999"}}).retry_after, 24h);
}

TEST(HttpDate, ReadsTwoDigitYearsWithinFiftyYears) {
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", kNow), 784'111'777'000);  // RFC 9110's example
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", kNow), 784'111'777'000);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", kNow), 784'111'777'000);
  EXPECT_EQ(parse_http_date("Friday, 31-Jan-76 12:00:00 GMT", kNow), parse_rfc3339("2076-01-31T12:00:00Z"));
  EXPECT_EQ(parse_http_date("Monday, 31-Jan-77 12:00:00 GMT", kNow), parse_rfc3339("1977-01-31T12:00:00Z"));
}

struct Case {
  std::string what;
  Headers headers;
  std::optional<std::int64_t> limit, remaining, reset_seconds;
};

TEST(RateLimit, IsReadInEverySpelling) {
  const std::vector<Case> cases{
      {"draft-03 fields",
       {{"RateLimit-Limit", "100"}, {"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "5"}},
       100,
       0,
       5},
      {"a list of windows in the limit",
       {{"RateLimit-Limit", "100, 100;w=60"}, {"RateLimit-Remaining", "7"}},
       100,
       7,
       {}},
      {"one dictionary", {{"RateLimit", "limit=100, remaining=0, reset=5"}}, 100, 0, 5},
      {"the dictionary in other order", {{"ratelimit", "reset=50,limit=10,remaining=4"}}, 10, 4, 50},
      {"draft-08 list", {{"RateLimit", R"("default";r=0;t=5)"}}, {}, 0, 5},
      {"draft-08 with its policy",
       {{"RateLimit", R"("default";r=50;t=30)"}, {"RateLimit-Policy", R"("default";q=100;w=60)"}},
       100,
       50,
       30},
      {"an older policy", {{"RateLimit", "remaining=1, reset=2"}, {"RateLimit-Policy", "10;w=1"}}, 10, 1, 2},
      {"the tightest of several",
       {{"RateLimit", R"("burst";r=5;t=1, "daily, all";r=0;t=3600)"}},
       {},
       0,
       3600},
      {"GitHub: epoch seconds",
       {{"X-RateLimit-Limit", "60"}, {"X-RateLimit-Remaining", "56"}, {"X-RateLimit-Reset", "1769860860"}},
       60,
       56,
       60},
      {"epoch milliseconds", {{"X-RateLimit-Reset", "1769860860001"}}, {}, {}, 61},
      {"epoch seconds with a fraction", {{"X-RateLimit-Reset", "1769860860.5"}}, {}, {}, 61},
      {"Twitter's hyphen",
       {{"X-Rate-Limit-Limit", "15"}, {"X-Rate-Limit-Remaining", "0"}, {"X-Rate-Limit-Reset", "900"}},
       15,
       0,
       900},
      {"a vendor's prefix",
       {{"Acme-RateLimit-Limit", "3"}, {"Acme-RateLimit-Remaining", "1"}, {"Acme-RateLimit-Reset", "2"}},
       3,
       1,
       2},
      {"a longer prefix", {{"X-Acme-Api-Ratelimit-Remaining", "9"}}, {}, 9, {}},
      {"Discord: span with a fraction", {{"X-RateLimit-Reset-After", "0.25"}}, {}, {}, 1},
      {"a date", {{"X-RateLimit-Reset", "Sat, 31 Jan 2026 12:00:10 GMT"}}, {}, {}, 10},
      {"an RFC 3339 date", {{"X-RateLimit-Reset", "2026-01-31T12:00:10Z"}}, {}, {}, 10},
      {"a moment that is past", {{"X-RateLimit-Reset", "1769860000"}}, {}, {}, 0},
      {"the tightest of two families",
       {{"X-RateLimit-Remaining", "90"},
        {"X-RateLimit-Reset", "1"},
        {"Acme-RateLimit-Remaining", "0"},
        {"Acme-RateLimit-Reset", "70"}},
       {},
       0,
       70},
      {"nothing", {{"Content-Type", "text/plain"}}, {}, {}, {}},
      {"another word before the name", {{"Xratelimit-remaining", "1"}}, {}, {}, {}},
      {"no numbers",
       {{"RateLimit-Limit", "many"}, {"RateLimit-Remaining", "-1"}, {"RateLimit-Reset", "later"}},
       {},
       {},
       {}},
      {"an empty structure", {{"RateLimit", ""}}, {}, {}, {}},
      {"a broken structure", {{"RateLimit", R"(";;r=,=5,"x;t=1)"}}, {}, {}, {}}};
  for (const Case& each : cases) {
    const RateLimit limit = read(each.headers);
    EXPECT_EQ(limit.limit, each.limit) << each.what;
    EXPECT_EQ(limit.remaining, each.remaining) << each.what;
    EXPECT_EQ(limit.reset_seconds, each.reset_seconds) << each.what;
    EXPECT_EQ(limit.retry_after, std::nullopt) << each.what;
  }
}

TEST(RateLimit, OfAHostileReceiverIsReadInLittleTime) {
  Headers headers;
  std::string list;
  for (int i = 0; i < 20'000; ++i) list += "x;r=1,";
  headers.push_back({"RateLimit", list});
  for (int i = 0; i < 2'000; ++i) headers.push_back({"a" + std::to_string(i) + "-ratelimit-limit", "1"});
  EXPECT_EQ(read(headers).remaining, 1);
}

}  // namespace
}  // namespace postrider
