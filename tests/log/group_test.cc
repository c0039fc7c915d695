#include "engine/embedded/group.h"

#include <gtest/gtest.h>

namespace postrider::embedded {
namespace {

using Member = std::shared_ptr<Inbox>;

SteadyTime at(int ms) {
  return SteadyTime(Millis(ms));
}

struct GroupTest : testing::Test {
  Group group{{0, 1}, Millis(5000), [](Partition partition) {
                Assignment each;
                each.partition = partition;
                return each;
              }};
  Member one = std::make_shared<Inbox>(), two = std::make_shared<Inbox>(), three = std::make_shared<Inbox>();

  static int assignments(const Member& member) {
    int count = 0;
    for (const auto& each : member->take()) count += std::holds_alternative<Inbox::AssignedNotice>(each);
    return count;
  }
  // "asked", "lost" or "".
  static std::string revoked(const Member& member) {
    for (const auto& each : member->take())
      if (const auto* it = std::get_if<Inbox::RevokedNotice>(&each)) return it->lost ? "lost" : "asked";
    return "";
  }
};

TEST_F(GroupTest, TheFirstMemberGetsEverything) {
  group.join(one, at(0));
  EXPECT_EQ(assignments(one), 1);
  EXPECT_TRUE(group.owns(one.get(), 0));
  EXPECT_TRUE(group.owns(one.get(), 1));
  EXPECT_FALSE(group.deadline());
}

TEST_F(GroupTest, TheNextGetsItWhenAllIsReleased) {
  group.join(one, at(0));
  group.join(two, at(10));
  EXPECT_EQ(revoked(one), "asked");
  EXPECT_EQ(assignments(two), 0);
  const Partition first[] = {0}, second[] = {1};
  group.release(one, first);
  EXPECT_FALSE(group.owns(one.get(), 0));
  EXPECT_TRUE(group.owns(one.get(), 1));
  EXPECT_EQ(assignments(two), 0);
  group.release(one, second);
  EXPECT_EQ(assignments(two), 1);
  EXPECT_TRUE(group.owns(two.get(), 0));
}

TEST_F(GroupTest, AMemberThatDoesNotReleaseInTimeLosesEverything) {
  group.join(one, at(0));
  group.join(two, at(100));
  EXPECT_EQ(revoked(one), "asked");
  ASSERT_EQ(group.deadline(), at(5100));
  group.tick(at(5099));
  EXPECT_TRUE(group.owns(one.get(), 0));
  group.tick(at(5100));
  EXPECT_EQ(revoked(one), "lost");
  EXPECT_FALSE(group.owns(one.get(), 0));
  EXPECT_EQ(assignments(two), 1);
}

TEST_F(GroupTest, AMemberThatIsGoneMakesRoomAtOnce) {
  group.join(one, at(0));
  group.join(two, at(0));
  group.leave(one);
  EXPECT_EQ(assignments(two), 1);
  group.leave(two);
  EXPECT_FALSE(group.owns(two.get(), 0));
  group.join(three, at(0));
  EXPECT_EQ(assignments(three), 1);
}

TEST_F(GroupTest, OnlyTheNewestOfSeveralHeirsInherits) {
  group.join(one, at(0));
  group.join(two, at(0));
  group.join(three, at(0));
  group.leave(one);
  EXPECT_EQ(assignments(two), 0);
  EXPECT_EQ(assignments(three), 1);
}

TEST_F(GroupTest, AStrangersReleaseChangesNothing) {
  group.join(one, at(0));
  const Partition both[] = {0, 1};
  group.release(two, both);
  EXPECT_TRUE(group.owns(one.get(), 0));
}

}  // namespace
}  // namespace postrider::embedded
