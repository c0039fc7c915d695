#include "engine/core/watermark.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <vector>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

TEST(Watermark, StartsAtTheNextOffset) {
  Watermark watermark(42);
  EXPECT_EQ(watermark.next_to_commit(), 42);
  EXPECT_EQ(watermark.unsettled(), 0u);
  EXPECT_EQ(watermark.bitmap(1000), "");
}

TEST(Watermark, NeverPassesAnUnsettledOffset) {
  Watermark watermark(10);
  for (Offset offset : {10, 11, 12}) watermark.received(offset);
  watermark.settled(11);
  watermark.settled(12);
  EXPECT_EQ(watermark.next_to_commit(), 10);
  EXPECT_EQ(watermark.lowest_unsettled(), 10);
  EXPECT_EQ(watermark.unsettled(), 1u);
  watermark.settled(10);
  EXPECT_EQ(watermark.next_to_commit(), 13);
}

TEST(Watermark, AGapIsPassedOnceWhatIsBelowIsSettled) {
  Watermark watermark(0);
  watermark.received(5);
  EXPECT_EQ(watermark.next_to_commit(), 5);
  watermark.received(9);
  watermark.settled(5);
  EXPECT_EQ(watermark.next_to_commit(), 9);
}

TEST(Watermark, AGapOfMillionsTakesNoRoom) {
  Watermark watermark(0);
  watermark.received(0);
  watermark.received(Offset{1} << 50);
  watermark.settled(Offset{1} << 50);
  EXPECT_EQ(watermark.next_to_commit(), 0);
  EXPECT_LE(watermark.bitmap(4096).size(), 4096u);
  watermark.settled(0);
  EXPECT_EQ(watermark.next_to_commit(), (Offset{1} << 50) + 1);
}

TEST(Watermark, SettlingTwiceIsHarmless) {
  Watermark watermark(0);
  watermark.received(0);
  watermark.received(1);
  watermark.settled(1);
  watermark.settled(1);
  watermark.settled(0);
  watermark.settled(0);
  EXPECT_EQ(watermark.next_to_commit(), 2);
  EXPECT_EQ(watermark.unsettled(), 0u);
}

TEST(WatermarkDeathTest, ALowerOffsetOrOneThatWasNeverReceivedAborts) {
  Watermark watermark(10);
  watermark.received(12);
  EXPECT_DEATH(watermark.received(11), "offset 11 was received after a higher one");
  EXPECT_DEATH(watermark.settled(13), "offset 13 is settled but was never received");
}

TEST(SettledAbove, WhatCannotBeReadCountsAsEmpty) {
  const SettledAbove none(100, "not base64 !");
  for (Offset offset = 90; offset < 200; ++offset) EXPECT_FALSE(none.contains(offset));
  EXPECT_FALSE(SettledAbove().contains(0));
}

TEST(SettledAbove, PinsTheFormat) {
  Watermark watermark(100);
  for (Offset offset = 100; offset < 112; ++offset) watermark.received(offset);
  watermark.settled(101);  // bit 1 of the first byte: 0x02
  watermark.settled(110);  // bit 2 of the second: 0x04
  EXPECT_EQ(watermark.bitmap(100), base64_encode(std::string("\x02\x04", 2)));
}

// Offsets rise with gaps; some of them are settled, in any order. The model is a map.
struct Model {
  std::map<Offset, bool> received;
  Offset next;
  Offset next_to_commit() const {
    for (const auto& [offset, settled] : received) {
      if (!settled) return offset;
    }
    return next;
  }
};

std::pair<Watermark, Model> drawn() {
  const Offset start = *rc::gen::inRange<Offset>(0, 1000);
  Watermark watermark(start);
  Model model{{}, start};
  std::vector<Offset> offsets;
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 10));
  for (const int step : steps) {
    if (step < 5 || offsets.empty()) {
      const Offset offset = model.next + (step == 0 ? *rc::gen::inRange<Offset>(1, 40) : 0);
      watermark.received(offset);
      model.received[offset] = false;
      model.next = offset + 1;
      offsets.push_back(offset);
    } else {
      const Offset offset = *rc::gen::elementOf(offsets);
      watermark.settled(offset);
      model.received[offset] = true;
    }
    RC_ASSERT(watermark.next_to_commit() == model.next_to_commit());
  }
  return {std::move(watermark), std::move(model)};
}

RC_GTEST_PROP(Watermark, AgreesWithANaiveModel, ()) {
  const auto [watermark, model] = drawn();
  std::size_t unsettled = 0;
  for (const auto& [offset, settled] : model.received) unsettled += settled ? 0 : 1;
  RC_ASSERT(watermark.unsettled() == unsettled);
}

RC_GTEST_PROP(Watermark, TheBitmapTellsWhatIsSettledAbove, ()) {
  const auto [watermark, model] = drawn();
  const SettledAbove above(watermark.next_to_commit(), watermark.bitmap(100'000));
  for (const auto& [offset, settled] : model.received) {
    if (offset >= watermark.next_to_commit()) RC_ASSERT(above.contains(offset) == settled);
  }
  RC_ASSERT(!above.contains(model.next));
}

RC_GTEST_PROP(Watermark, ACutBitmapKeepsToItsLengthAndNeverClaimsTooMuch, ()) {
  const auto [watermark, model] = drawn();
  const auto chars_max = *rc::gen::inRange<std::size_t>(0, 24);
  const std::string cut = watermark.bitmap(chars_max);
  RC_ASSERT(cut.size() <= chars_max);
  const SettledAbove above(watermark.next_to_commit(), cut);
  for (const auto& [offset, settled] : model.received) {
    if (offset < watermark.next_to_commit()) continue;
    const bool fits = static_cast<std::size_t>(offset - watermark.next_to_commit()) < chars_max / 4 * 24;
    RC_ASSERT(above.contains(offset) == (settled && fits));
  }
}

}  // namespace
}  // namespace postrider
