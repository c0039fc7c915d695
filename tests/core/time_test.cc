#include "engine/core/time.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace postrider {
namespace {

using namespace std::chrono_literals;

TEST(Time, WritesRfc3339InUtcWithMilliseconds) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(1'614'265'330'000), "2021-02-25T15:02:10.000Z");
  EXPECT_EQ(rfc3339(-1), "1969-12-31T23:59:59.999Z");
}

TEST(Time, WritesFourDigitsOfYearWhateverTheNumber) {
  EXPECT_EQ(rfc3339(std::numeric_limits<std::int64_t>::min()), "0000-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(std::numeric_limits<std::int64_t>::max()), "9999-12-31T23:59:59.999Z");
}

TEST(Time, ReadsAnyOffset) {
  const std::int64_t noon = 1'769'860'800'000;  // 2026-01-31T12:00:00Z
  for (const char* text :
       {"2026-01-31T12:00:00Z", "2026-01-31t12:00:00z", "2026-01-31T13:30:00+01:30",
        "2026-01-31T04:00:00-08:00", "2026-02-01T00:00:00+12:00", "2026-01-31T12:00:00-00:00"}) {
    EXPECT_EQ(parse_rfc3339(text), noon) << text;
  }
}

TEST(Time, ReadsOneToNineFractionDigitsAndCutsToMilliseconds) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.1Z"), 100);
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.12Z"), 120);
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.123999999Z"), 123);
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.Z"), std::nullopt);
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.1234567890Z"), std::nullopt);
}

TEST(Time, ReadsALeapSecondAsTheNextMinute) {
  EXPECT_EQ(parse_rfc3339("2016-12-31T23:59:60Z"), parse_rfc3339("2017-01-01T00:00:00Z"));
}

TEST(Time, RefusesWhatIsNoTimestamp) {
  for (const char* text :
       {"", "2026", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Zx",
        "2026-1-1T00:00:00Z", " 2026-01-01T00:00:00Z", "+026-01-01T00:00:00Z"}) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(Time, EveryMomentOfTheFourDigitYearsComesBack, ()) {
  const auto ms = *rc::gen::inRange<std::int64_t>(-62'167'219'200'000, 253'402'300'800'000);
  RC_ASSERT(parse_rfc3339(rfc3339(ms)) == std::optional(ms));
}

TEST(Duration, ReadsEveryUnit) {
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("90s"), 90s);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("1d"), 24h);
  EXPECT_EQ(parse_duration("0s"), 0s);
}

TEST(Duration, RefusesWhatIsNone) {
  for (const char* text : {"", "5", "s", "-5s", "+5s", "5 s", " 5s", "5s ", "5S", "1.5h", "1h30m", "5us",
                           "5w", "9223372036854775808ms", "9223372036854775807s", "99999999999999999999ms"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_duration("9223372036854775807ms"), Millis(std::numeric_limits<std::int64_t>::max()));
}

TEST(Duration, WritesTheLargestExactUnit) {
  EXPECT_EQ(format_duration(0ms), "0s");
  EXPECT_EQ(format_duration(250ms), "250ms");
  EXPECT_EQ(format_duration(1500ms), "1500ms");
  EXPECT_EQ(format_duration(90s), "90s");
  EXPECT_EQ(format_duration(300s), "5m");
  EXPECT_EQ(format_duration(5h), "5h");
  EXPECT_EQ(format_duration(96h), "4d");
}

RC_GTEST_PROP(Duration, EverySpanComesBack, ()) {
  const auto unit = *rc::gen::element<std::int64_t>(1, 1000, 60'000, 3'600'000, 86'400'000);
  const Millis span(*rc::gen::inRange<std::int64_t>(0, 1'000'000) * unit);
  RC_ASSERT(parse_duration(format_duration(span)) == std::optional(span));
}

}  // namespace
}  // namespace postrider
