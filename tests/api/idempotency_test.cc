#include "engine/api/answer_box.h"
#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

struct Idempotency : ApiTest {
  Reply with_key(const std::string& method, const std::string& path, const std::string& body,
                 const std::string& key = "4f2c", const std::string& token = "secret-token",
                 std::vector<std::string> headers = {}) {
    headers.push_back("Idempotency-Key: " + key);
    return call(method, path, body, std::move(headers), token);
  }
  static bool is_replayed(const Reply& reply) {
    return reply.head.find("Idempotent-Replayed: true") != std::string::npos;
  }
  std::vector<AuditFact> told(const std::string& action) {
    std::vector<AuditFact> facts;
    for (const auto& record : log.all(Topic::audit))
      if (auto fact = wire::decode_audit(kEnvironment, record.value.value_or("")))
        if (fact->action == action) facts.push_back(*fact);
    return facts;
  }
};

TEST_F(Idempotency, MakesOneTokenHoweverOftenItIsAskedFor) {
  const auto first = with_key("POST", "/v1/tokens", R"({"name":"shop"})");
  const auto again = with_key("POST", "/v1/tokens", R"({"name":"shop"})", "\"4f2c\"");
  EXPECT_EQ(first.status, 201) << first.body;
  EXPECT_FALSE(is_replayed(first));
  EXPECT_TRUE(is_replayed(again));
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, first.body) << "whoever lost the answer needs the token";
  EXPECT_NE(again.head.find("Cache-Control: no-store"), std::string::npos);
  EXPECT_EQ(told("token_created").size(), 1u);
  EXPECT_EQ(told("secret_shown_again").size(), 1u);
  const auto other = with_key("POST", "/v1/tokens", R"({"name":"shop"})", "another");
  EXPECT_FALSE(is_replayed(other));
}

TEST_F(Idempotency, RefusesAKeyThatStandsForAnotherRequest) {
  EXPECT_EQ(with_key("POST", "/v1/tokens", R"({"name":"shop"})").status, 201);
  expect_problem(with_key("POST", "/v1/tokens", R"({"name":"shop2"})"), 422, "IDEMPOTENCY_KEY_REUSED");
  auto headers = kEventHeaders;
  EXPECT_EQ(with_key("POST", "/v1/events", "{}", "4f2c", "secret-token", headers).status, 202)
      << "another route, another key";
  headers[1] = "ce-id: e2";
  expect_problem(with_key("POST", "/v1/events", "{}", "4f2c", "secret-token", headers), 422,
                 "IDEMPOTENCY_KEY_REUSED");
  EXPECT_EQ(service_.published(), 1u);
}

TEST_F(Idempotency, IsOfTheTenantThatAnIssuersBearerComesFor) {
  FakeIssuer issuer;
  outside_ = &issuer;
  start({}, "test");
  const auto body = R"({"name":"shop"})";
  EXPECT_EQ(with_key("POST", "/v1/tokens", body, "4f2c", "eyJ.ada.acme.1").status, 201);
  EXPECT_TRUE(is_replayed(with_key("POST", "/v1/tokens", body, "4f2c", "eyJ.ada.acme.2")))
      << "the same bearer";
  const auto other = with_key("POST", "/v1/tokens", body, "4f2c", "eyJ.ada.globex.1");
  EXPECT_EQ(other.status, 201) << other.body;
  EXPECT_FALSE(is_replayed(other));
  EXPECT_EQ(told("token_created").front().token_id, "oidc_ada");
  api_->stop();
}

TEST_F(Idempotency, IsATokensOwn) {
  const auto token =
      with_key("POST", "/v1/tokens", R"({"name":"two","role":"admin"})").json().value("token", "");
  const auto reply = with_key("POST", "/v1/tokens", R"({"name":"two","role":"admin"})", "4f2c", token);
  EXPECT_EQ(reply.status, 201);
  EXPECT_FALSE(is_replayed(reply));
}

