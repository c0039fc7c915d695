#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

const std::string kShop = "/v1/tenants/acme/endpoints/shop";

struct VerifyRoute : ApiTest {
  void SetUp() override {
    ApiTest::SetUp();
    TokenFact token;
    token.hash = FakeService::hash_of("ptk_acme");
    token.scope = "endpoints:write";
    token.tenant = TenantId("acme");
    service_.add_token("tok_acme", token);
    call("PUT", kShop, R"({"url":"https://example.com/"})");
  }
};

TEST_F(VerifyRoute, HandsOnWhatSomebodyReadAtTheReceiver) {
  EXPECT_EQ(call("POST", kShop + "/verify", R"({"challenge":"chl_1"})", {}, "ptk_acme").status, 200);
  EXPECT_EQ(service_.last_proof.challenge, "chl_1");
  EXPECT_FALSE(service_.last_proof.vouched);
  EXPECT_EQ(call("POST", kShop + "/verify", "", {}, "ptk_acme").status, 200);
  EXPECT_FALSE(service_.last_proof.challenge) << "it is asked anew";
}

TEST_F(VerifyRoute, TakesThePlatformsWordAndNoTenants) {
  expect_problem(call("POST", kShop + "/verify", R"({"vouch":true})", {}, "ptk_acme"), 403,
                 "PERMISSION_DENIED");
  EXPECT_EQ(call("POST", kShop + "/verify", R"({"vouch":true})").status, 200);
  EXPECT_TRUE(service_.last_proof.vouched);
}

TEST_F(VerifyRoute, RefusesWhatIsNoProof) {
  for (const auto* body : {R"({"challenge":1})", R"({"vouch":"yes"})", R"({"code":"chl_1"})"})
    expect_problem(call("POST", kShop + "/verify", body), 400, "INVALID_REQUEST");
  expect_problem(call("POST", "/v1/tenants/acme/endpoints/none/verify", "{}"), 404, "NOT_FOUND");
}

TEST_F(VerifyRoute, EndpointsAreDeclaredAsATenantsByItsTokensAlone) {
  EXPECT_FALSE(service_.last_spec.by_tenant);
  call("PUT", kShop, R"({"url":"https://example.com/"})", {}, "ptk_acme");
  EXPECT_TRUE(service_.last_spec.by_tenant);
}

}  // namespace
}  // namespace postrider::test
