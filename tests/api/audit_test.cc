// What was done over the API, and who read a payload, stands on the log.
#include "engine/wire/cloud_event.h"
#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

using Json = nlohmann::json;

struct Audit : ApiTest {
  static constexpr const char* kShop = "/v1/tenants/acme/endpoints/shop";
  std::vector<AuditFact> told() {
    std::vector<AuditFact> facts;
    for (const auto& record : log.all(Topic::audit))
      if (auto fact = wire::decode_audit(kEnvironment, record.value.value_or(""))) facts.push_back(*fact);
    return facts;
  }
  Reply declare(const std::string& url = "https://example.com/") {
    return call("PUT", kShop, R"({"url":")" + url + "\"}", {"Postrider-Actor: alice", "X-Request-Id: r-1"});
  }
  Position publish(const DeliveryRef& ref, const std::string& data, const std::string& id = "e1") {
    Event event;
    event.id = id;
    event.source = "/shop";
    event.type = "order.created";
    event.tenant = ref.tenant;
    event.data = data;
    auto message = wire::encode_kafka(event);
    NewRecord record;
    record.topic = Topic::events;
    record.partition = ref.position.partition;
    record.key = message.key;
    record.value = message.value;
    record.headers = message.headers;
    const auto appended = log.append(std::move(record));
    return {appended->partition, appended->offset};
  }
};

