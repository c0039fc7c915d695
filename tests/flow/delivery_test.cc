#include <gtest/gtest.h>

#include <set>

#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "tests/flow/world.h"

// The life of an event, from `events` to a settled offset.
namespace postrider::world {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

std::function<std::optional<Outcome>(const std::string&, int)> fails_first(int times, int status = 503) {
  return [=](const std::string&, int n) { return answered(n <= times ? status : 200); };
}

TEST(Delivery, IsSentOnceToEachSubscribedEndpointAndSettles) {
  World world;
  world.begin();
  world.declare("orders", [](EndpointSpec& spec) { spec.types = {"order.*"}; });
  world.declare("all");
  world.declare("invoices", [](EndpointSpec& spec) { spec.types = {"invoice.paid"}; });
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  EXPECT_EQ(world.transport.at("orders.example").size(), 1u);
  EXPECT_EQ(world.transport.at("all.example").size(), 1u);
  EXPECT_TRUE(world.transport.at("invoices.example").empty());
  EXPECT_EQ(world.attempts().size(), 2u);
  EXPECT_EQ(world.parked().size(), 0u) << "a first success needs no record of parked";
}

// What was planned right after an acknowledgement that took long, and comes back after a prompt one.
TEST(Delivery, NoRetryIsEarlyHoweverLongAnAcknowledgementTook) {
  World world;
  world.begin().config.attempt_timeout = seconds(3);
  world.one().restart();
  world.one().log->assign({0});
  world.declare("slow", [](EndpointSpec& spec) { spec.types = {"slow"}; });
  world.declare("main", [](EndpointSpec& spec) {
    spec.types = {"order.created"};
    spec.retry = *parse_retry_policy({"1s"});
  });
  world.transport.answer = [](const std::string& host, int n) -> std::optional<Outcome> {
    if (host == "main.example" && n == 1) return std::nullopt;
    return answered(200);
  };
  world.run(seconds(5));
  world.one().log->acknowledge = false;
  world.publish("a", "slow");
  world.publish("b");
  world.run(Millis(100));
  ASSERT_EQ(world.transport.hanging(), 1u);
  const std::int64_t ends = world.transport.next_timeout();
  world.run(Millis(ends - world.clocks.steady_ms));
  ASSERT_EQ(world.transport.hanging(), 1u);
  world.one().log->acknowledge = true;  // of what was appended nearly three seconds ago
  ASSERT_TRUE(world.run_until([&] { return world.transport.at("main.example").size() == 2; }));
  EXPECT_GE(world.transport.at("main.example")[1].steady_ms - ends, 800);
}

TEST(Delivery, CarriesOneWebhookIdAndAFreshSignatureOnEveryRetry) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = fails_first(2);
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 3; }, minutes(20)));
  std::set<std::string> ids, stamps, signatures;
  for (const Arrival& arrival : world.transport.arrivals) {
    ids.insert(arrival.header("webhook-id"));
    stamps.insert(arrival.header("webhook-timestamp"));
    signatures.insert(arrival.header("webhook-signature"));
    EXPECT_EQ(arrival.header("webhook-timestamp"), std::to_string(arrival.log_ms / 1000));
  }
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_EQ(stamps.size(), 3u);
  EXPECT_EQ(signatures.size(), 3u);
}

TEST(Delivery, IsNeverEarlyAndKeepsToTheScheduleWithinItsJitter) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = fails_first(100);
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }, hours(12)));
  ASSERT_EQ(world.transport.arrivals.size(), 6u);
  const std::int64_t planned[] = {5'000, 300'000, 1'800'000, 7'200'000, 18'000'000};
  for (std::size_t i = 0; i + 1 < world.transport.arrivals.size(); ++i) {
    const std::int64_t waited =
        world.transport.arrivals[i + 1].steady_ms - world.transport.arrivals[i].steady_ms;
    EXPECT_GE(waited, planned[i] * 8 / 10) << "retry " << i + 1;
    EXPECT_LE(waited, planned[i] * 12 / 10 + 500) << "retry " << i + 1;
  }
  const auto facts = world.attempts();
  for (std::size_t i = 0; i + 1 < facts.size(); ++i) EXPECT_GE(facts[i + 1].at, facts[i].next_at);
}

