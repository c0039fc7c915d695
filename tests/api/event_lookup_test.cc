#include <algorithm>

#include "engine/core/bytes.h"
#include "engine/wire/cloud_event.h"
#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

struct EventLookup : ApiTest {
  // Answers its position as the routes take it.
  std::string publish(const std::string& id, const std::string& tenant = "acme",
                      const ReplayJobId& job = ReplayJobId()) {
    Event event;
    event.id = id;
    event.source = "/shop";
    event.type = "order.created";
    event.subject = "of alice";
    event.tenant = TenantId(tenant);
    event.data = "data of " + id;
    event.replay_job = job;
    auto message = wire::encode_kafka(event);
    NewRecord record{.topic = Topic::events,
                     .partition = {},
                     .key = message.key,
                     .value = message.value,
                     .headers = message.headers};
    const auto at = log.append(std::move(record)).value();
    return std::to_string(at.partition) + "-" + std::to_string(at.offset);
  }
  static std::string webhook(const std::string& id, const std::string& tenant = "acme") {
    return webhook_id(TenantId(tenant), "/shop", id).str();
  }
  void token(const std::string& text, const std::string& scopes, const std::string& tenant = {}) {
    TokenFact token;
    token.hash = FakeService::hash_of(text);
    token.scope = scopes;
    token.tenant = TenantId(tenant);
    service_.add_token("tok_" + text, token);
  }
};

TEST_F(EventLookup, FindsOneByWhatItsPublishingNamed) {
  publish("before");
  const auto place = publish("e1");
  publish("e1", "acme", ReplayJobId("rpl_1"));
  for (const auto& id : {place, webhook("e1")}) {
    const auto json = call("GET", "/v1/events/" + id).json();
    EXPECT_EQ(json["id"], "e1") << json;
    EXPECT_EQ(json["webhook_id"], webhook("e1"));
    EXPECT_EQ(json["tenant"], "acme");
    EXPECT_EQ(std::to_string(json["partition"].get<int>()) + "-" + std::to_string(json["offset"].get<int>()),
              place);
    EXPECT_EQ(json["bytes"], 10);
    EXPECT_EQ(json.dump().find("alice"), std::string::npos) << "subject and data are the payload's";
    EXPECT_EQ(json.dump().find("data of"), std::string::npos);
  }
  EXPECT_TRUE(log.all(Topic::audit).empty());
}

TEST_F(EventLookup, FindsNoneWhereNoneIs) {
  const auto place = publish("e1");
  for (const auto* id : {"9-0", "0-999", "3-99999999999", "msg_none"})
    expect_problem(call("GET", std::string("/v1/events/") + id), 404, "NOT_FOUND");
  for (const auto* id : {"e1", "1-", "-1", "1--1", "1-x", "99999999999-1"})
    expect_problem(call("GET", std::string("/v1/events/") + id), 400, "INVALID_REQUEST");
}

TEST_F(EventLookup, ShowsThePayloadToWhoMayReadItOnceThatIsOnTheLog) {
  const auto place = publish("e1");
  token("reader", "deliveries:read");
  token("payer", "payloads:read");
  expect_problem(call("GET", "/v1/events/" + place + "/payload", "", {}, "reader"), 403, "PERMISSION_DENIED");
  expect_problem(call("GET", "/v1/events/" + place, "", {}, "payer"), 403, "PERMISSION_DENIED");
  const auto json = call("GET", "/v1/events/" + webhook("e1") + "/payload", "", {}, "payer").json();
  EXPECT_EQ(base64_decode(json["data_base64"].get<std::string>()), "data of e1") << json;
  EXPECT_EQ(json["event"]["subject"], "of alice");
  EXPECT_TRUE(json["delivery_id"].is_null());
  const auto audit = log.all(Topic::audit);
  ASSERT_EQ(audit.size(), 1u);
  const auto fact = wire::decode_audit(kEnvironment, *audit[0].value);
  EXPECT_EQ(fact->action, "payload_read");
  EXPECT_EQ(fact->resource, "events/" + place);
  EXPECT_EQ(fact->subject_id, webhook("e1"));
  EXPECT_EQ(fact->tenant, TenantId("acme"));
  log.fail_next(1);
  const auto untold = call("GET", "/v1/events/" + place + "/payload");
  EXPECT_EQ(untold.status, 503);
  EXPECT_EQ(untold.body.find("data_base64"), std::string::npos);
}

