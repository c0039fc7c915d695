#include "engine/core/replay_turns.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using std::chrono::seconds;

struct ReplayTurnsTest : ::testing::Test {
  ReplayTurns turns;
  std::vector<ReplayJob> jobs;  // the newest first

  void ask_for(const std::string& id, const std::string& within = {}, const std::string& reason = {}) {
    ReplayJob job;
    job.id = ReplayJobId(id);
    job.within = TenantId(within);
    job.selection.reason = reason;
    job.is_free = true;
    jobs.insert(jobs.begin(), job);
  }
  std::string next(Millis when = seconds(0)) {
    return turns.next(jobs, SteadyTime(when)).value_or(ReplayJobId("none")).str();
  }
};

TEST_F(ReplayTurnsTest, GoByTheTenantWhoseTurnIsTheLongestAgo) {
  ask_for("a1", "acme");
  ask_for("a2", "acme");
  ask_for("b1", "globex");
  EXPECT_EQ(next(), "a1");
  EXPECT_EQ(next(), "b1") << "however many the first has asked for before";
  EXPECT_EQ(next(), "a1");
  ask_for("p");
  EXPECT_EQ(next(), "p") << "the platform's comes first";
}

TEST_F(ReplayTurnsTest, AreForWhatIsFree) {
  EXPECT_EQ(next(), "none");
  ask_for("a");
  ask_for("b");
  jobs.back().is_free = false;
  EXPECT_EQ(next(), "b");
}

TEST_F(ReplayTurnsTest, OfOneThatDidNotEndComeEachTimeLater) {
  ask_for("a");
  ask_for("b");
  turns.not_ended(ReplayJobId("a"), SteadyTime(seconds(0)));
  EXPECT_EQ(next(seconds(4)), "b") << "it holds up nobody else";
  EXPECT_EQ(next(seconds(5)), "a");
  turns.not_ended(ReplayJobId("a"), SteadyTime(seconds(5)));
  EXPECT_EQ(next(seconds(14)), "b");
  EXPECT_EQ(next(seconds(15)), "a");
  for (int i = 0; i < 100; ++i) turns.not_ended(ReplayJobId("a"), SteadyTime(seconds(15)));
  EXPECT_EQ(next(seconds(15 + 299)), "b");
  EXPECT_EQ(next(seconds(15 + 300)), "a") << "never more than five minutes";
  turns.ended(ReplayJobId("a"));
  EXPECT_EQ(next(seconds(16)), "a");
}

TEST_F(ReplayTurnsTest, AreNotForWhatSelectsByAReasonOfANewerVersion) {
  ask_for("a", "", "bored");
  ask_for("b", "", "client_error");
  EXPECT_EQ(next(), "b");
  jobs.erase(jobs.begin());
  EXPECT_EQ(next(), "none");
}

}  // namespace
}  // namespace postrider
