#include "engine/core/replay_ledger.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using Step = ReplayFact::Step;
using Outcome = ReplayFact::Outcome;
using std::chrono::seconds;

const ReplayJobId kJob("rpl_1");

LogTime at(Millis span) {
  return from_ms<LogTime>(1'700'000'000'000) + span;
}

struct ReplayLedgerTest : ::testing::Test {
  ReplayLedger ledger;
  Offset next = 0;

  void tell(Step step, Millis when, const std::string& run = {}, std::uint64_t replayed = 0,
            Outcome outcome = Outcome::finished, bool attended = false) {
    ReplayFact fact;
    fact.job = kJob;
    fact.step = step;
    fact.run = run;
    fact.actor = "alice";
    fact.matched = 9;
    fact.replayed = replayed;
    fact.outcome = outcome;
    fact.attended = attended;
    ledger.apply(fact, next++, at(when));
  }
  ReplayJob job(Millis when) const { return ledger.find(kJob, at(when)).value(); }
};

TEST_F(ReplayLedgerTest, LetsTheFirstOfTwoInstancesRunIt) {
  tell(Step::begun, seconds(0));
  EXPECT_TRUE(job(seconds(0)).is_free);
  tell(Step::running, seconds(1), "a");
  tell(Step::running, seconds(1), "b");
  EXPECT_TRUE(ledger.runs(kJob, "a"));
  EXPECT_FALSE(ledger.runs(kJob, "b"));
  tell(Step::ended, seconds(2), "b", 3);
  EXPECT_EQ(job(seconds(2)).state, ReplayState::running) << "who does not run it does not end it";
  tell(Step::running, seconds(2), "a", 4);
  EXPECT_EQ(job(seconds(2)).replayed, 4u);
  EXPECT_EQ(job(seconds(2)).remaining(), 5u);
  tell(Step::ended, seconds(3), "a", 9);
  EXPECT_EQ(job(seconds(3)).state, ReplayState::finished);
  EXPECT_EQ(job(seconds(3)).ended_at, to_ms(at(seconds(3))));
  EXPECT_EQ(job(seconds(3)).started_at, to_ms(at(seconds(1))));
}

TEST_F(ReplayLedgerTest, GivesItToAnotherOnceItsRunnerIsSilent) {
  tell(Step::begun, seconds(0));
  tell(Step::running, seconds(0), "a");
  tell(Step::running, seconds(19), "b");
  EXPECT_FALSE(ledger.runs(kJob, "b"));
  EXPECT_EQ(job(seconds(19)).state, ReplayState::running);
  EXPECT_EQ(job(seconds(20)).state, ReplayState::waiting);
  EXPECT_TRUE(job(seconds(20)).is_free);
  tell(Step::running, seconds(20), "b");
  EXPECT_TRUE(ledger.runs(kJob, "b"));
  EXPECT_FALSE(ledger.runs(kJob, "a")) << "one that wakes is told";
  EXPECT_EQ(job(seconds(20)).told_at, to_ms(at(seconds(20))));
}

TEST_F(ReplayLedgerTest, GivesItToAnotherAtOnceWhenItIsLetGo) {
  tell(Step::begun, seconds(0));
  tell(Step::running, seconds(0), "a");
  tell(Step::released, seconds(1), "a", 2);
  EXPECT_EQ(job(seconds(1)).state, ReplayState::waiting);
  EXPECT_EQ(job(seconds(1)).replayed, 2u);
  EXPECT_TRUE(job(seconds(1)).run.empty());
  tell(Step::running, seconds(1), "b");
  EXPECT_TRUE(ledger.runs(kJob, "b"));
}

TEST_F(ReplayLedgerTest, KeepsSinceWhenItIsInDoubtWhatWasSent) {
  tell(Step::begun, seconds(0));
  tell(Step::running, seconds(0), "a");
  tell(Step::running, seconds(4), "a", 2);
  EXPECT_EQ(job(seconds(24)).doubtful_since, 0) << "told_at says it";
  tell(Step::running, seconds(100), "b");
  tell(Step::running, seconds(104), "b", 2);
  EXPECT_EQ(job(seconds(104)).doubtful_since, to_ms(at(seconds(4))));
  tell(Step::running, seconds(200), "c");
  EXPECT_EQ(job(seconds(200)).doubtful_since, to_ms(at(seconds(4)))) << "the one between never looked";
  tell(Step::running, seconds(204), "c", 3);
  EXPECT_EQ(job(seconds(204)).doubtful_since, 0) << "who goes on has looked";
  tell(Step::running, seconds(300), "d");
  EXPECT_EQ(job(seconds(300)).doubtful_since, to_ms(at(seconds(204))));
  tell(Step::released, seconds(301), "d", 3);
  EXPECT_EQ(job(seconds(301)).doubtful_since, 0);
}

