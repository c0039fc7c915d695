#include "consumers/answer_plan.h"

#include <gtest/gtest.h>

namespace postrider_receive {
namespace {

TEST(AnswerPlan, FirstAnswersFollowOneAnotherForEachWebhookId) {
  AnswerPlan plan(*parse_answer("200"), {*parse_first_answers("2:503"), *parse_first_answers("1:hang")});
  EXPECT_EQ(plan.next("a").status, 503);
  EXPECT_EQ(plan.next("b").status, 503);
  EXPECT_EQ(plan.next("a").status, 503);
  EXPECT_EQ(plan.next("a").kind, Answer::Kind::hang);
  EXPECT_EQ(plan.next("a").status, 200);
  EXPECT_EQ(plan.next("b").status, 503);
}

TEST(AnswerPlan, OnlyWhatWasAnswered2xxCountsAsProcessed) {
  AnswerPlan plan(*parse_answer("204"), {*parse_first_answers("1:500")});
  EXPECT_FALSE(plan.is_repeat("a"));
  plan.next("a");
  EXPECT_FALSE(plan.is_repeat("a"));
  plan.next("a");
  EXPECT_TRUE(plan.is_repeat("a"));
  EXPECT_FALSE(plan.is_repeat("b"));
}

TEST(AnswerPlan, ForgetsTheOldestBeyondItsBound) {
  AnswerPlan plan(*parse_answer("200"), {});
  for (int i = 0; i <= 200'000; ++i) plan.next(std::to_string(i));
  EXPECT_FALSE(plan.is_repeat("0"));
  EXPECT_TRUE(plan.is_repeat("1"));
  EXPECT_TRUE(plan.is_repeat("200000"));
}

TEST(AnswerPlan, SpellingsAreStrict) {
  for (const char* text : {"", "99", "199", "600", "2000", "200 ", "ok", "-200", "200:1"}) {
    EXPECT_FALSE(parse_answer(text)) << text;
  }
  for (const char* text : {"", "503", ":503", "0:503", "1:", "1:99", "x:503", "2000000:503", "1:503:2"}) {
    EXPECT_FALSE(parse_first_answers(text)) << text;
  }
}

}  // namespace
}  // namespace postrider_receive
