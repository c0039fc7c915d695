#include <gtest/gtest.h>

#include "engine/wire/codec.h"
#include "tests/flow/world.h"

namespace postrider::world {
namespace {

std::function<void(Event&)> with_data(std::string data, std::string content_type = "application/json") {
  return [data = std::move(data), content_type = std::move(content_type)](Event& event) {
    event.data = data;
    event.datacontenttype = content_type;
  };
}

TEST(EventType, WhoseSchemaAnEventBreaksMakesItADeadLetterThatNamesThePlace) {
  World world;
  world.begin();
  world.declare("main");
  world.describe("order.created", "total");
  world.publish("good", "order.created", with_data(R"({"total":1})"));
  world.publish("bad", "order.created", with_data(R"({"sum":"SECRET"})"));
  world.publish("other", "order.paid", with_data("anything", "text/plain"));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 3; }));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
  ASSERT_EQ(world.dead_letters().size(), 1u);
  const DeadLetter letter = world.dead_letters().front();
  EXPECT_EQ(letter.reason, DeadReason::schema_violation);
  EXPECT_EQ(letter.detail, "/order: is missing");
  EXPECT_EQ(letter.delivery.tenant, kTenant);
  EXPECT_EQ(letter.delivery.event_id, "bad");
  EXPECT_EQ(letter.delivery.event_type, "order.created");
  EXPECT_EQ(letter.sealed_payload.substr(0, 7), "sealed:");
  EXPECT_EQ(world.one().schemas.compiled, 2) << "when it was declared, and once for all of its events";
}

TEST(EventType, WithASchemaTakesJsonAlone) {
  World world;
  world.begin();
  world.declare("main");
  world.describe("order.created", "total");
  for (const char* json : {"application/json; charset=utf-8", "", "application/vnd.shop+JSON", "text/json"})
    world.publish(std::string("as ") + json, "order.created", with_data("total", json));
  for (const char* other : {"text/plain", "application/xml", "application/jsonl"})
    world.publish(std::string("as ") + other, "order.created", with_data("total", other));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 7; }));
  EXPECT_EQ(world.transport.arrivals.size(), 4u);
  ASSERT_EQ(world.dead_letters().size(), 3u);
  EXPECT_NE(world.dead_letters().front().detail.find("not declared to be JSON"), std::string::npos);
}

TEST(EventType, OfThePlatformHoldsForTenantsWithoutOneOfTheirOwnAndForAsLongAsItStands) {
  World world;
  world.begin();
  world.declare("main");
  world.describe("order.created", "platform", "");
  world.publish("e0", "order.created", with_data("mine"));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  EXPECT_EQ(world.dead_letters().size(), 1u);
  world.describe("order.created", "mine");
  world.publish("e1", "order.created", with_data("mine"));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
  std::optional<bool> deleted;
  for (const char* tenant : {"acme", ""}) {
    deleted.reset();
    world.one().shard->service().delete_event_type(TenantId(tenant), "order.created", "ann", true,
                                                   [&](Result<bool> answer) { deleted = answer && *answer; });
    EXPECT_FALSE(deleted) << "others may not have seen it yet";
    ASSERT_TRUE(world.run_until([&] { return deleted.has_value(); }, std::chrono::seconds(10)));
    EXPECT_TRUE(*deleted);
  }
  world.publish("e2", "order.created", with_data("whatever"));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 3; }));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
}

TEST(EventType, OfWhichAReplayIsMadeIsNotAskedForItsSchemaAgain) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({}); });
  world.transport.answer = [](const std::string&, int) { return answered(500); };
  world.publish("e0", "order.created", with_data("as it was"));
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  world.describe("order.created", "as it shall be");
  world.transport.answer = [](const std::string&, int) { return answered(200); };
  world.replay_dead_letter();
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  EXPECT_EQ(world.dead_letters().size(), 1u);
}

TEST(EventType, ThatGetsASchemaWhileADeliveryIsParkedLetsItGoOn) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  world.one().log->commits_succeed = false;
  world.publish("e0", "order.created", with_data("as it was"));
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  world.describe("order.created", "as it shall be");
  world.one().restart();  // reads the event again
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  world.transport.answer = [](const std::string&, int) { return answered(200); };
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0 && world.committed() == 1; }));
  EXPECT_TRUE(world.dead_letters().empty());
}

TEST(EventType, IsRefusedToAPublisherAtOnce) {
  World world;
  world.begin();
  world.describe("order.created", "total");
  Event event;
  event.id = "e0";
  event.source = "/shop";
  event.type = "order.created";
  event.tenant = kTenant;
  event.data = "SECRET";
  std::optional<Result<Published>> answer;
  world.one().shard->service().publish(event, true, [&](Result<Published> one) { answer = std::move(one); });
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, "SCHEMA_VIOLATION");
  EXPECT_NE(answer->error().message.find("/order: is missing"), std::string::npos);
  EXPECT_EQ(answer->error().message.find("SECRET"), std::string::npos);
}

