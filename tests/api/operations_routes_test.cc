#include "engine/wire/cloud_event.h"
#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

struct OperationsRoutes : ApiTest {};

TEST_F(OperationsRoutes, ShowADeliveryThatTheViewKnows) {
  const auto ref = delivery("e1");
  AttemptFact first;
  first.delivery = ref;
  first.stamp = {1, 1};
  first.at = kNow;
  first.status = 503;
  first.verdict = Verdict::Kind::retry;
  first.phases.total = 12;
  auto second = first;
  second.stamp = {1, 2};
  second.number = 2;
  second.at = kNow + 5000;
  second.status = 0;
  second.error = AttemptError::timeout;
  auto third = second;
  third.stamp = {1, 3};
  third.number = 3;
  third.at = kNow + 9000;
  third.status = 200;
  third.error = AttemptError::none;
  third.verdict = Verdict::Kind::success;
  for (const auto* fact : {&first, &second, &third}) service_.deliveries[ref.id].apply(*fact);
  for (const auto& id : {ref.id.str(), std::string("e1")}) {
    const auto json = call("GET", "/v1/deliveries/" + id).json();
    ASSERT_EQ(json["deliveries"].size(), 1u) << json;
    const auto& shown = json["deliveries"][0];
    EXPECT_EQ(shown["delivery_id"], ref.id.str());
    EXPECT_EQ(shown["state"], "delivered");
    ASSERT_EQ(shown["attempts"].size(), 3u);
    EXPECT_EQ(shown["attempts"][0]["status"], 503);
    EXPECT_EQ(shown["attempts"][0]["code"], "HTTP_503");
    EXPECT_EQ(shown["attempts"][0]["duration_ms"], 12);
    EXPECT_TRUE(shown["attempts"][1]["status"].is_null());
    EXPECT_EQ(shown["attempts"][1]["code"], "TIMEOUT");
    EXPECT_TRUE(shown["attempts"][2]["code"].is_null());
  }
}

TEST_F(OperationsRoutes, LookOnTheLogForWhatTheViewDoesNotKnow) {
  const auto ref = delivery("from the log");
  attempt(ref, Verdict::Kind::success);
  const auto json = call("GET", "/v1/deliveries/from%20the%20log").json();
  ASSERT_EQ(json["deliveries"].size(), 1u) << json;
  EXPECT_EQ(json["deliveries"][0]["event_id"], "from the log");
  EXPECT_EQ(json["deliveries"][0]["fan_out"], 1);
  EXPECT_FALSE(json.contains("pending"));
  expect_problem(call("GET", "/v1/deliveries/none"), 404, "NOT_FOUND");
  expect_problem(call("GET", "/v1/deliveries/none?since=yesterday"), 400, "INVALID_REQUEST");
}

TEST_F(OperationsRoutes, SayThatAnEventIsStillOnItsWay) {
  Event event;
  event.id = "fresh";
  event.source = "/shop";
  event.type = "order.created";
  event.tenant = TenantId("acme");
  auto message = wire::encode_kafka(event);
  NewRecord record;
  record.topic = Topic::events;
  record.key = message.key;
  record.value = message.value;
  record.headers = message.headers;
  ASSERT_TRUE(log.append(std::move(record)));
  const auto json = call("GET", "/v1/deliveries/fresh").json();
  EXPECT_TRUE(json["deliveries"].empty());
  EXPECT_TRUE(json.value("pending", false)) << json;
  EXPECT_NE(json.value("explanation", "").find("not been routed yet"), std::string::npos) << json;
}

TEST_F(OperationsRoutes, ListSummarizeAndShowDeadLetters) {
  const auto ref = dead("a");
  dead("b", "globex", kNow + 1000);
  const auto list = call("GET", "/v1/dead-letters").json();
  ASSERT_EQ(list["dead_letters"].size(), 2u) << list;
  EXPECT_EQ(list["dead_letters"][0]["tenant"], "globex");
  EXPECT_FALSE(list["truncated"]);
  const auto one =
      call("GET", "/v1/dead-letters?tenant=acme&reason=client_error&state=open&type=order.*&limit=1")
          .json()["dead_letters"];
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0]["delivery_id"], ref.id.str());
  EXPECT_EQ(one[0]["category"], "customer_failure");
  EXPECT_EQ(one[0]["dead_at"], "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(one[0]["position"]["offset"], 7);
  EXPECT_FALSE(one[0].contains("sealed_payload"));
  const auto late = call("GET", "/v1/dead-letters?since=2023-11-14T22:13:20.5Z").json()["dead_letters"];
  EXPECT_EQ(late.size(), 1u);

  const auto summary = call("GET", "/v1/dead-letters/summary").json();
  EXPECT_EQ(summary["open"], 2);
  EXPECT_EQ(summary["summary"].size(), 2u);
  EXPECT_EQ(call("GET", "/v1/dead-letters/" + ref.id.str()).json()["event_id"], "a");
  expect_problem(call("GET", "/v1/dead-letters/dlv_1_none"), 404, "NOT_FOUND");
  for (const auto* query : {"tenant=a%20b", "reason=bored", "state=half", "type=a%20b", "since=1", "limit=0",
                            "limit=1001", "limit=x", "color=red"})
    expect_problem(call("GET", std::string("/v1/dead-letters?") + query), 400, "INVALID_REQUEST");
}