TEST_F(EventLookup, HidesWhatIsAnotherTenants) {
  const auto place = publish("e1", "globex");
  token("of acme", "deliveries:read payloads:read", "acme");
  for (const auto& path : {place, webhook("e1", "globex"), place + "/payload"})
    expect_problem(call("GET", "/v1/events/" + path, "", {}, "of acme"), 404, "NOT_FOUND");
}

TEST_F(EventLookup, OfOneTenantShutsNobodyElseOut) {
  const auto place = publish("e1");
  token("acme", "deliveries:read", "acme");
  token("globex", "deliveries:read", "globex");
  std::promise<void> reading, may_go_on;
  std::atomic<bool> once{false};
  log.on_scan([&, gate = may_go_on.get_future().share()](Topic topic) {
    if (topic != Topic::events) return;
    if (!once.exchange(true)) reading.set_value();
    gate.wait();
  });
  const auto search = [&](const std::string& who) {
    return std::async(std::launch::async,
                      [this, who] { return call("GET", "/v1/events/msg_none", "", {}, who); });
  };
  std::vector<std::future<Reply>> searches;
  searches.push_back(search("acme"));
  reading.get_future().wait();
  for (int i = 0; i < 40; ++i) searches.push_back(search("acme"));
  const auto answered = [&] {
    return std::count_if(searches.begin(), searches.end(), [](const std::future<Reply>& each) {
      return each.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    });
  };
  EXPECT_TRUE(eventually([&] { return answered() == 39; })) << "one runs, and one waits: " << answered();
  EXPECT_EQ(call("GET", "/v1/events/" + place).status, 200) << "what needs no search waits for none";
  auto others = search("globex");
  may_go_on.set_value();
  expect_problem(others.get(), 404, "NOT_FOUND");
  int refused = 0;
  for (auto& each : searches) {
    const auto reply = each.get();
    if (reply.status == 404) continue;
    ++refused;
    expect_problem(reply, 429, "RATE_LIMITED");
    EXPECT_NE(reply.head.find("Retry-After: 2"), std::string::npos);
  }
  EXPECT_EQ(refused, 39);
  EXPECT_EQ(call("GET", "/v1/events/msg_none", "", {}, "acme").status, 404);
}

