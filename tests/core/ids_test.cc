#include "engine/core/ids.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace postrider {
namespace {

const LogIdentity kLog("log_0123456789ABCDEFGHIJKL");
const Incarnation kIncarnation("inc_abcdefghijklmnopqrstuv");
const ReplayJobId kJob("rpl_ABCDEFGHIJKLMNOPQRSTUV");
const WebhookId kWebhook("msg_3dZYSF4qnLakiXHPEuhsEp");

// The golden vectors below were computed apart from this code (SHA-256 over length-prefixed parts, first 16
// bytes, base 62). They are stored by us and by receivers: a change here is a change of every customer's ids.
TEST(WebhookId, IsPinned) {
  EXPECT_EQ(webhook_id(TenantId("acme"), "/orders", "evt-1"), kWebhook);
  EXPECT_EQ(webhook_id(TenantId("acme"), "urn:shop:ü", "0").str(), "msg_7PU9Mr6ZoCCs7oYagFcVCY");
  EXPECT_EQ(webhook_id(TenantId(), "", "").str(), "msg_4nJrDvZc858PrfhM0vuGUq");
}

TEST(WebhookId, TellsTenantsSourcesAndIdsApart) {
  const std::set<WebhookId> all{webhook_id(TenantId("a"), "b", "c"), webhook_id(TenantId("ab"), "", "c"),
                                webhook_id(TenantId("a"), "bc", ""), webhook_id(TenantId("b"), "a", "c"),
                                webhook_id(TenantId("a"), "c", "b")};
  EXPECT_EQ(all.size(), 5u);
}

RC_GTEST_PROP(WebhookId, HoldsNoDotSoThatItMayStandBetweenDots,
              (const std::string& source, const std::string& id)) {
  const std::string text = webhook_id(TenantId("acme"), source, id).str();
  RC_ASSERT(text.size() == 26u);
  RC_ASSERT(is_tenant_or_endpoint_id(text));
}

TEST(DeliveryId, IsPinned) {
  EXPECT_EQ(delivery_id(kLog, {3, 41}, kWebhook, kIncarnation, {}).str(), "dlv_3_59pDfnObHgoz4FV2LBGunL");
  EXPECT_EQ(delivery_id(kLog, {3, 41}, kWebhook, kIncarnation, kJob).str(), "dlv_3_6WJhRmEgDDQBi0qRtmDmy7");
  EXPECT_EQ(delivery_id(kLog, {1000, Offset{1} << 40}, kWebhook, kIncarnation, {}).str(),
            "dlv_rs_5eXNM1OUQ68wRk2nusZJHv");
  EXPECT_EQ(delivery_id(kLog, {2147483647, 0}, kWebhook, {}, {}).str(), "dlv_zik0zj_74rvibSWj4Z2F6gZRPrW6d");
}

TEST(DeliveryId, ChangesWithEachOfItsInputs) {
  const std::set<DeliveryId> all{delivery_id(kLog, {3, 41}, kWebhook, kIncarnation, {}),
                                 delivery_id(LogIdentity("log_other"), {3, 41}, kWebhook, kIncarnation, {}),
                                 delivery_id(kLog, {4, 41}, kWebhook, kIncarnation, {}),
                                 delivery_id(kLog, {3, 42}, kWebhook, kIncarnation, {}),
                                 delivery_id(kLog, {3, 41}, WebhookId("msg_other"), kIncarnation, {}),
                                 delivery_id(kLog, {3, 41}, kWebhook, Incarnation("inc_other"), {}),
                                 delivery_id(kLog, {3, 41}, kWebhook, kIncarnation, kJob)};
  EXPECT_EQ(all.size(), 7u);
}

RC_GTEST_PROP(DeliveryId, NamesItsPartition, ()) {
  const Position position{*rc::gen::inRange<Partition>(0, 2147483647),
                          *rc::gen::inRange<Offset>(0, 1'000'000)};
  RC_ASSERT(partition_of(delivery_id(kLog, position, kWebhook, kIncarnation, {}).str()) ==
            std::optional(position.partition));
}

TEST(DeliveryId, RefusesWhatIsNone) {
  for (const char* text :
       {"", "dlv_", "dlv_3", "dlv_3_", "msg_3_59pDfnObHgoz4FV2LBGunL", "dlv__59pDfnObHgoz4FV2LBGunL",
        "dlv_03_59pDfnObHgoz4FV2LBGunL", "dlv_A_59pDfnObHgoz4FV2LBGunL", "dlv_3_59pDfnObHgoz4FV2LBGun",
        "dlv_3_59pDfnObHgoz4FV2LBGunLL", "dlv_3_59pDfnObHgoz4FV2LBGun.",
        "dlv_zik0zk_59pDfnObHgoz4FV2LBGunL"}) {
    EXPECT_EQ(partition_of(text), std::nullopt) << text;
  }
}

TEST(RepeatKey, IsPinned) {
  EXPECT_EQ(hex_encode(repeat_key(TenantId("acme"), "/orders", "evt-1", "", {}).view()),
            "37a7447a6bd1f5f99966355885bb0f5d");
  EXPECT_EQ(
      hex_encode(
          repeat_key(TenantId("acme"), "/orders", "evt-1", "shop:inc_abcdefghijklmnopqrstuv", kJob).view()),
      "96db5c409bfda877ff430496b17a07a8");
}

TEST(RepeatKey, AReplayIsNoRepeatOfItsEvent) {
  EXPECT_NE(repeat_key(TenantId("acme"), "/orders", "evt-1", "", {}),
            repeat_key(TenantId("acme"), "/orders", "evt-1", "", kJob));
}

TEST(RandomId, IsAllOf128BitsBehindItsPrefix) {
  EXPECT_EQ(random_id("inc_", 0x0123456789abcdef, 0xfedcba9876543210), "inc_0296tiiBb3UUmdjYQ3ySu0");
  EXPECT_EQ(random_id("inc", 0x0123456789abcdef, 0xfedcba9876543210), "inc_0296tiiBb3UUmdjYQ3ySu0");
  EXPECT_NE(random_id("rpl_", 1, 0), random_id("rpl_", 0, 1));
}

TEST(Target, ComesBack) {
  const Target target{EndpointId("shop"), kIncarnation};
  EXPECT_EQ(format_target(target), "shop:inc_abcdefghijklmnopqrstuv");
  EXPECT_EQ(parse_target(format_target(target)), target);
}

TEST(Target, RefusesWhatIsNone) {
  for (const char* text : {"", ":", "shop", "shop:", ":inc_1", "shop:inc:1", "sh op:inc_1", "shop:inc_1 "}) {
    EXPECT_EQ(parse_target(text), std::nullopt) << text;
  }
}

TEST(Names, OfTenantsAndEndpoints) {
  for (const std::string& text : {std::string("a"), std::string("A-z_09"), std::string(64, 'x')}) {
    EXPECT_TRUE(is_tenant_or_endpoint_id(text)) << text;
  }
  for (const std::string& text :
       {std::string(), std::string(65, 'x'), std::string("a.b"), std::string("a/b"), std::string("a b"),
        std::string("ü"), std::string("a\n"), std::string("a\0b", 3)}) {
    EXPECT_FALSE(is_tenant_or_endpoint_id(text)) << text;
  }
}

TEST(Names, OfEnvironments) {
  for (const std::string& text : {std::string("production"), std::string("eu-1"), std::string(32, 'e')}) {
    EXPECT_TRUE(is_environment_name(text)) << text;
  }
  for (const std::string& text : {std::string(), std::string(33, 'e'), std::string("1eu"), std::string("-eu"),
                                  std::string("EU"), std::string("eu_1"), std::string("eu.1")}) {
    EXPECT_FALSE(is_environment_name(text)) << text;
  }
}

}  // namespace
}  // namespace postrider
