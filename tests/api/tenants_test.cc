#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

using Json = nlohmann::json;

const std::string kAcme = "/v1/tenants/acme";

struct TenantRoutes : ApiTest {
  void declare_endpoint() {
    call("PUT", kAcme + "/endpoints/shop", R"({"url":"https://example.com/","types":["order.*"]})");
  }
  std::string token_with(const std::string& scopes, const std::string& tenant = "") {
    TokenFact token;
    token.hash = FakeService::hash_of("ptk_" + scopes + tenant);
    token.scope = scopes;
    token.tenant = TenantId(tenant);
    service_.add_token("tok_" + std::to_string(++made_), token);
    return "ptk_" + scopes + tenant;
  }
  std::vector<std::string> told() {
    std::vector<std::string> actions;
    for (const auto& record : log.all(Topic::audit))
      if (auto fact = wire::decode_audit(kEnvironment, record.value.value_or("")))
        actions.push_back(fact->action + " " + fact->resource + " " + fact->error);
    return actions;
  }
  int made_ = 0;
};

TEST_F(TenantRoutes, SayWhoATenantIs) {
  const auto made = call("PUT", kAcme, R"({"name":"Acme Ltd","description":"The shop","endpoints_max":20})",
                         {"If-None-Match: *"});
  EXPECT_EQ(made.status, 201) << made.body;
  const auto shown = call("GET", kAcme);
  EXPECT_EQ(shown.body, made.body);
  auto json = shown.json();
  EXPECT_EQ(json["id"], "acme");
  EXPECT_EQ(json["name"], "Acme Ltd");
  EXPECT_EQ(json["description"], "The shop");
  EXPECT_EQ(json["endpoints_max"], 20);
  EXPECT_EQ(json["suspended"], false);
  EXPECT_EQ(json["revision"], 1);
  EXPECT_EQ(json["changed_by"], "admin");
  json = call("PUT", kAcme, R"({"suspended":true})").json();
  EXPECT_EQ(json["suspended"], true);
  EXPECT_EQ(json["endpoints_max"], nullptr) << "what is left out is as if it had never been said";
  EXPECT_EQ(told(),
            (std::vector<std::string>{"tenant_created tenants/acme ", "tenant_suspended tenants/acme "}));
}

TEST_F(TenantRoutes, TellWhoSuspendedATenantAndWhoLetItGoOn) {
  call("PUT", kAcme, R"({"name":"Acme"})");
  call("PUT", kAcme, R"({"name":"Acme","suspended":true})");
  EXPECT_EQ(call("PUT", kAcme, R"({"name":"Acme Ltd"})").json()["suspended"], true)
      << "whoever says nothing of it lifts nothing";
  expect_problem(call("DELETE", kAcme), 409, "TENANT_IN_USE");
  call("PUT", kAcme, R"({"name":"Acme Ltd","suspended":false})");
  EXPECT_EQ(told(), (std::vector<std::string>{
                        "tenant_created tenants/acme ", "tenant_suspended tenants/acme ",
                        "tenant_updated tenants/acme ", "tenant_deleted tenants/acme TENANT_IN_USE",
                        "tenant_resumed tenants/acme "}));
  call("PUT", "/v1/tenants/other", R"({"suspended":true})");
  const auto last = wire::decode_audit(kEnvironment, log.all(Topic::audit).back().value.value_or(""));
  ASSERT_TRUE(last);
  EXPECT_EQ(last->action, "tenant_created");
  EXPECT_EQ(last->scope, "suspended");
}

TEST_F(TenantRoutes, TakeEventsForASuspendedTenantOfThePlatformAlone) {
  call("PUT", kAcme, R"({"suspended":true})");
  const auto own = token_with("events:publish", "acme");
  const std::string event =
      R"({"specversion":"1.0","id":"e1","source":"/shop","type":"order.created","tenant":"acme","data":{}})";
  const std::vector<std::string> one{"Content-Type: application/cloudevents+json"};
  expect_problem(call("POST", "/v1/events", event, one, own), 403, "TENANT_SUSPENDED");
  const auto batch = call("POST", "/v1/events", "[" + event + "]",
                          {"Content-Type: application/cloudevents-batch+json"}, own);
  EXPECT_EQ(batch.status, 207);
  EXPECT_EQ(batch.json()["results"][0]["status"], 403);
  EXPECT_EQ(batch.json()["results"][0]["code"], "TENANT_SUSPENDED");
  EXPECT_EQ(call("POST", "/v1/events", event, one).status, 202);
}

TEST_F(TenantRoutes, RefuseATestEventOfASuspendedTenantWhoeverAsks) {
  declare_endpoint();
  const auto test = kAcme + "/endpoints/shop/test";
  EXPECT_EQ(call("POST", test, "{}").status, 202);
  call("PUT", kAcme, R"({"suspended":true})");
  expect_problem(call("POST", test, "{}"), 403, "TENANT_SUSPENDED");
  expect_problem(call("POST", test, "{}", {}, token_with("endpoints:write", "acme")), 403,
                 "TENANT_SUSPENDED");
}

TEST_F(TenantRoutes, ShowOneOfWhomNobodySaidAnythingByWhatIsDeclaredForIt) {
  expect_problem(call("GET", kAcme), 404, "NOT_FOUND");
  declare_endpoint();
  const auto shown = call("GET", kAcme);
  EXPECT_EQ(shown.status, 200);
  EXPECT_EQ(shown.json()["endpoints"], 1);
  EXPECT_EQ(shown.json()["name"], nullptr);
  EXPECT_EQ(shown.json()["revision"], 0);
  EXPECT_EQ(shown.head.find("ETag"), std::string::npos);
  EXPECT_EQ(call("PUT", kAcme, "{}", {"If-None-Match: *"}).status, 201);
}

TEST_F(TenantRoutes, ListPageByPage) {
  declare_endpoint();
  for (const auto* tenant : {"b", "a"}) call("PUT", std::string("/v1/tenants/") + tenant, "{}");
  std::vector<std::string> ids;
  std::string cursor;
  for (int pages = 0; pages < 5; ++pages) {
    const auto page = call("GET", "/v1/tenants?limit=1" + cursor).json();
    ASSERT_EQ(page["tenants"].size(), 1u) << page;
    ids.push_back(page["tenants"][0]["id"]);
    if (page["next_cursor"].is_null()) break;
    cursor = "&cursor=" + page["next_cursor"].get<std::string>();
  }
  EXPECT_EQ(ids, (std::vector<std::string>{"a", "acme", "b"}));
  expect_problem(call("GET", "/v1/tenants?cursor=abc"), 400, "INVALID_CURSOR");
  expect_problem(call("GET", "/v1/tenants?limit=0"), 400, "INVALID_REQUEST");
}

TEST_F(TenantRoutes, ChangeOnlyTheRevisionThatWasRead) {
  EXPECT_NE(call("PUT", kAcme, "{}", {"If-None-Match: *"}).head.find("ETag: \"1\""), std::string::npos);
  EXPECT_NE(call("GET", kAcme).head.find("ETag: \"1\""), std::string::npos);
  expect_problem(call("PUT", kAcme, R"({"name":"A"})", {"If-None-Match: *"}), 412, "PRECONDITION_FAILED");
  EXPECT_EQ(call("PUT", kAcme, R"({"name":"B"})", {"If-Match: \"1\""}).status, 200);
  expect_problem(call("PUT", kAcme, R"({"name":"C"})", {"If-Match: \"1\""}), 412, "PRECONDITION_FAILED");
  expect_problem(call("DELETE", kAcme, "", {"If-Match: \"1\""}), 412, "PRECONDITION_FAILED");
  EXPECT_EQ(call("GET", kAcme).json()["name"], "B");
}

TEST_F(TenantRoutes, ForgetOneOnlyWhileItHasNoEndpoints) {
  call("PUT", kAcme, "{}");
  declare_endpoint();
  expect_problem(call("DELETE", kAcme), 409, "TENANT_IN_USE");
  EXPECT_EQ(told().back(), "tenant_deleted tenants/acme TENANT_IN_USE") << "what was tried is told too";
  call("DELETE", kAcme + "/endpoints/shop");
  EXPECT_EQ(call("DELETE", kAcme).status, 200);
  expect_problem(call("DELETE", kAcme), 404, "NOT_FOUND");
  expect_problem(call("GET", kAcme), 404, "NOT_FOUND");
}

TEST_F(TenantRoutes, LetATokenRaiseTheCapOnlyIfItMayDoEverything) {
  const auto writer = token_with("tenants:write");
  EXPECT_EQ(call("PUT", kAcme, R"({"endpoints_max":5})", {}, writer).status, 201);
  expect_problem(call("PUT", kAcme, R"({"endpoints_max":500})", {}, writer), 403, "PERMISSION_DENIED");
  EXPECT_EQ(call("PUT", kAcme, R"({"endpoints_max":500})").status, 200);
}

TEST_F(TenantRoutes, LetATenantReadItselfAndWriteNothing) {
  call("PUT", kAcme, R"({"name":"Acme Ltd"})");
  const auto own = token_with("admin", "acme");
  EXPECT_EQ(call("GET", kAcme, "", {}, own).json()["name"], "Acme Ltd");
  expect_problem(call("PUT", kAcme, "{}", {}, own), 403, "PERMISSION_DENIED");
  expect_problem(call("DELETE", kAcme, "", {}, own), 403, "PERMISSION_DENIED");
  expect_problem(call("GET", "/v1/tenants", "", {}, own), 403, "PERMISSION_DENIED");
  call("PUT", "/v1/tenants/other", "{}");
  EXPECT_EQ(call("GET", "/v1/tenants/other", "", {}, own).body,
            call("GET", "/v1/tenants/nobody", "", {}, own).body);
}

TEST_F(TenantRoutes, RefuseWhatSaysNothingOfATenant) {
  for (const auto* body :
       {R"({"endpoints_max":0})", R"({"endpoints_max":1.5})", R"({"endpoints_max":1000001})",
        R"({"suspended":"yes"})", R"({"id":"other"})", R"([])", R"({"name":7})"})
    expect_problem(call("PUT", kAcme, body), 400, "INVALID_REQUEST");
  expect_problem(call("PUT", kAcme, R"({"name":")" + std::string(256, 'a') + "\"}"), 400, "INVALID_REQUEST");
  expect_problem(call("PUT", "/v1/tenants/a%20b", "{}"), 400, "INVALID_REQUEST");
  EXPECT_TRUE(told().empty());
}

}  // namespace
}  // namespace postrider::test
