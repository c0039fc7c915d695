#include "producers/first_outcomes.h"

#include <gtest/gtest.h>

namespace postrider::producers {
namespace {

AttemptFact attempt(Position position, const std::string& delivery, std::uint32_t fan_out,
                    Verdict::Kind verdict = Verdict::Kind::success) {
  AttemptFact fact;
  fact.delivery.id = DeliveryId(delivery);
  fact.delivery.position = position;
  fact.delivery.target.endpoint = EndpointId("orders");
  fact.status = verdict == Verdict::Kind::success ? 200 : 503;
  fact.verdict = verdict;
  fact.fan_out = fan_out;
  return fact;
}

FirstOutcomes expecting(std::initializer_list<Position> positions) {
  FirstOutcomes outcomes;
  for (const auto& position : positions) outcomes.expect(position, "e", WebhookId("msg_1"));
  return outcomes;
}

TEST(FirstOutcomes, AreCompleteWhenEveryDeliveryOfTheFanOutWasTried) {
  auto outcomes = expecting({{1, 5}});
  const auto first = outcomes.apply(attempt({1, 5}, "dlv_a", 2, Verdict::Kind::retry));
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].endpoint, "orders");
  EXPECT_EQ(first[0].kind, OutcomeKind::parked);
  EXPECT_EQ(first[0].text.rfind("failed (HTTP 503), retry at ", 0), 0u) << first[0].text;
  EXPECT_EQ(outcomes.missing(), 1u);
  EXPECT_TRUE(outcomes.apply(attempt({1, 5}, "dlv_a", 2)).empty())
      << "the second attempt of a delivery tells nothing new";
  EXPECT_EQ(outcomes.missing(), 1u);
  const auto second = outcomes.apply(attempt({1, 5}, "dlv_b", 2));
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].kind, OutcomeKind::delivered);
  EXPECT_EQ(second[0].text, "delivered (HTTP 200)");
  EXPECT_EQ(outcomes.missing(), 0u);
}

TEST(FirstOutcomes, OtherEventsReplaysAndDefersTellNothing) {
  auto outcomes = expecting({{1, 5}});
  EXPECT_TRUE(outcomes.apply(attempt({1, 6}, "dlv_a", 1)).empty());
  EXPECT_TRUE(outcomes.apply(attempt({2, 5}, "dlv_a", 1)).empty());
  EXPECT_TRUE(outcomes.apply(attempt({1, 5}, "dlv_a", 1, Verdict::Kind::defer)).empty());
  auto replay = attempt({1, 5}, "dlv_a", 1);
  replay.delivery.replay_job = ReplayJobId("rpl_1");
  EXPECT_TRUE(outcomes.apply(replay).empty());
  EXPECT_TRUE(outcomes.apply(std::monostate()).empty());
  EXPECT_EQ(outcomes.missing(), 1u);
}

TEST(FirstOutcomes, ACancelledDeliveryIsOneOfTheFanOut) {
  auto outcomes = expecting({{1, 5}});
  CancelledFact cancelled;
  cancelled.delivery = attempt({1, 5}, "dlv_a", 1).delivery;
  EXPECT_EQ(outcomes.apply(cancelled)[0].text, "cancelled: endpoint_deleted");
  EXPECT_EQ(outcomes.missing(), 1u) << "the fan-out is not known yet";
  outcomes.apply(attempt({1, 5}, "dlv_b", 2));
  EXPECT_EQ(outcomes.missing(), 0u);
}

TEST(FirstOutcomes, EventsThatOweNothingAreComplete) {
  auto outcomes = expecting({{1, 5}, {1, 6}, {1, 7}, {1, 8}, {2, 6}});
  NoMatchFact none;
  none.partition = 1;
  none.offsets = {{0, 4}, {6, 7}};
  EXPECT_EQ(outcomes.apply(none).size(), 2u);
  RepeatFact repeat;
  repeat.partition = 1;
  repeat.repeats.push_back({5, 2, WebhookId("msg_1")});
  EXPECT_EQ(outcomes.apply(repeat)[0].text, "dropped: a repeat of offset 2");
  SetAsideFact aside;
  aside.position = {1, 8};
  aside.reason = DeadReason::oversize;
  EXPECT_EQ(outcomes.apply(aside)[0].text, "set aside: oversize");
  SourceLostFact lost;
  lost.partition = 2;
  lost.first = 0;
  lost.last = 100;
  EXPECT_EQ(outcomes.apply(lost).size(), 1u);
  EXPECT_EQ(outcomes.missing(), 0u);
}

}  // namespace
}  // namespace postrider::producers
