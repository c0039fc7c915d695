#include "engine/operations/delivery_lookup.h"

#include <gtest/gtest.h>

#include "engine/wire/cloud_event.h"
#include "tests/support/desk_kit.h"

namespace postrider::test {
namespace {

struct LookUp : ::testing::Test, DeskKit {
  DeliveryLookup found(const std::string& id) {
    auto answer = look_up_deliveries(desk, id);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? std::move(*answer) : DeliveryLookup{};
  }
  Position publish(const std::string& id, const std::string& type = "order.created") {
    Event event;
    event.id = id;
    event.source = "/shop";
    event.type = type;
    event.tenant = TenantId("acme");
    auto message = wire::encode_kafka(event);
    NewRecord record;
    record.topic = Topic::events;
    record.key = message.key;
    record.value = message.value;
    record.headers = message.headers;
    const auto appended = log.append(std::move(record));
    EXPECT_TRUE(appended);
    return {appended->partition, appended->offset};
  }
};

TEST_F(LookUp, FindsADeliveryByAnyOfItsIds) {
  const auto shop = delivery("a", "acme", "shop"), other = delivery("b");
  auto warehouse = shop;
  warehouse.target = {EndpointId("warehouse"), Incarnation("inc_" + std::string(22, 'b'))};
  warehouse.id =
      delivery_id(LogIdentity("log_1"), shop.position, shop.webhook_id, warehouse.target.incarnation, {});
  attempt(shop, Verdict::Kind::retry);
  attempt(shop, Verdict::Kind::success, kNow + 5000);
  attempt(warehouse, Verdict::Kind::success);
  attempt(other, Verdict::Kind::success);

  const auto one = found(shop.id.str());
  ASSERT_EQ(one.deliveries.size(), 1u);
  EXPECT_EQ(one.deliveries[0].state(), DeliveryState::delivered);
  EXPECT_EQ(one.deliveries[0].attempts().size(), 2u);
  EXPECT_EQ(found("a").deliveries.size(), 2u);
  EXPECT_EQ(found(shop.webhook_id.str()).deliveries.size(), 2u);
}

TEST_F(LookUp, TellsWhenAParkedDeliveryIsDue) {
  ParkedState state;
  state.delivery = delivery("a");
  state.stamp = {5, 1};
  state.due = kNow + 300'000;
  put(Topic::parked, state.delivery.id.str(), state, state.delivery.position.partition);
  const auto answer = found("a");
  ASSERT_EQ(answer.deliveries.size(), 1u);
  EXPECT_EQ(answer.deliveries[0].state(), DeliveryState::parked);
  EXPECT_EQ(answer.deliveries[0].next_at(), kNow + 300'000);
}

TEST_F(LookUp, FindsWhatIsDead) {
  const auto ref = dead("a");
  const auto answer = found(ref.id.str());
  ASSERT_EQ(answer.deliveries.size(), 1u);
  EXPECT_EQ(answer.deliveries[0].state(), DeliveryState::dead);
  EXPECT_EQ(answer.deliveries[0].dead_reason(), DeadReason::client_error);
}

TEST_F(LookUp, SaysThatAnEventMatchedNothing) {
  const auto position = publish("a");
  NoMatchFact fact;
  fact.partition = position.partition;
  fact.offsets = {{0, position.offset}};
  put(Topic::attempts, "", fact, position.partition);
  const auto answer = found("a");
  EXPECT_TRUE(answer.deliveries.empty());
  ASSERT_EQ(answer.explanations.size(), 1u);
  EXPECT_FALSE(answer.pending);
  EXPECT_NE(answer.explanations[0].find("matched no endpoint"), std::string::npos) << answer.explanations[0];
}

TEST_F(LookUp, SaysThatAnEventIsARepeatOrWasSetAside) {
  const auto repeat = publish("r"), aside = publish("s");
  RepeatFact repeats;
  repeats.partition = repeat.partition;
  repeats.repeats = {{repeat.offset, 41, webhook_id(TenantId("acme"), "/shop", "r")}};
  put(Topic::attempts, "", repeats, repeat.partition);
  SetAsideFact fact;
  fact.position = aside;
  fact.reason = DeadReason::oversize;
  put(Topic::attempts, "", fact, aside.partition);
  const auto by_webhook = found(webhook_id(TenantId("acme"), "/shop", "r").str());
  ASSERT_EQ(by_webhook.explanations.size(), 1u);
  EXPECT_NE(by_webhook.explanations[0].find("offset 41"), std::string::npos) << by_webhook.explanations[0];
  const auto set_aside = found("s");
  ASSERT_EQ(set_aside.explanations.size(), 1u);
  EXPECT_NE(set_aside.explanations[0].find("oversize"), std::string::npos);
}

TEST_F(LookUp, SaysThatAnEventHasNotBeenRoutedYet) {
  publish("a");
  const auto answer = found("a");
  ASSERT_EQ(answer.explanations.size(), 1u);
  EXPECT_NE(answer.explanations[0].find("not been routed yet"), std::string::npos);
  EXPECT_TRUE(answer.pending);
}

TEST_F(LookUp, FindsNothingOfWhatNeverWas) {
  const auto answer = look_up_deliveries(desk, "nothing");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().errc, Errc::not_found);
}

}  // namespace
}  // namespace postrider::test