TEST_F(OperationsRoutes, ResolveADeadLetterOnce) {
  const auto path = "/v1/dead-letters/" + dead("a").id.str() + "/resolve";
  expect_problem(call("POST", path, "{}"), 400, "INVALID_REQUEST");
  const auto json = call("POST", path, R"({"why": "refunded"})", {"Postrider-Actor: alice"}).json();
  EXPECT_EQ(json["state"], "resolved") << json;
  EXPECT_EQ(json["mark"]["actor"], "alice");
  expect_problem(call("POST", path, R"({"why": "again"})"), 409, "ALREADY_CLOSED");
  const auto audit = log.all(Topic::audit);
  ASSERT_EQ(audit.size(), 1u);
  const auto fact = wire::decode_audit(kEnvironment, *audit[0].value);
  ASSERT_TRUE(fact);
  EXPECT_EQ(fact->token_id, FakeService::hash_of("secret-token").substr(0, 12));
}

TEST_F(OperationsRoutes, ReplayByIdAndByFilter) {
  const auto a = dead("a");
  dead("b");
  dead("c", "globex");
  const auto dry = call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "dry_run": true})").json();
  EXPECT_EQ(dry["matched"], 2) << dry;
  EXPECT_TRUE(dry["job"].is_null());
  const auto one = call("POST", "/v1/replays", R"({"ids": [")" + a.id.str() + "\"]}").json();
  EXPECT_EQ(one["replayed"], 1) << one;
  const auto rest = call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "rate": 100})").json();
  EXPECT_EQ(rest["replayed"], 1) << rest;
  EXPECT_TRUE(rest["finished"]);
  EXPECT_NE(rest["job"], one["job"]);
  EXPECT_EQ(log.all(Topic::events).size(), 2u);
  const auto resumed =
      call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "job": )" + rest["job"].dump() + "}")
          .json();
  EXPECT_EQ(resumed["replayed"], 1) << resumed;
  EXPECT_EQ(resumed["matched"], 1);
  EXPECT_EQ(log.all(Topic::events).size(), 2u);
  expect_problem(
      call("POST", "/v1/replays", R"({"filter": {"endpoint": "shop"}, "job": )" + rest["job"].dump() + "}"),
      400, "INVALID_REQUEST");
}

TEST_F(OperationsRoutes, RefuseAReplayThatSelectsNothingOrTwice) {
  for (const auto* body :
       {"{}", R"({"ids": []})", R"({"filter": {}})", R"({"ids": ["a"]})", R"({"ids": [1]})", R"({"rate": 1})",
        R"({"filter": {"tenant": "a", "colour": 1}})", R"({"filter": {"tenant": "a"}, "rate": -1})",
        R"({"filter": {"tenant": "a"}, "ids": ["dlv_1_0000000000000000000000"]})",
        R"({"filter": {"since": "now"}})", R"({"filter": {"reason": "bored"}})"})
    expect_problem(call("POST", "/v1/replays", body), 400, "INVALID_REQUEST");
  EXPECT_TRUE(log.all(Topic::events).empty());
}

TEST_F(OperationsRoutes, SayWhenTheLogGoesAwayDuringAReplay) {
  dead("a");
  log.fail_next(1);
  expect_problem(call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}})"), 503, "LOG_UNREACHABLE");
}

TEST_F(OperationsRoutes, CountWhatIsLeftOfAReplayThatStillRuns) {
  for (int i = 0; i < 5; ++i) dead("e" + std::to_string(i));
  std::thread replaying(
      [&] { call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "rate": 0.5})"); });
  ASSERT_TRUE(
      eventually([&] { return !log.all(Topic::dead_letters).empty() && !log.all(Topic::events).empty(); }));
  const auto job = wire::decode_audit(kEnvironment, *log.all(Topic::audit).at(0).value)->subject_id;
  const auto body = R"({"filter": {"tenant": "acme"}, "dry_run": true, "job": ")" + job + "\"}";
  EXPECT_TRUE(
      eventually([&] { return call("POST", "/v1/replays", body).json().value("done_before", 0) == 1; }));
  EXPECT_EQ(call("POST", "/v1/replays", body).json()["matched"], 4);
  api_->stop();
  replaying.join();
}

// A slow replay must not keep the API from stopping; it can be resumed.
TEST_F(OperationsRoutes, StopARunningReplayWithTheApi) {
  for (int i = 0; i < 5; ++i) dead("e" + std::to_string(i));
  Reply reply;
  std::thread replaying(
      [&] { reply = call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "rate": 0.5})"); });
  ASSERT_TRUE(eventually([&] { return !log.all(Topic::events).empty(); }));
  const auto begin = std::chrono::steady_clock::now();
  api_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  replaying.join();
  EXPECT_EQ(reply.status, 202);
  EXPECT_FALSE(reply.json().value("finished", true)) << reply.body;
  EXPECT_EQ(reply.json().value("replayed", 0), 1);
}

}  // namespace
}  // namespace postrider::test