TEST(Delivery, EndsAsADeadLetterWithReasonAttemptsAndSealedPayload) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({"1s", "2s"}); });
  world.transport.answer = fails_first(100);
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1 && world.committed() == 1; }));
  const DeadLetter letter = world.dead_letters().front();
  EXPECT_EQ(letter.reason, DeadReason::attempts_exhausted);
  EXPECT_EQ(letter.attempts, 3u);
  EXPECT_EQ(letter.last_status, 503);
  EXPECT_EQ(letter.event_source, "/shop");
  ASSERT_EQ(letter.sealed_payload.substr(0, 7), "sealed:");
  world.run(seconds(1));
  EXPECT_EQ(world.parked_now(), 0u) << "its end wrote a tombstone";
  EXPECT_TRUE(world.one().store.rows[Family::claims].empty()) << "its claim check is gone";
  EXPECT_TRUE(world.one().store.rows[Family::due].empty());
}

// DESIGN §2 step 8: the other order could lose a delivery.
TEST(Delivery, RecordsEachFactOnlyAfterTheOneBeforeWasAcknowledged) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({"1s"}); });
  world.transport.answer = fails_first(100);
  std::vector<Topic> order;
  TestLog& log = *world.one().log;
  world.cluster.fate = [&](const NewRecord& record) {
    const bool ours = record.topic == Topic::attempts || record.topic == Topic::dead_letters ||
                      (record.topic == Topic::parked && record.key != kOwnerKey);
    if (ours) {
      order.push_back(record.topic);
      log.acknowledge = false;
    }
    return Appended::Status::acknowledged;
  };
  world.publish("e1");
  const std::vector<Topic> expected{Topic::attempts, Topic::parked, Topic::attempts, Topic::dead_letters,
                                    Topic::parked};
  for (std::size_t facts = 1; facts <= expected.size(); ++facts) {
    ASSERT_TRUE(world.run_until([&] { return order.size() == facts; }, seconds(5))) << facts;
    world.run(seconds(1));
    EXPECT_EQ(order.size(), facts) << "nothing more before the acknowledgement";
    if (facts == 1) {
      EXPECT_EQ(world.committed(), 0) << "not settled before its state is acknowledged";
    }
    log.acknowledge = true;
  }
  EXPECT_EQ(order, expected);
}

TEST(Delivery, IsRecordedAgainWhenAnAcknowledgementIsLost) {
  World world;
  world.begin();
  world.declare("main");
  int lost = 0;
  world.cluster.fate = [&](const NewRecord& record) {
    if (record.topic == Topic::attempts && lost < 3) {
      ++lost;
      return Appended::Status::unknown;
    }
    return Appended::Status::acknowledged;
  };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  ASSERT_EQ(world.attempts().size(), 1u);
  EXPECT_GT(world.attempts().front().stamp.sequence, 3u) << "each time under the next sequence";
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
}

TEST(Delivery, OfAnEventThatMatchesNothingLeavesAFactThatSaysSo) {
  World world;
  world.begin();
  world.declare("orders", [](EndpointSpec& spec) { spec.types = {"order.*"}; });
  world.publish("e1", "invoice.paid");
  world.publish("e2", "invoice.paid");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  EXPECT_TRUE(world.transport.arrivals.empty());
  EXPECT_EQ(world.one().observer.no_matches, 2);
  std::size_t told = 0;
  for (const auto& [offset, record] : world.cluster.records[{Topic::attempts, 0}]) {
    auto fact = wire::decode_attempts(kEnvironment, *record.value);
    ASSERT_TRUE(fact);
    for (const auto& [first, last] : std::get<NoMatchFact>(*fact).offsets)
      told += static_cast<std::size_t>(last - first + 1);
  }
  EXPECT_EQ(told, 2u);
}