TEST_F(EventLookup, SaysWhereItLookedNoFurther) {
  const auto place = publish("e1");
  for (int i = 0; i < 1'500; ++i) publish("later" + std::to_string(i));
  log.on_scan([&](Topic) { clock.steady_ms += 3'000; });
  const auto reply = call("GET", "/v1/events/" + webhook("e1"));
  expect_problem(reply, 404, "NOT_FOUND");
  EXPECT_NE(reply.json()["message"].get<std::string>().find("newest"), std::string::npos) << reply.body;
}

// --- statistics

struct Statistics : ApiTest {
  void SetUp() override {
    ApiTest::SetUp();
    call("PUT", "/v1/tenants/acme/endpoints/shop", R"({"url":"https://example.com/"})");
    service_.endpoints[{TenantId("acme"), EndpointId("shop")}].def.incarnation = Incarnation("inc_1");
  }
  void tried(const std::string& id, std::int32_t status, Verdict::Kind verdict, std::int32_t total_ms,
             std::int64_t at = kNow - 1000, const std::string& incarnation = "inc_1",
             AttemptError error = AttemptError::none) {
    AttemptFact fact;
    fact.delivery = delivery(id);
    fact.delivery.target.incarnation = Incarnation(incarnation);
    fact.status = status;
    fact.error = error;
    fact.verdict = verdict;
    fact.phases.total = total_ms;
    fact.stamp = {1, ++sequence};
    log.set_now(at);
    put(Topic::attempts, fact.delivery.id.str(), fact, 1);
  }
  nlohmann::json ask_for(const std::string& query = {}) {
    return call("GET", "/v1/tenants/acme/endpoints/shop/statistics" + query).json();
  }
  std::uint64_t sequence = 0;
};

TEST_F(Statistics, CountAttemptsByOutcomeAndDeliveriesByTheirNewest) {
  for (int i = 1; i <= 100; ++i) tried("e" + std::to_string(i), 200, Verdict::Kind::success, i);
  tried("late", 503, Verdict::Kind::retry, 7);
  tried("late", 0, Verdict::Kind::retry, 15'000, kNow - 1000, "inc_1", AttemptError::timeout);
  tried("gone", 404, Verdict::Kind::dead, 7);
  tried("before it was declared anew", 200, Verdict::Kind::success, 1, kNow - 1000, "inc_0");
  service_.endpoints[{TenantId("acme"), EndpointId("shop")}].in_flight = 3;
  const auto json = ask_for();
  EXPECT_EQ(json["attempts"]["total"], 103) << json;
  EXPECT_EQ(json["attempts"]["succeeded"], 100);
  EXPECT_EQ(json["attempts"]["failed"], 3);
  EXPECT_EQ(json["attempts"]["by_outcome"],
            nlohmann::json({{"HTTP_200", 100}, {"HTTP_404", 1}, {"HTTP_503", 1}, {"TIMEOUT", 1}}));
  EXPECT_EQ(json["latency_ms"]["p50"], 49);
  EXPECT_EQ(json["latency_ms"]["p95"], 95);
  EXPECT_EQ(json["latency_ms"]["p99"], 99);
  EXPECT_EQ(json["latency_ms"]["max"], 100) << "a timeout is no answer";
  EXPECT_EQ(json["deliveries"], nlohmann::json({{"delivered", 100}, {"waiting", 1}, {"dead", 1}}));
  EXPECT_EQ(json["here"]["in_flight"], 3);
  EXPECT_TRUE(json["looked_back_to"].is_null());
}

TEST_F(Statistics, AreOfTheWindowThatIsAskedFor) {
  tried("old", 200, Verdict::Kind::success, 1, kNow - 7'200'000);
  tried("new", 200, Verdict::Kind::success, 1);
  EXPECT_EQ(ask_for()["attempts"]["total"], 1);
  EXPECT_EQ(ask_for("?window=3h")["attempts"]["total"], 2);
  const auto none = ask_for("?window=1s");
  EXPECT_EQ(none["since"], "2023-11-14T22:13:19.000Z");
  for (const auto* query : {"?window=0s", "?window=31d", "?window=", "?window=soon", "?span=1h"})
    expect_problem(call("GET", std::string("/v1/tenants/acme/endpoints/shop/statistics") + query), 400,
                   "INVALID_REQUEST");
  expect_problem(call("GET", "/v1/tenants/acme/endpoints/none/statistics"), 404, "NOT_FOUND");
}

TEST_F(Statistics, SayHowFarTheyLookedThoughTheyMetNoAttemptOfIt) {
  tried("mine", 200, Verdict::Kind::success, 1, kNow - 5'000);
  for (int i = 0; i < 600; ++i)
    tried("e" + std::to_string(i), 200, Verdict::Kind::success, 1, kNow - 1000, "inc_other");
  log.on_scan([&](Topic) { clock.steady_ms += 3'000; });
  const auto json = ask_for();
  EXPECT_EQ(json["attempts"]["total"], 0) << json;
  EXPECT_EQ(json["looked_back_to"], "2023-11-14T22:13:19.000Z");
}

TEST_F(Statistics, OfAnEndpointThatWasNeverTriedAreNone) {
  EXPECT_TRUE(ask_for()["latency_ms"].is_null());
  EXPECT_EQ(ask_for()["attempts"]["total"], 0);
}

}  // namespace
}  // namespace postrider::test
