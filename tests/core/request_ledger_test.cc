#include "engine/core/request_ledger.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using State = RequestLedger::State;
using Step = RequestFact::Step;

RequestFact fact(Step step, const std::string& run, const std::string& key = "k",
                 const std::string& fingerprint = "f") {
  RequestFact fact;
  fact.key = key;
  fact.run = run;
  fact.step = step;
  fact.token_id = "tok_1";
  fact.fingerprint = fingerprint;
  fact.origin = run;
  return fact;
}

RequestFact asked(const std::string& fingerprint = "f") {
  return fact(Step::begun, "", "k", fingerprint);
}

LogTime at(Millis span) {
  return from_ms<LogTime>(1'700'000'000'000) + span;
}

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(RequestLedger, LetsTheFirstOfTwoInstancesRunIt) {
  RequestLedger ledger;
  ledger.apply(fact(Step::begun, "a"), 0, at(seconds(0)));
  ledger.apply(fact(Step::begun, "b"), 1, at(seconds(0)));
  EXPECT_EQ(ledger.find(fact(Step::begun, "a"), at(seconds(0))).state, State::mine);
  EXPECT_EQ(ledger.find(fact(Step::begun, "b"), at(seconds(0))).state, State::under_way);
  EXPECT_EQ(ledger.find(asked("other"), at(seconds(0))).state, State::different);
}

TEST(RequestLedger, KnowsTheAnswerForADayAndNoLonger) {
  RequestLedger ledger;
  ledger.apply(fact(Step::begun, "a"), 0, at(seconds(0)));
  ledger.apply(fact(Step::answered, "a"), 7, at(seconds(3)));
  const auto found = ledger.find(asked(), at(hours(24) - seconds(1)));
  EXPECT_EQ(found.state, State::answered);
  EXPECT_EQ(found.answer, 7);
  EXPECT_EQ(ledger.find(asked("other"), at(hours(1))).state, State::different);
  EXPECT_EQ(ledger.find(asked("other"), at(hours(24))).state, State::fresh);
  EXPECT_EQ(ledger.find(asked(), at(hours(24))).origin, "") << "what was answered is over";
  ledger.apply(fact(Step::begun, "z", "another"), 8, at(hours(25)));
  EXPECT_EQ(ledger.size(), 1u) << "what is over is forgotten";
}

TEST(RequestLedger, GivesARequestOfWhomNobodyHearsToTheNextUnderItsFirstName) {
  RequestLedger ledger;
  ledger.apply(fact(Step::begun, "a"), 0, at(seconds(0)));
  ledger.apply(fact(Step::begun, "a"), 1, at(seconds(90)));  // it is still there
  EXPECT_EQ(ledger.find(asked(), at(minutes(3))).state, State::under_way);
  const auto found = ledger.find(asked(), at(minutes(4)));
  EXPECT_EQ(found.state, State::fresh);
  EXPECT_EQ(found.origin, "a");
  auto next = fact(Step::begun, "b");
  next.origin = found.origin;
  ledger.apply(next, 2, at(minutes(4)));
  EXPECT_EQ(ledger.find(next, at(minutes(4))).state, State::mine);
  EXPECT_EQ(ledger.find(next, at(minutes(4))).origin, "a");
  ledger.apply(fact(Step::answered, "a"), 3, at(minutes(4)));
  EXPECT_EQ(ledger.find(asked(), at(minutes(4))).state, State::under_way) << "a word of one who was given up";
}

TEST(RequestLedger, LetsWhatWasReleasedBeAskedAgainCorrectedToo) {
  RequestLedger ledger;
  ledger.apply(fact(Step::begun, "a"), 0, at(seconds(0)));
  ledger.apply(fact(Step::released, "a"), 1, at(seconds(1)));
  EXPECT_EQ(ledger.find(asked(), at(seconds(1))).origin, "a");
  EXPECT_EQ(ledger.find(asked("corrected"), at(seconds(1))).state, State::fresh);
  EXPECT_EQ(ledger.find(asked("corrected"), at(seconds(1))).origin, "") << "another request, another name";
}

TEST(RequestLedger, IsBounded) {
  RequestLedger ledger;
  const auto fill = [&](std::size_t count, const std::string& token) {
    for (std::size_t i = 0; i < count; ++i) {
      auto one = fact(Step::begun, "r", token + std::to_string(i));
      one.token_id = token;
      ledger.apply(one, 0, at(seconds(0)));
    }
  };
  fill(RequestLedger::kTakenOfToken, "tok_1");
  EXPECT_EQ(ledger.find(asked(), at(seconds(0))).state, State::full) << "a token's share";
  auto others = asked();
  others.token_id = "tok_2";
  EXPECT_EQ(ledger.find(others, at(seconds(0))).state, State::fresh);
  EXPECT_EQ(ledger.find(asked(), at(hours(24))).state, State::full);
  ledger.apply(fact(Step::begun, "r", "next day"), 0, at(hours(24)));
  EXPECT_EQ(ledger.find(asked(), at(hours(24))).state, State::fresh);
  for (int i = 0; i < 12; ++i) fill(RequestLedger::kTakenOfToken, std::to_string(i) + "_");
  EXPECT_EQ(ledger.size(), RequestLedger::kEntriesMax);
  EXPECT_EQ(ledger.find(others, at(seconds(0))).state, State::full);
}

}  // namespace
}  // namespace postrider
