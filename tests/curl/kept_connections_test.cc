#include "engine/curl/kept_connections.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

PollTime at(int seconds) {
  return PollTime(std::chrono::seconds(1000 + seconds));
}

// Of 1,024 connections half are dealt out evenly: 64 each of eight multis, if they may have so many.
struct KeptConnectionsTest : testing::Test {
  KeptConnectionsTest() { kept.set_multis(8); }
  void begin(KeptConnections::Share& share, int count, int second = 0) {
    for (int i = 0; i < count; ++i) kept.begin(share, at(second));
  }
  void end(KeptConnections::Share& share, int count, int second) {
    for (int i = 0; i < count; ++i) kept.end(share, at(second));
  }
  KeptConnections kept{1024, 64};
  KeptConnections::Share one, two, three;
};

TEST_F(KeptConnectionsTest, AnEvenPartIsEverybodys) {
  EXPECT_EQ(kept.limit(one), 64u);
  EXPECT_FALSE(kept.set_multis(7));
  EXPECT_TRUE(kept.set_multis(9));
  EXPECT_EQ(kept.limit(one), 32u);
  kept.set_multis(1 << 20);
  EXPECT_EQ(kept.limit(one), 1u);
}

TEST_F(KeptConnectionsTest, WhoHasMoreUnderWayAtOnceTakesMore) {
  begin(one, 64);
  EXPECT_EQ(kept.limit(one), 64u);
  EXPECT_TRUE(kept.begin(one, at(0)));
  EXPECT_EQ(kept.limit(one), 128u);
  begin(one, 63);
  EXPECT_EQ(kept.limit(one), 128u);
}

TEST_F(KeptConnectionsTest, NeverIsMoreTakenThanThereIs) {
  begin(one, 500);
  begin(two, 500);
  EXPECT_EQ(kept.limit(one) + kept.limit(two), 2 * 64u + 512u);
  EXPECT_TRUE(kept.lacks(two));
  begin(three, 65);
  EXPECT_EQ(kept.limit(three), 64u);
  EXPECT_TRUE(kept.lacks(three));
  kept.give_back(one);
  EXPECT_EQ(kept.limit(one), 64u);
  begin(three, 1);
  EXPECT_EQ(kept.limit(three), 128u);
}

TEST_F(KeptConnectionsTest, WhatIsNotNeededForAWhileGoesBack) {
  begin(one, 300);
  end(one, 290, 0);
  EXPECT_EQ(kept.limit(one), 512u);
  EXPECT_FALSE(kept.end(one, at(9)));
  end(one, 1, 10);  // a peak of 300 was within the last ten seconds
  EXPECT_EQ(kept.limit(one), 512u);
  EXPECT_TRUE(kept.end(one, at(20)));
  EXPECT_EQ(kept.limit(one), 64u);
  begin(two, 500, 20);
  EXPECT_EQ(kept.limit(two), 512u);
}

}  // namespace
}  // namespace postrider
