#include "engine/core/window_pace.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

namespace postrider {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const SteadyTime kStart(hours(1000));

RateLimit left(std::int64_t remaining, std::int64_t reset_seconds, std::optional<std::int64_t> limit = {}) {
  return {.limit = limit, .remaining = remaining, .reset_seconds = reset_seconds, .retry_after = {}};
}

RateLimit retry_after(Millis wait) {
  return {.limit = {}, .remaining = {}, .reset_seconds = {}, .retry_after = wait};
}

TEST(WindowPace, HoldsNothingBackFarFromTheLimit) {
  WindowPace pace;
  EXPECT_EQ(pace.next(kStart), kStart);
  pace.sent(kStart);
  pace.heard(left(900, 60, 1000), 200, 0, kStart);
  EXPECT_EQ(pace.next(kStart), kStart);
  pace.heard({}, 200, 0, kStart);
  EXPECT_EQ(pace.next(kStart), kStart);
}

TEST(WindowPace, SpreadsWhatIsLeftUntilTheReset) {
  WindowPace pace;
  SteadyTime now = kStart;
  pace.sent(now);
  pace.heard(left(9, 100, 100), 200, 0, now);
  std::vector<Millis> at;
  for (int i = 9; i > 0; --i) {
    now = pace.next(now);
    at.push_back(now - kStart);
    pace.sent(now);
    pace.heard(left(i - 1, (kStart + seconds(100) - now) / seconds(1), 100), 200, 0, now);
  }
  for (std::size_t i = 0; i < at.size(); ++i)
    EXPECT_EQ(at[i], seconds(10 * (static_cast<std::int64_t>(i) + 1)));
  EXPECT_EQ(pace.next(now), kStart + seconds(100)) << "none is left";
  EXPECT_EQ(pace.next(kStart + seconds(100)), kStart + seconds(100));
}

TEST(WindowPace, CountsWhatIsUnderWayAsUsed) {
  WindowPace pace;
  pace.sent(kStart);
  pace.heard(left(12, 60, 100), 200, 12, kStart);
  EXPECT_EQ(pace.next(kStart), kStart + seconds(60));
  pace.heard(left(11, 60, 100), 200, 0, kStart);
  EXPECT_EQ(pace.next(kStart), kStart);
}

TEST(WindowPace, WaitsAtNothingLeftUntilTheReset) {
  for (const auto& [said, status] :
       std::vector<std::pair<RateLimit, std::int32_t>>{{left(0, 40, 100), 200},
                                                       {left(5, 40, 100), 429},
                                                       {retry_after(seconds(40)), 429},
                                                       {retry_after(seconds(40)), 503}}) {
    WindowPace pace;
    pace.sent(kStart);
    pace.heard(said, status, 3, kStart);
    EXPECT_EQ(pace.next(kStart), kStart + seconds(40));
    EXPECT_EQ(pace.next(kStart + seconds(40)), kStart + seconds(40));
  }
}

TEST(WindowPace, TellsTheTurnOfWhoeverStandsBehindOthers) {
  WindowPace pace;
  pace.sent(kStart);
  pace.heard(left(5, 60, 100), 200, 0, kStart);
  EXPECT_EQ(pace.next(kStart, 0), kStart + seconds(10));
  EXPECT_EQ(pace.next(kStart, 2), kStart + seconds(30));
  EXPECT_EQ(pace.next(kStart, 50), kStart + seconds(60));
}

TEST(WindowPace, WaitsMinutesAtMostWhateverItIsTold) {
  for (const RateLimit& said :
       {left(0, 1'000'000'000'000, 100), retry_after(Millis(1'000'000'000'000'000)), left(0, 86'400, 100)}) {
    WindowPace pace;
    SteadyTime now = kStart;
    pace.sent(now);
    for (int i = 0; i < 20; ++i) {
      pace.heard(said, 429, 0, now);
      EXPECT_EQ(pace.next(now), now + WindowPace::kLongestWait);
      EXPECT_EQ(pace.next(now, 1000), now + WindowPace::kLongestWait);
      now = pace.next(now);
      EXPECT_EQ(pace.next(now), now);
      pace.sent(now);
      EXPECT_GT(pace.next(now), now) << "one, and then it is heard";
    }
  }
}

TEST(WindowPace, DoesNotHeedALimitThatLetsThroughWhatItSaysIsTooMuch) {
  WindowPace pace;
  SteadyTime now = kStart;
  pace.sent(now);
  pace.heard(left(0, 86'400, 100), 200, 0, now);
  now = pace.next(now);
  EXPECT_EQ(now, kStart + minutes(5));
  pace.sent(now);
  pace.heard(left(0, 86'100, 100), 200, 0, now);
  EXPECT_EQ(pace.next(now), now);
  pace.sent(now);
  pace.heard(left(0, 86'100, 100), 429, 0, now);
  EXPECT_GT(pace.next(now), now) << "it is one after all";
}

TEST(WindowPace, TakesNothingForALimitThatIsNone) {
  WindowPace pace;
  pace.sent(kStart);
  for (const RateLimit& said :
       {left(0, 0, 100), left(0, 3600, 0), retry_after(seconds(100)),
        RateLimit{.limit = 5, .remaining = 0, .reset_seconds = {}, .retry_after = {}}}) {
    pace.heard(said, 200, 0, kStart);
    EXPECT_EQ(pace.next(kStart), kStart);
  }
  pace.heard({}, 429, 0, kStart);
  EXPECT_EQ(pace.next(kStart), kStart);
}

TEST(WindowPace, SendsNoMoreAtOnceThanAWholeWindowTakes) {
  WindowPace pace;
  EXPECT_GE(pace.at_once(), 1000u);
  pace.heard(left(3, 1, 4), 200, 0, kStart);
  EXPECT_EQ(pace.at_once(), 4u);
  pace.heard(left(3, 1, 0), 200, 0, kStart);
  EXPECT_GE(pace.at_once(), 1000u);
  pace.heard(left(3, 1, 1'000'000'000'000), 200, 0, kStart);
  EXPECT_GE(pace.at_once(), 1000u);
}

// A receiver that counts: whoever keeps pace is not refused, and uses what there is.
RC_GTEST_PROP(WindowPace, KeepsToAReceiversWindows, ()) {
  const auto limit = *rc::gen::inRange<std::int64_t>(1, 200);
  const auto window = seconds(*rc::gen::inRange(1, 200));
  WindowPace pace;
  SteadyTime now = kStart;
  int refused = 0, accepted = 0;
  std::int64_t used = 0;
  SteadyTime reset = now + window;
  while (now < kStart + 20 * window) {
    now = pace.next(now);
    while (now >= reset) reset += window, used = 0;
    const std::int64_t to_reset = (reset - now + Millis(999)) / seconds(1);
    pace.sent(now);
    const bool full = used >= limit;
    if (!full) ++used;
    (full ? refused : accepted) += 1;
    pace.heard(left(limit - used, to_reset, limit), full ? 429 : 200, 0, now);
    now += Millis(1);
  }
  RC_ASSERT(refused == 0);
  RC_ASSERT(accepted >= 10 * limit * 9 / 10);
}

}  // namespace
}  // namespace postrider
