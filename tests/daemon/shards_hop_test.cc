#include "engine/daemon/shards_hop.h"

#include <gtest/gtest.h>

#include <deque>

#include "tests/api/fake_service.h"

namespace postrider {
namespace {

const TenantId kTenant("acme");
const EndpointId kEndpoint("main");

// What one shard knows; answers at once, on its own thread in life.
struct OneShard : test::FakeService {
  Mailbox mailbox;
  std::vector<DeliveryId> ids;
  std::optional<Delivery> delivery;
  Readiness ready{true, true, true, true, true, {}, {}};

  void find_deliveries(std::string, Answer<std::vector<DeliveryId>> answer) override { answer(ids); }
  void show_delivery(DeliveryId, Answer<Delivery> answer) override {
    if (delivery) return answer(*delivery);
    answer(fail(Errc::not_found, "NOT_FOUND", "unknown", "ask another"));
  }
  void readiness(Answer<Readiness> answer) override { answer(ready); }
  void list_endpoints(TenantId, PageAsk, Answer<std::vector<EndpointView>> answer) override { answer(views); }
  void show_endpoint(TenantId, EndpointId, Answer<EndpointView> answer) override {
    if (views.empty()) return answer(fail(Errc::not_found, "NOT_FOUND", "unknown", "list them"));
    answer(views.front());
  }
  void prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) override {
    show_endpoint(proof.tenant, proof.endpoint, std::move(answer));
  }
  std::vector<EndpointView> views;
};

class ShardsHopTest : public testing::Test {
 protected:
  // Lets every shard and then the API's thread do what is posted, until nothing is left.
  void settle() {
    for (int round = 0; round < 4; ++round) {
      for (OneShard& shard : shards_) shard.mailbox.run();
      for (auto work = std::exchange(back_, {}); auto& each : work) each();
    }
  }
  template <class T, class Ask>
  Result<T> answer_of(Ask ask) {
    std::optional<Result<T>> answered;
    ask([&](Result<T> answer) { answered.emplace(std::move(answer)); });
    EXPECT_FALSE(answered);
    settle();
    return answered ? *std::move(answered) : fail(Errc::corrupt, "NO_ANSWER", "none came", "look");
  }
  static EndpointView view(std::uint64_t held, std::uint64_t queued, HealthState health) {
    EndpointView one;
    one.def.tenant = kTenant;
    one.def.id = kEndpoint;
    one.held = held;
    one.queued = queued;
    one.health = health;
    return one;
  }

  std::deque<OneShard> shards_{3};
  std::vector<std::function<void()>> back_;
  ShardsHop hop_{
      {{shards_[0], shards_[0].mailbox}, {shards_[1], shards_[1].mailbox}, {shards_[2], shards_[2].mailbox}},
      [this](std::function<void()> work) { back_.push_back(std::move(work)); }};
};

TEST_F(ShardsHopTest, AnEndpointIsAsWellAsTheWorstAndHoldsWhatAllHold) {
  shards_[0].views = {view(2, 1, HealthState::healthy)};
  shards_[1].views = {view(5, 0, HealthState::failing)};
  shards_[2].views = {view(0, 7, HealthState::degraded)};
  const auto shown =
      answer_of<EndpointView>([&](auto answer) { hop_.show_endpoint(kTenant, kEndpoint, answer); });
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->held, 7u);
  EXPECT_EQ(shown->queued, 8u);
  EXPECT_EQ(shown->health, HealthState::failing);
  const auto listed =
      answer_of<std::vector<EndpointView>>([&](auto answer) { hop_.list_endpoints(kTenant, {}, answer); });
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().held, 7u);
}

TEST_F(ShardsHopTest, AnEndpointThatNoneKnowsIsNotFound) {
  const auto shown =
      answer_of<EndpointView>([&](auto answer) { hop_.show_endpoint(kTenant, kEndpoint, answer); });
  ASSERT_FALSE(shown);
  EXPECT_EQ(shown.error().errc, Errc::not_found);
}

TEST_F(ShardsHopTest, AnEndpointThatIsProvenIsShownWithWhatAllHoldAndWhatItsAskerHeard) {
  for (OneShard& shard : shards_) shard.views = {view(2, 0, HealthState::unverified)};
  for (OneShard& shard : shards_) shard.views.front().stopped = {Stop::unverified, "unproven", 0, ""};
  shards_[1].views.front().stopped.why = "unproven; the newest answer: HTTP 404";
  const auto shown = answer_of<EndpointView>([&](auto answer) {
    hop_.prove_endpoint({kTenant, kEndpoint, std::nullopt, false, "ann", true, {}}, answer);
  });
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->held, 6u);
  EXPECT_EQ(shown->stopped.why, "unproven; the newest answer: HTTP 404");
}

TEST_F(ShardsHopTest, DeliveriesOfAllShardsAreFoundOnce) {
  shards_[0].ids = {DeliveryId("dlv_0_a")};
  shards_[1].ids = {DeliveryId("dlv_1_b"), DeliveryId("dlv_0_a")};
  const auto found =
      answer_of<std::vector<DeliveryId>>([&](auto answer) { hop_.find_deliveries("msg_1", answer); });
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, (std::vector<DeliveryId>{DeliveryId("dlv_0_a"), DeliveryId("dlv_1_b")}));
}

TEST_F(ShardsHopTest, WhatAFormerOwnerKnowsOfADeliveryFoldsWithWhatItsOwnerKnows) {
  AttemptFact failed;
  failed.delivery.id = DeliveryId("dlv_1_b");
  failed.stamp = {10, 1};
  failed.number = 1;
  failed.verdict = Verdict::Kind::retry;
  AttemptFact succeeded = failed;
  succeeded.stamp = {20, 1};
  succeeded.number = 2;
  succeeded.at = 1;
  succeeded.verdict = Verdict::Kind::success;
  shards_[0].delivery.emplace().apply(failed);
  shards_[2].delivery.emplace().apply(succeeded);
  const auto shown =
      answer_of<Delivery>([&](auto answer) { hop_.show_delivery(DeliveryId("dlv_1_b"), answer); });
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->state(), DeliveryState::delivered);
  EXPECT_EQ(shown->attempts().size(), 2u);
}

TEST_F(ShardsHopTest, TheProcessIsReadyWhenEveryShardIs) {
  const auto ask = [&](auto answer) { hop_.readiness(answer); };
  EXPECT_TRUE(answer_of<Readiness>(ask)->ready());
  shards_[1].ready.complaints = {"draining"};
  shards_[1].ready.consuming = false;
  const auto ready = answer_of<Readiness>(ask);
  EXPECT_FALSE(ready->ready());
  EXPECT_FALSE(ready->consuming);
  EXPECT_TRUE(ready->store_open);
  EXPECT_EQ(ready->complaints, std::vector<std::string>{"shard 1: draining"});
}

}  // namespace
}  // namespace postrider
