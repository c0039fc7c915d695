#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

struct Limits : ApiTest {
  void SetUp() override {
    limits_.tenant_token.per_second = 1;
    limits_.address.per_second = 3;
    limits_.failures = {.per_second = 0.05, .least = 2};
    outside_ = &issuer_;
    start({}, "test");
    TokenFact token;
    token.hash = FakeService::hash_of("ptk_acme");
    token.scope = "admin";
    token.tenant = TenantId("acme");
    service_.add_token("tok_acme", token);
  }
  Reply as(const std::string& token) { return call("GET", "/v1/endpoints", "", {}, token); }
  FakeIssuer issuer_;
};

TEST_F(Limits, EachAnswerTellsThemAndOneTooManyIsRefusedUntilItIsTime) {
  auto reply = as("ptk_acme");
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.head.find("RateLimit-Limit: 2"), std::string::npos) << reply.head;
  EXPECT_NE(reply.head.find("RateLimit-Remaining: 1"), std::string::npos);
  EXPECT_NE(reply.head.find("RateLimit-Reset: 1"), std::string::npos);
  EXPECT_EQ(as("ptk_acme").status, 200);
  reply = as("ptk_acme");
  expect_problem(reply, 429, "RATE_LIMITED");
  EXPECT_NE(reply.head.find("Retry-After: 1"), std::string::npos);
  EXPECT_NE(reply.head.find("RateLimit-Remaining: 0"), std::string::npos);
  clock.steady_ms += 1000;
  EXPECT_EQ(as("ptk_acme").status, 200);
  EXPECT_EQ(as("ptk_acme").status, 429);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(as("secret-token").status, 200) << "the platform's has none here";
}

TEST_F(Limits, GuessesAreHeldDownHarderAndShutNobodyElseOut) {
  EXPECT_EQ(as("secret-token").status, 200);
  expect_problem(as("ptk_guess1"), 401, "AUTH_FAILED");
  expect_problem(as(""), 401, "AUTH_FAILED");
  const auto reply = as("ptk_guess3");
  expect_problem(reply, 429, "RATE_LIMITED");
  EXPECT_NE(reply.head.find("Retry-After: 20"), std::string::npos) << reply.head;
  EXPECT_EQ(as("secret-token").status, 200);
  clock.steady_ms += 20'000;
  expect_problem(as("ptk_guess3"), 401, "AUTH_FAILED");
}

TEST_F(Limits, AreABearersOwnHoweverManyTokensAnIssuerGaveHim) {
  EXPECT_EQ(as("eyJ.ada.acme.1").status, 200);
  EXPECT_EQ(as("eyJ.ada.acme.2").status, 200);
  expect_problem(as("eyJ.ada.acme.3"), 429, "RATE_LIMITED");
  expect_problem(as("eyJ.ada.acme.1"), 429, "RATE_LIMITED");
  expect_problem(as("eyJ.ada.acme.old"), 401, "AUTH_FAILED");
  expect_problem(as("eyJ.ada.acme.2"), 429, "RATE_LIMITED");
  EXPECT_EQ(as("eyJ.eve.acme.1").status, 200);
  clock.steady_ms += 1000;
  EXPECT_EQ(as("eyJ.ada.acme.2").status, 200);
}

TEST_F(Limits, TakeNoTokenThatCannotBeJudgedYetForAGuess) {
  for (int i = 0; i < 3; ++i) {
    const auto reply = as("eyJ.ada.acme.new");
    expect_problem(reply, 503, "OIDC_UNAVAILABLE");
    EXPECT_NE(reply.head.find("Retry-After: 30"), std::string::npos) << reply.head;
    EXPECT_EQ(reply.json()["retry_after"], 30);
  }
  expect_problem(as("ptk_guess1"), 401, "AUTH_FAILED");
}

TEST_F(Limits, CountWhatComesWithoutATokenByItsAddress) {
  for (int i = 0; i < 6; ++i) {
    const auto reply = call("GET", "/healthz", "", {}, "");
    EXPECT_EQ(reply.status, 200);
    EXPECT_NE(reply.head.find("RateLimit-Remaining: " + std::to_string(5 - i)), std::string::npos)
        << reply.head;
  }
  expect_problem(call("GET", "/healthz", "", {}, ""), 429, "RATE_LIMITED");
  clock.steady_ms += 1000;
  EXPECT_EQ(call("GET", "/healthz", "", {}, "").status, 200);
}

}  // namespace
}  // namespace postrider::test