TEST_F(Idempotency, AsksToWaitWhileTheFirstIsUnderWay) {
  service_.hold();
  std::thread first([&] {
    EXPECT_EQ(with_key("POST", "/v1/events", "{}", "k", "secret-token", kEventHeaders).status, 202);
  });
  EXPECT_TRUE(eventually([&] { return service_.waiting() == 1; }));
  const auto second = with_key("POST", "/v1/events", "{}", "k", "secret-token", kEventHeaders);
  expect_problem(second, 409, "IDEMPOTENCY_KEY_IN_USE");
  EXPECT_NE(second.head.find("Retry-After: 1"), std::string::npos);
  service_.release();
  first.join();
  EXPECT_TRUE(is_replayed(with_key("POST", "/v1/events", "{}", "k", "secret-token", kEventHeaders)));
  EXPECT_EQ(service_.published(), 1u);
}

TEST_F(Idempotency, KeepsNoRefusalAndNoFailure) {
  expect_problem(with_key("POST", "/v1/tokens", R"({"name":""})"), 400, "INVALID_REQUEST");
  EXPECT_EQ(with_key("POST", "/v1/tokens", R"({"name":"corrected"})").status, 201);
  service_.unavailable = true;
  expect_problem(with_key("POST", "/v1/events", "{}", "e", "secret-token", kEventHeaders), 503,
                 "SERVICE_UNAVAILABLE");
  service_.unavailable = false;
  EXPECT_EQ(with_key("POST", "/v1/events", "{}", "e", "secret-token", kEventHeaders).status, 202);
}

TEST_F(Idempotency, HoldsOverARestartAndOnAnotherInstance) {
  const auto first = with_key("POST", "/v1/tokens", R"({"name":"shop"})");
  start({}, "test");  // knows of it by the log alone
  EXPECT_EQ(with_key("POST", "/v1/tokens", R"({"name":"shop"})").body, first.body);
}

TEST_F(Idempotency, StoresNoSecretThatWhatIsStoredCouldOpen) {
  const auto token = with_key("POST", "/v1/tokens", R"({"name":"shop"})").json().value("token", "");
  ASSERT_FALSE(token.empty());
  const auto records = log.all(Topic::requests);
  ASSERT_EQ(records.size(), 2u);
  for (const auto& record : records) {
    EXPECT_EQ(record.value->find(token), std::string::npos);
    EXPECT_EQ(record.value->find("4f2c"), std::string::npos) << "the client's key opens it";
  }
  const auto fact = wire::decode_request(kEnvironment, *records[1].value);
  ASSERT_TRUE(fact);
  EXPECT_FALSE(unlock_answer("4f2d", fact->run, fact->sealed_answer.substr(7)));
  EXPECT_TRUE(unlock_answer("4f2c", fact->run, fact->sealed_answer.substr(7)));
}

TEST_F(Idempotency, NamesWhatItMakesAsTheRunThatWasCutOffDid) {
  // Killed with its answer: the token was made, and nobody was told of it.
  service_.now_ms -= 3 * 60 * 1000;
  const auto first = with_key("POST", "/v1/tokens", R"({"name":"shop"})").json();
  RequestLedger without_its_end;
  const auto begun = wire::decode_request(kEnvironment, *log.all(Topic::requests)[0].value);
  without_its_end.apply(*begun, 0, from_ms<LogTime>(service_.now_ms));
  service_.ledger = without_its_end;
  expect_problem(with_key("POST", "/v1/tokens", R"({"name":"shop"})"), 409, "IDEMPOTENCY_KEY_IN_USE");
  service_.now_ms += 3 * 60 * 1000;
  const auto second = with_key("POST", "/v1/tokens", R"({"name":"shop"})").json();
  EXPECT_EQ(second["id"], first["id"]);
}

TEST_F(Idempotency, RefusesAKeyThatIsNone) {
  for (const auto& key : {std::string("\"\""), std::string("a b"), std::string(256, 'k')})
    expect_problem(with_key("POST", "/v1/tokens", R"({"name":"shop"})", key), 400, "INVALID_IDEMPOTENCY_KEY");
  EXPECT_EQ(with_key("GET", "/v1/tokens", "", "a b").status, 200) << "a read is what it is";
}

}  // namespace
}  // namespace postrider::test
