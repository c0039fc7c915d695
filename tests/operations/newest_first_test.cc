#include "engine/operations/newest_first.h"

#include <gtest/gtest.h>

#include "tests/support/desk_kit.h"

namespace postrider::test {
namespace {

// A walk through attempts that takes none of them, and what it looked at.
struct Walks : ::testing::Test, DeskKit {
  void SetUp() override {
    for (int i = 0; i < 1'000; ++i)
      attempt(delivery("e" + std::to_string(i)), Verdict::Kind::success, kNow + i);
  }
  Result<bool> walk(const Patience& patience) {
    NewestFirst<int> walk(
        desk, {.since = 0, .until = 0, .partition = {}, .records_max = 100'000, .patience = patience},
        [&](const Record& record) -> std::optional<int> {
          ++looked_at;
          clock.steady_ms += 10;
          on_record(record);
          return std::nullopt;
        });
    if (auto done = walk.begin({Topic::attempts}, {}); !done) return fail(done.error());
    const auto found = walk.next();
    if (!found) return fail(found.error());
    looked_back_to = to_ms(walk.looked_back_to());
    return walk.more();
  }
  std::function<void(const Record&)> on_record = [](const Record&) {};
  int looked_at = 0;
  std::int64_t looked_back_to = 0;
};

TEST_F(Walks, EndWhereNothingBoundsThem) {
  EXPECT_FALSE(walk({}).value());
  EXPECT_EQ(looked_at, 1'000);
}

TEST_F(Walks, EndWhenTheirTimeIsUpAndSayHowFarTheyCame) {
  EXPECT_TRUE(walk({.time_max = Millis(2'000)}).value());
  EXPECT_EQ(looked_at, 250) << "a span is read whole";
  EXPECT_EQ(looked_back_to, kNow + 750);
}

TEST_F(Walks, EndWhenTheyHaveReadEnough) {
  EXPECT_TRUE(walk({.bytes_max = 1'000}).value());
  EXPECT_EQ(looked_at, 250);
}

TEST_F(Walks, FailWhenTheyAreStopped) {
  std::atomic<bool> stop{false};
  on_record = [&](const Record&) { stop = looked_at == 7; };
  const auto done = walk({.stop = &stop});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, "SERVICE_UNAVAILABLE");
  EXPECT_EQ(looked_at, 7);
}

}  // namespace
}  // namespace postrider::test