TEST(Delivery, OfARepeatIsDroppedAndTold) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  world.publish("e1");
  world.publish("e1", "order.created", [](Event& event) { event.source = "/other"; });
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 3; }));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
  EXPECT_EQ(world.one().observer.repeats, 1);
  world.run(hours(25));
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 4; }));
  EXPECT_EQ(world.transport.arrivals.size(), 3u) << "after the window it is an event of its own";
}

TEST(Delivery, OfABadEventIsSetAsideAndThePartitionGoesOn) {
  World world;
  world.begin();
  world.declare("main");
  world.cluster.append(
      {.topic = Topic::events, .partition = 0, .key = "acme", .value = "\xff\xfe garbage", .headers = {}});
  world.publish("big", "order.created", [](Event& event) { event.data.assign(kEventDataBytesMax + 1, 'x'); });
  world.publish("foreign", "order.created", [](Event& event) { event.environment = "staging"; });
  world.cluster.append(
      {.topic = Topic::events, .partition = 0, .key = "", .value = std::nullopt, .headers = {}});
  world.publish("good");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 5; }));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
  std::multiset<DeadReason> reasons;
  for (const DeadLetter& letter : world.dead_letters()) {
    reasons.insert(letter.reason);
    EXPECT_EQ(letter.sealed_payload.substr(0, 7), "sealed:");
  }
  EXPECT_EQ(reasons, (std::multiset<DeadReason>{DeadReason::undecodable, DeadReason::undecodable,
                                                DeadReason::oversize, DeadReason::foreign_environment}));
}

TEST(Delivery, ThatIsReplayedGoesToItsTargetOnlyUnderTheSameWebhookId) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({}); });
  world.declare("other");
  world.transport.answer = [](const std::string& host, int n) {
    return answered(host == "main.example" && n == 1 ? 503 : 200);
  };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  world.replay_dead_letter();
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  const auto arrivals = world.transport.at("main.example");
  ASSERT_EQ(arrivals.size(), 2u);
  EXPECT_EQ(world.transport.at("other.example").size(), 1u);
  EXPECT_EQ(arrivals[0].header("webhook-id"), arrivals[1].header("webhook-id"));
  EXPECT_EQ(*arrivals[0].request.body, *arrivals[1].request.body);
  EXPECT_NE(world.attempts().front().delivery.id, world.attempts().back().delivery.id);
}

TEST(Delivery, ThatIsReplayedAfterItsTenantWasErasedIsCancelledByAFact) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({}); });
  world.transport.answer = [](const std::string&, int) { return answered(400); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  world.one().keys->destroyed.insert(TenantId("acme"));
  const DeadLetter letter = world.dead_letters().front();
  world.replay_dead_letter();
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
  EXPECT_EQ(world.dead_letters().size(), 1u);
  const auto cancelled = world.cancellations();
  ASSERT_EQ(cancelled.size(), 1u);
  EXPECT_EQ(cancelled.front().reason, CancelReason::tenant_erased);
  EXPECT_EQ(cancelled.front().delivery.webhook_id, letter.delivery.webhook_id);
  EXPECT_EQ(cancelled.front().delivery.replay_job, ReplayJobId("rpl_1"));
}

TEST(Delivery, WaitsWithoutACharge_WhileTheKeyServiceIsAway) {
  World world;
  world.begin();
  world.declare("main");
  world.one().keys->away = true;
  world.publish("e1");
  world.run(minutes(2));
  EXPECT_TRUE(world.transport.arrivals.empty()) << "there is no unsigned mode";
  world.one().keys->away = false;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1 && world.attempts().size() == 1; }));
  EXPECT_EQ(world.attempts().front().number, 1u);
}

TEST(Delivery, WaitsAMomentInItsQueueForAKeyThatIsAskedForJustNow) {
  World world;
  world.begin();
  world.declare("main");
  world.one().keys->pending = true;
  world.publish("e1");
  world.run(seconds(2));
  EXPECT_TRUE(world.transport.arrivals.empty());
  EXPECT_TRUE(world.parked().empty()) << "a network's time is no reason to write";
  world.one().keys->pending = false;
  world.run(Millis(200));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
}

