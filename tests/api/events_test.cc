#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

struct Events : ApiTest {
  Reply batch(const std::string& body, const std::string& token = "secret-token") {
    // The kit says JSON of each body.
    return ask(
        {.method = "POST",
         .url = url("/v1/events"),
         .headers = {"Authorization: Bearer " + token, "Content-Type: application/cloudevents-batch+json"},
         .body = body,
         .ca_file = {}});
  }
  static std::string event(const std::string& id, const std::string& more = R"("tenant":"acme",)") {
    return R"({"specversion":"1.0","source":"/shop","type":"order.created",)" + more + R"("id":")" + id +
           R"(","data":{"n":1}})";
  }
};

TEST_F(Events, ABatchIsPublishedWhole) {
  const auto reply = batch("[" + event("e1") + " , " + event("e2") + "]");
  EXPECT_EQ(reply.status, 202) << reply.body;
  const auto results = reply.json()["results"];
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0]["id"], "e1");
  EXPECT_EQ(results[1]["webhook_id"], webhook_id(TenantId("acme"), "/shop", "e2").str());
  EXPECT_EQ(results[1]["status"], 202);
  ASSERT_EQ(service_.published(), 2u);
  EXPECT_EQ(service_.events[1].data, R"({"n":1})");
}

TEST_F(Events, OneThatIsWrongSpoilsNoOtherOfItsBatch) {
  const auto reply = batch("[" + event("e1", "") + "," + event("e2") + ",7," +
                           event("e3", R"("tenant":"acme","target":"shop:inc_1",)") + "]");
  EXPECT_EQ(reply.status, 207) << reply.body;
  const auto results = reply.json()["results"];
  EXPECT_EQ(results[0]["code"], "TENANT_REQUIRED");
  EXPECT_EQ(results[0]["status"], 400);
  EXPECT_EQ(results[1]["status"], 202);
  EXPECT_EQ(results[2]["code"], "UNDECODABLE_EVENT");
  EXPECT_EQ(results[3]["code"], "INVALID_EVENT");
  EXPECT_EQ(service_.published(), 1u);
}

TEST_F(Events, ABatchIsBounded) {
  expect_problem(batch("{}"), 400, "UNDECODABLE_EVENT");
  expect_problem(batch("[]"), 400, "INVALID_REQUEST");
  std::string many = "[";
  for (int i = 0; i < 1001; ++i) many += (i ? "," : "") + event("e" + std::to_string(i));
  expect_problem(batch(many + "]"), 400, "INVALID_REQUEST");
  EXPECT_EQ(service_.published(), 0u);
  const std::string large(250'000, 'x');
  std::string two = "[" + event("e1") + "," + event("e2") + "]";
  for (const auto* id : {"e1", "e2"}) {
    const auto at = two.find(R"({"n":1})", two.find(id));
    two.replace(at, 7, '"' + large + '"');
  }
  EXPECT_EQ(batch(two).status, 202) << "longer than one event may be";
  EXPECT_EQ(batch("[" + std::string(5 << 20, ' ') + "]").status, 413);
}

TEST_F(Events, OfAnotherTenantAreRefusedInABatchToo) {
  TokenFact token;
  token.hash = FakeService::hash_of("ptk_acme");
  token.scope = "events:publish";
  token.tenant = TenantId("acme");
  service_.add_token("tok_acme", token);
  const auto reply =
      batch("[" + event("e1", R"("tenant":"other",)") + "," + event("e2", "") + "]", "ptk_acme");
  EXPECT_EQ(reply.json()["results"][0]["code"], "PERMISSION_DENIED");
  EXPECT_EQ(reply.json()["results"][1]["status"], 202);
  ASSERT_EQ(service_.published(), 1u);
  EXPECT_EQ(service_.events[0].tenant.str(), "acme");
}

TEST_F(Events, ATestGoesToOneEndpointUnderATypeOfItsOwn) {
  call("PUT", "/v1/tenants/acme/endpoints/shop", R"({"url":"https://example.com/","types":["order.*"]})");
  const auto reply = call("POST", "/v1/tenants/acme/endpoints/shop/test", "{}");
  EXPECT_EQ(reply.status, 202) << reply.body;
  EXPECT_EQ(call("POST", "/v1/tenants/acme/endpoints/shop/test", R"({"type":"order.created"})").status, 202);
  ASSERT_EQ(service_.published(), 2u);
  EXPECT_EQ(service_.events[0].type, "postrider.test");
  EXPECT_EQ(service_.events[1].type, "order.created");
  EXPECT_EQ(service_.events[0].target->endpoint.str(), "shop");
  EXPECT_NE(service_.events[0].id, service_.events[1].id);
  expect_problem(call("POST", "/v1/tenants/acme/endpoints/none/test", "{}"), 404, "NOT_FOUND");
  expect_problem(call("POST", "/v1/tenants/acme/endpoints/shop/test", R"({"type":""})"), 400,
                 "INVALID_EVENT");
}

TEST_F(Events, TenantsAreThoseThatSomethingIsDeclaredFor) {
  call("PUT", "/v1/tenants/acme/endpoints/shop", R"({"url":"https://example.com/"})");
  call("PUT", "/v1/tenants/acme/endpoints/till", R"({"url":"https://example.com/"})");
  call("POST", "/v1/tenants/acme/endpoints/till/disable", R"({"why":"asked"})");
  call("POST", "/v1/tokens", R"({"name":"b","tenant":"beta"})");
  auto tenants = call("GET", "/v1/tenants").json()["tenants"];
  for (auto& tenant : tenants)  // nobody said anything of these
    for (const auto* said :
         {"name", "description", "endpoints_max", "suspended", "revision", "changed_by", "changed_at"})
      tenant.erase(said);
  const auto expected = nlohmann::json::parse(
      R"([{"id":"acme","endpoints":2,"endpoints_stopped":1,"tokens":0},
          {"id":"beta","endpoints":0,"endpoints_stopped":0,"tokens":1}])");
  EXPECT_EQ(tenants, expected);
}

}  // namespace
}  // namespace postrider::test