TEST_F(Audit, NamesTheSubjectOfAnIssuersTokenWhoeverItsBearerSaysHeIs) {
  FakeIssuer issuer;
  outside_ = &issuer;
  start({}, "test");
  const auto made =
      call("PUT", kShop, R"({"url":"https://example.com/"})", {"Postrider-Actor: mallory"}, "eyJ.ada..1");
  ASSERT_EQ(made.status, 201) << made.body;
  ASSERT_EQ(told().size(), 1u);
  EXPECT_EQ(told()[0].actor, "ada");
  EXPECT_EQ(told()[0].token_id, "oidc_ada");
  api_->stop();
}

TEST_F(Audit, HoldsEveryCommandOfTheRegistry) {
  ASSERT_EQ(declare().status, 201);
  ASSERT_EQ(declare("https://example.org/").status, 200);
  ASSERT_EQ(declare("https://example.org/").status, 200);  // unchanged
  ASSERT_EQ(call("PUT", std::string(kShop) + "?dry_run=true", R"({"url":"https://a.example/"})").status, 200);
  ASSERT_EQ(call("POST", std::string(kShop) + "/disable", R"({"why":"asked for"})").status, 200);
  ASSERT_EQ(call("POST", std::string(kShop) + "/enable").status, 200);
  ASSERT_EQ(call("POST", std::string(kShop) + "/secrets/rotate", "{}").status, 200);
  ASSERT_EQ(call("DELETE", std::string(kShop) + "/secrets/sec_1").status, 200);
  ASSERT_EQ(call("DELETE", std::string(kShop) + "/secrets/sec_last").status, 409);
  ASSERT_EQ(call("DELETE", kShop).status, 200);
  ASSERT_EQ(call("DELETE", kShop).status, 404);
  ASSERT_EQ(call("POST", "/v1/tokens/reset").status, 200);
  std::vector<std::string> actions;
  const auto facts = told();
  for (const auto& fact : facts) actions.push_back(fact.action + " " + fact.outcome);
  EXPECT_EQ(actions, (std::vector<std::string>{
                         "endpoint_created done", "endpoint_updated done", "endpoint_disabled done",
                         "endpoint_enabled done", "secret_rotated done", "secret_revoked done",
                         "secret_revoked refused", "endpoint_deleted done", "tokens_reset done"}));
  EXPECT_EQ(facts[0].actor, "alice");
  EXPECT_EQ(facts[0].correlation_id, "r-1");
  EXPECT_EQ(facts[0].tenant.str(), "acme");
  EXPECT_EQ(facts[0].target, "shop");
  EXPECT_EQ(facts[0].token_id, FakeService::hash_of("secret-token").substr(0, 12));
  EXPECT_EQ(facts[1].scope, "url: changed");
  EXPECT_EQ(facts[2].scope, "asked for");
  EXPECT_EQ(facts[5].subject_id, "sec_1");
  EXPECT_EQ(facts[6].error, "LAST_SECRET");
  for (const auto& record : log.all(Topic::audit))
    EXPECT_EQ(record.value->find("whsec_"), std::string::npos) << "no secret stands in it";
}

TEST_F(Audit, IsToldBeforeTheCallerHears) {
  log.fail_next(1);
  const auto reply = declare();
  expect_problem(reply, 503, "AUDIT_UNAVAILABLE");
  EXPECT_NE(reply.body.find("is in force"), std::string::npos) << reply.body;
  EXPECT_EQ(reply.body.find("whsec_"), std::string::npos);
}

TEST_F(Audit, IsListedByWhoWhatAndWhose) {
  declare();
  log.set_now(kNow + 1000);
  declare("https://example.org/");
  call("POST", "/v1/tokens", R"({"name":"acme-audit","tenant":"acme","scopes":["audit:read"]})");
  call("POST", "/v1/tokens", R"({"name":"globex-audit","tenant":"globex","scopes":["audit:read"]})");
  const auto all = call("GET", "/v1/audit").json();
  ASSERT_EQ(all["audit"].size(), 4u) << all;
  EXPECT_TRUE(all["next_cursor"].is_null());
  EXPECT_EQ(all["audit"][3]["action"], "endpoint_created");
  EXPECT_EQ(all["audit"][3]["actor"], "alice");
  EXPECT_EQ(all["audit"][3]["correlation_id"], "r-1");
  EXPECT_TRUE(all["audit"][3]["error"].is_null());
  const auto count = [&](const std::string& query, const std::string& token = "secret-token") {
    return call("GET", "/v1/audit?" + query, "", {}, token).json()["audit"].size();
  };
  EXPECT_EQ(count("actor=alice"), 2u);
  EXPECT_EQ(count("action=token_created"), 2u);
  EXPECT_EQ(count("tenant=globex"), 1u);
  EXPECT_EQ(count("since=2023-11-14T22:13:20.5Z"), 3u);
  EXPECT_EQ(count("until=2023-11-14T22:13:20.5Z"), 1u);
  EXPECT_EQ(count("limit=100", "ptk_acme-audit"), 3u) << "its tenant's alone";
  EXPECT_EQ(count("tenant=globex", "ptk_acme-audit"), 0u);
  EXPECT_EQ(call("GET", "/v1/endpoints", "", {}, "ptk_acme-audit").status, 403);
  const auto page = call("GET", "/v1/audit?limit=2").json();
  EXPECT_EQ(page["audit"].size(), 2u);
  EXPECT_EQ(count("limit=2&cursor=" + page["next_cursor"].get<std::string>()), 2u);
  for (const auto* query : {"tenant=a%20b", "actor=", "action=", "since=1", "limit=0", "color=red"})
    expect_problem(call("GET", std::string("/v1/audit?") + query), 400, "INVALID_REQUEST");
}

TEST_F(Audit, HoldsEachReadOfAPayload) {
  auto ref = delivery("e1");
  ref.position = publish(ref, "{\"order\":1}");
  attempt(ref, Verdict::Kind::success);
  const auto path = "/v1/deliveries/" + ref.id.str() + "/payload";
  const auto reply = call("GET", path, "", {"Postrider-Actor: alice"});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto json = reply.json();
  EXPECT_EQ(base64_decode(json["data_base64"].get<std::string>()), "{\"order\":1}");
  EXPECT_EQ(json["read_from"], "events");
  EXPECT_EQ(json["event"]["source"], "/shop");
  EXPECT_NE(reply.head.find("no-store"), std::string::npos);
  ASSERT_EQ(told().size(), 1u);
  EXPECT_EQ(told()[0].action, "payload_read");
  EXPECT_EQ(told()[0].actor, "alice");
  EXPECT_EQ(told()[0].subject_id, ref.id.str());
  log.fail_next(1);
  const auto untold = call("GET", path);
  expect_problem(untold, 503, "AUDIT_UNAVAILABLE");
  EXPECT_EQ(untold.body.find("data_base64"), std::string::npos) << "no fact, no payload";
  expect_problem(call("GET", "/v1/deliveries/" + delivery("none").id.str() + "/payload"), 404, "NOT_FOUND");
  expect_problem(call("GET", "/v1/deliveries/msg_1/payload"), 400, "INVALID_REQUEST");
}

TEST_F(Audit, LetsNoOtherEventPassForTheDeliverys) {
  auto ref = delivery("e1");
  ref.position = publish(ref, "another's", "e2");  // the topic was made again
  attempt(ref, Verdict::Kind::success);
  expect_problem(call("GET", "/v1/deliveries/" + ref.id.str() + "/payload"), 404, "PAYLOAD_GONE");
  EXPECT_TRUE(told().empty());
}

TEST_F(Audit, OpensADeadLetterForWhoMayReadIt) {
  const auto ref = dead("e1");
  for (const auto* part : {"/v1/dead-letters/", "/v1/deliveries/"}) {
    const auto json = call("GET", part + ref.id.str() + "/payload").json();
    EXPECT_EQ(base64_decode(json.value("data_base64", "")), "data of e1") << json;
    EXPECT_EQ(json.value("read_from", ""), "dead-letters");
  }
  EXPECT_EQ(told().size(), 2u);
  auto letter = DeskKit::letter(delivery("e2"));
  letter.sealed_payload = "under a key that is away";
  put(Topic::dead_letters, "acme", letter);
  expect_problem(call("GET", "/v1/dead-letters/" + letter.delivery.id.str() + "/payload"), 503,
                 "KEY_UNAVAILABLE");
  EXPECT_EQ(told().size(), 2u) << "nothing was shown";
}

}  // namespace
}  // namespace postrider::test