TEST(Delivery, SecretsAreOfUseNoLongerThanTheirKeyAndAreOpenedAgainOnceItIsBack) {
  World world;
  world.begin();
  world.declare("main");
  TestKeys& keys = *world.one().keys;
  keys.kept = from_ms<SteadyTime>(world.clocks.steady_ms) + minutes(5);
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  keys.away = true;
  world.run(minutes(4));
  world.publish("e2");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 2; }))
      << "still within its time";
  world.run(minutes(2));
  world.publish("e3");
  world.run(minutes(2));
  EXPECT_EQ(world.transport.arrivals.size(), 2u) << "nothing is signed with what may be kept no more";
  keys.away = false;
  keys.kept = SteadyTime::max();
  ASSERT_TRUE(world.run_until([&] { return world.attempts().size() == 3; }));
  EXPECT_EQ(world.transport.arrivals.size(), 3u);
  for (const auto& attempt : world.attempts()) EXPECT_EQ(attempt.number, 1u) << "nothing was charged";
}

TEST(Delivery, SecretsLieOpenForSoManyEndpointsAtMostAndForThoseThatAreSentTo) {
  const auto opened = [](std::size_t most) {
    World world;
    world.begin().config.opened_max = most;
    world.one().restart();
    world.one().log->assign({0});
    for (const char* name : {"one", "two", "three", "unused"})
      world.declare(name, [&](EndpointSpec& spec) {
        spec.types = {std::string(name) == "unused" ? "none" : "order.*"};
      });
    for (const char* event : {"e1", "e2", "e3"}) {
      world.publish(event);
      EXPECT_TRUE(world.run_until([&] { return world.committed() == world.cluster.end(Topic::events, 0); }));
    }
    EXPECT_EQ(world.transport.arrivals.size(), 9u);
    return world.one().keys->secrets_opened;
  };
  EXPECT_EQ(opened(100), 3) << "once each, and the one that nothing is sent to never";
  EXPECT_GE(opened(2), 9) << "the third takes the first one's place, and so on";
}

std::vector<Record> all_of(const World& world, Topic topic) {
  std::vector<Record> found;
  for (const auto& [key, records] : world.cluster.records) {
    if (key.first != topic) continue;
    for (const auto& [offset, record] : records) found.push_back(record);
  }
  return found;
}

TEST(KeyService, WhatItDidIsToldToItsTenant) {
  World world;
  world.begin();
  AuditFact fact;
  fact.tenant = kTenant;
  fact.action = "key_unwrapped";
  fact.resource = "keys/key_1";
  world.one().keys->told.push_back(fact);
  world.run(seconds(3));
  const auto records = all_of(world, Topic::audit);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records.front().key, kTenant.str()) << "whoever may read that tenant's audit finds it";
  const auto told = wire::decode_audit(kEnvironment, *records.front().value).value();
  EXPECT_EQ(told.action, "key_unwrapped");
  EXPECT_EQ(told.environment, kEnvironment.str());
  EXPECT_FALSE(told.actor.empty());
  EXPECT_GT(told.at, 0);
}

TEST(KeyService, GivesAnOldKeyASuccessorOnceItIsThere) {
  World world;
  world.begin().config.rotate_keys_after = hours(24);
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.declare("main");
  const std::size_t before = all_of(world, Topic::keys).size();
  TestKeys& keys = *world.one().keys;
  keys.away = true;
  keys.old = {kTenant};
  world.run(minutes(30));
  EXPECT_EQ(all_of(world, Topic::keys).size(), before);
  keys.away = false;
  ASSERT_TRUE(world.run_until([&] { return all_of(world, Topic::keys).size() > before; }, minutes(30)));
  keys.old.clear();
  world.run(minutes(60));
  EXPECT_EQ(all_of(world, Topic::keys).size(), before + 1);
}

}  // namespace
}  // namespace postrider::world