TEST_F(ReplayLedgerTest, LeavesWhatAPersonAttendsToThatPerson) {
  tell(Step::begun, seconds(0), "", 0, Outcome::finished, true);
  tell(Step::running, seconds(0), "a");
  EXPECT_EQ(job(seconds(30)).state, ReplayState::stopped);
  EXPECT_FALSE(job(seconds(30)).is_free);
}

TEST_F(ReplayLedgerTest, EndsWhatIsCancelledAtOnceIfNobodyRunsIt) {
  tell(Step::begun, seconds(0));
  tell(Step::cancelled, seconds(1));
  EXPECT_EQ(job(seconds(1)).state, ReplayState::cancelled);
  EXPECT_EQ(job(seconds(1)).cancelled_by, "alice");
  tell(Step::running, seconds(2), "a");
  EXPECT_FALSE(ledger.runs(kJob, "a"));
  tell(Step::begun, seconds(3));
  EXPECT_EQ(job(seconds(3)).state, ReplayState::cancelled) << "for good";
}

TEST_F(ReplayLedgerTest, LeavesTheEndOfWhatIsCancelledToItsRunner) {
  tell(Step::begun, seconds(0));
  tell(Step::running, seconds(0), "a");
  tell(Step::cancelled, seconds(1));
  EXPECT_EQ(job(seconds(1)).state, ReplayState::cancelling);
  EXPECT_TRUE(ledger.cancel_asked(kJob));
  EXPECT_TRUE(ledger.runs(kJob, "a"));
  EXPECT_FALSE(job(seconds(1)).is_free);
  tell(Step::ended, seconds(2), "a", 3, Outcome::cancelled);
  EXPECT_EQ(job(seconds(2)).state, ReplayState::cancelled);
  EXPECT_EQ(job(seconds(2)).replayed, 3u);
}

TEST_F(ReplayLedgerTest, LeavesTheEndOfWhatIsCancelledToTheNextIfItsRunnerDied) {
  tell(Step::begun, seconds(0));
  tell(Step::running, seconds(0), "a");
  tell(Step::cancelled, seconds(30));
  EXPECT_EQ(job(seconds(30)).state, ReplayState::cancelling) << "what it sent last may want its mark";
  EXPECT_TRUE(job(seconds(30)).is_free);
  tell(Step::running, seconds(31), "b");
  EXPECT_TRUE(ledger.runs(kJob, "b"));
}

TEST_F(ReplayLedgerTest, TellsWhatFinishedBeforeTheCancellationWasHeard) {
  tell(Step::begun, seconds(0));
  tell(Step::running, seconds(0), "a");
  tell(Step::cancelled, seconds(1));
  tell(Step::ended, seconds(1), "a", 9);
  EXPECT_EQ(job(seconds(1)).state, ReplayState::finished);
}

TEST_F(ReplayLedgerTest, BeginsAgainWhatHasEnded) {
  tell(Step::begun, seconds(0));
  tell(Step::running, seconds(0), "a");
  tell(Step::ended, seconds(1), "a", 1, Outcome::failed);
  EXPECT_EQ(job(seconds(1)).state, ReplayState::failed);
  tell(Step::begun, seconds(2));
  EXPECT_EQ(job(seconds(2)).state, ReplayState::waiting);
  EXPECT_EQ(job(seconds(2)).begun, 0);
  EXPECT_EQ(job(seconds(2)).selection_at, 3);
}

TEST_F(ReplayLedgerTest, ForgetsWhatTheLogNoLongerHolds) {
  tell(Step::begun, seconds(0));
  ledger.forget_before(1);
  EXPECT_TRUE(ledger.all(at(seconds(0))).empty());
}

}  // namespace
}  // namespace postrider