TEST(EventType, WithASchemaIsNoTypeOfATestEventThatBreaksIt) {
  World world;
  world.begin();
  world.declare("main");
  world.describe("order.created", "total");
  const auto test_event = [&](const std::string& type) {
    Event event;
    event.source = "/postrider/test";
    event.type = type;
    event.data = R"({"test":true})";
    std::optional<std::string> code;
    world.one().shard->service().publish_to(
        kTenant, EndpointId("main"), event,
        [&](Result<Published> answer) { code = answer ? "" : answer.error().code; });
    EXPECT_TRUE(world.run_until([&] { return code.has_value(); }));
    return code.value_or("no answer");
  };
  EXPECT_EQ(test_event("order.created"), "SCHEMA_VIOLATION");
  EXPECT_EQ(test_event("postrider.test"), "");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
}

TEST(EventType, IsDescribedByOneOfTwoWritersAtOnceAndTheOtherLearnsOfIt) {
  World world;
  world.begin();
  std::vector<std::string> outcomes;
  for (const char* description : {"first", "second"}) {
    EventTypeSpec spec;
    spec.tenant = kTenant;
    spec.name = "order.created";
    spec.description = description;
    spec.wait = false;
    world.one().shard->service().put_event_type(spec, [&](Result<EventTypeAnswer> answer) {
      outcomes.push_back(answer ? answer->def.description : answer.error().code);
    });
  }
  ASSERT_TRUE(world.run_until([&] { return outcomes.size() == 2; }));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"first", "CONFLICT"}));
  const auto& types = world.one().shard->registry().registry().event_types();
  EXPECT_EQ(types.find(kTenant, "order.created")->description, "first");
}

TEST(EventType, OfAnotherRevisionThanIsDemandedIsNeitherChangedNorDeleted) {
  World world;
  world.begin();
  world.describe("order.created", "");
  auto& service = world.one().shard->service();
  const auto& types = world.one().shard->registry().registry().event_types();
  Precondition of_another;
  of_another.revisions = {7};
  EventTypeSpec spec;
  spec.tenant = kTenant;
  spec.name = "order.created";
  spec.description = "changed";
  spec.wait = false;
  spec.only_if = of_another;
  std::vector<std::string> outcomes;
  const auto note = [&](const auto& answer) { outcomes.push_back(answer ? "done" : answer.error().code); };
  service.put_event_type(spec, note);
  spec.only_if = Precondition();
  spec.only_if.absent = true;
  service.put_event_type(spec, note);
  service.delete_event_type(kTenant, "order.created", "ann", {false, of_another}, note);
  EXPECT_EQ(outcomes, std::vector<std::string>(3, "PRECONDITION_FAILED"));
  EXPECT_EQ(types.find(kTenant, "order.created")->description, "");
  spec.only_if = Precondition();
  spec.only_if.revisions = {types.find(kTenant, "order.created")->revision};
  service.put_event_type(spec, note);
  ASSERT_TRUE(world.run_until([&] { return outcomes.size() == 4; }));
  EXPECT_EQ(types.find(kTenant, "order.created")->description, "changed");
}

TEST(EventType, WithASchemaThatCannotBeJudgedIsRefusedAndUnderAnotherVersionsItsEventsPass) {
  World world;
  world.begin();
  world.declare("main");
  EventTypeSpec spec;
  spec.tenant = kTenant;
  spec.name = "order.created";
  spec.schema = "none";
  std::string code;
  world.one().shard->service().put_event_type(
      spec, [&](Result<EventTypeAnswer> answer) { code = answer ? "" : answer.error().code; });
  EXPECT_EQ(code, "INVALID_SCHEMA");
  EventTypeDef def;
  def.tenant = kTenant;
  def.name = "order.created";
  def.revision = 1;
  def.schema = "none";
  world.cluster.append({.topic = Topic::endpoints,
                        .partition = 0,
                        .key = event_type_key(def.tenant, def.name),
                        .value = wire::encode(kEnvironment, def),
                        .headers = {}});
  world.run(std::chrono::seconds(3));
  world.publish("e0", "order.created", with_data("x"));
  world.publish("e1", "order.created", with_data("x"));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
  EXPECT_TRUE(world.one().observer.noted("schema_unusable"));
  EXPECT_EQ(world.one().schemas.compiled, 2) << "not tried again for each event";
}

}  // namespace
}  // namespace postrider::world
