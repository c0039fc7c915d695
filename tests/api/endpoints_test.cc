#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

constexpr auto kPath = "/v1/tenants/acme/endpoints/shop";
constexpr auto kBody = R"({"url": "https://example.com/hook?key=hidden", "types": ["order.*"]})";
constexpr auto kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

struct Endpoints : ApiTest {
  Reply put(const std::string& body, const std::string& query = "") {
    return call("PUT", kPath + query, body);
  }
};

TEST_F(Endpoints, AreCreatedAndShowTheirSecretOnce) {
  const auto created = put(kBody);
  EXPECT_EQ(created.status, 201) << created.body;
  EXPECT_EQ(created.json()["change"], "created");
  EXPECT_EQ(created.json()["secret"], "whsec_shownOnce");
  EXPECT_EQ(created.json()["incarnation"], "inc_1");
  EXPECT_TRUE(has(created.head, "no-store"));
  const auto again = put(kBody);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.json()["change"], "unchanged");
  EXPECT_FALSE(again.json().contains("secret"));
  EXPECT_EQ(service_.last_spec.tenant.str(), "acme");
  EXPECT_EQ(service_.last_spec.id.str(), "shop");
  EXPECT_TRUE(service_.last_spec.wait);
}

TEST_F(Endpoints, TakeEveryFieldOfTheirDeclaration) {
  const auto reply =
      put(std::string(R"({"url": "https://example.com/", "types": ["a.b", "c.*"], "retry": ["5s", "5m"],
    "scheme": "x-webhook", "format": "structured", "secrets": [")") +
              kSecret + R"("], "limits": {"concurrency": 2, "queue_max": 10, "rate_per_second": 1.5}})",
          "?dry_run=true&wait=false");
  EXPECT_EQ(reply.status, 200) << reply.body;
  const auto& spec = service_.last_spec;
  EXPECT_EQ(spec.types, (std::vector<std::string>{"a.b", "c.*"}));
  EXPECT_EQ(spec.retry.delays.size(), 2u);
  EXPECT_EQ(spec.scheme, Scheme::x_webhook);
  EXPECT_EQ(spec.format, BodyFormat::structured);
  EXPECT_EQ(spec.limits, (EndpointLimits{2, 10, 1.5}));
  ASSERT_EQ(spec.secrets.size(), 1u);
  EXPECT_EQ(format_signing_secret(spec.secrets[0]).reveal(), kSecret);
  EXPECT_TRUE(spec.dry_run);
  EXPECT_FALSE(spec.wait);
  EXPECT_TRUE(service_.endpoints.empty());
}

TEST_F(Endpoints, CarryTheActorThatTheCallerNames) {
  call("PUT", kPath, kBody, {"Postrider-Actor: alice"});
  EXPECT_EQ(service_.last_spec.actor, "alice");
  put(kBody);
  EXPECT_EQ(service_.last_spec.actor, "admin");
}

TEST_F(Endpoints, AreRefusedWithAUrlThatIsNone) {
  for (const auto* url :
       {"", "example.com", "http://example.com/", "http://127.0.0.1/", "https://user@example.com/",
        "https://example.com:0/", "https://example.com/\\r\\nX: y", "https:///x",
        "https://8.8.8.8\\\\@127.0.0.1/", "https://example.com/#f", "ftp://example.com/"})
    expect_problem(put(std::string(R"({"url": ")") + url + "\"}"), 400, "INVALID_ENDPOINT_URL");
  expect_problem(put("{}"), 400, "INVALID_ENDPOINT_URL");
  EXPECT_TRUE(service_.endpoints.empty());
}

TEST_F(Endpoints, MayUsePlainHttpOnLoopbackInDevelopmentOnly) {
  start({}, "development");
  for (const auto* url : {"http://127.0.0.1:9000/", "http://localhost/x", "http://[::1]:1/"})
    EXPECT_EQ(put(std::string(R"({"url": ")") + url + "\"}").status / 100, 2) << url;
  expect_problem(put(R"({"url": "http://10.0.0.1/"})"), 400, "INVALID_ENDPOINT_URL");
}

TEST_F(Endpoints, AreRefusedWithFieldsThatAreWrong) {
  for (const auto* field : {R"("typo": 1)", R"("types": [])", R"("types": ["a b"])", R"("types": "a.**")",
                            R"("types": [1])", R"("retry": "never")", R"("retry": 5)", R"("scheme": "none")",
                            R"("format": "xml")", R"("limits": [])", R"("limits": {"concurrency": 0})",
                            R"("limits": {"concurrency": 1.5})", R"("limits": {"speed": 1})",
                            R"("limits": {"rate_per_second": -1})", R"("url": "https://twice.example/")"}) {
    const auto reply = put(std::string(R"({"url": "https://example.com/", )") + field + "}");
    EXPECT_EQ(reply.status, 400) << field << reply.body;
    EXPECT_EQ(reply.json().value("code", "").substr(0, 7), "INVALID") << reply.body;
  }
  for (const auto* body : {"[]", "null", "7", "{", "{\"url\": \"\xff\"}", "nonsense"})
    expect_problem(put(body), 400, "INVALID_REQUEST");
  expect_problem(put("{\"limits\":" + std::string(50, '[') + std::string(50, ']') + "}"), 400,
                 "INVALID_REQUEST");
  expect_problem(call("PUT", kPath, kBody, {"Content-Type: text/plain"}), 400, "INVALID_REQUEST");
  expect_problem(put(kBody, "?dry_run=perhaps"), 400, "INVALID_REQUEST");
  expect_problem(call("PUT", "/v1/tenants/a%20b/endpoints/c", kBody), 400, "INVALID_REQUEST");
}

TEST_F(Endpoints, NeverEchoASecretOrAQuery) {
  const std::string canary = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";  // too short to be one
  for (const auto& body :
       {R"({"url": "https://example.com/", "secrets": [")" + canary + "\"]}",
        R"({"url": "https://example.com/", "secrets": [")" + canary + "\", 5]}",
        R"({"url": "https://example.com/", "secrets": ")" + canary + "\"}",
        R"({"url": "https://example.com/", "secret": ")" + canary + "\"}",
        R"({"url": "http://example.com/?k=)" + canary + "\"}", R"({"url": ")" + canary + "\"}"}) {
    const auto reply = put(body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_FALSE(has(reply.body, "Y2FuYXJ5")) << reply.body;
  }
}

TEST_F(Endpoints, HaveTheirSecretsRotatedAndRevoked) {
  put(kBody);
  const std::string rotate = std::string(kPath) + "/secrets/rotate";
  const auto made = call("POST", rotate, "{}");
  EXPECT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(made.json()["secret"], "whsec_shownOnce");
  EXPECT_TRUE(has(made.head, "no-store"));
  EXPECT_EQ(service_.last_rotation.overlap, std::chrono::hours(24));
  EXPECT_EQ(service_.last_rotation.actor, "admin");
  const auto given = call("POST", rotate + "?wait=false",
                          R"({"overlap": "0s", "secret": ")" + std::string(kSecret) + R"("})");
  EXPECT_EQ(given.status, 200) << given.body;
  EXPECT_FALSE(given.json().contains("secret"));
  EXPECT_EQ(service_.last_rotation.overlap, Millis(0));
  EXPECT_FALSE(service_.last_rotation.wait);
  ASSERT_TRUE(service_.last_rotation.secret);
  EXPECT_EQ(format_signing_secret(*service_.last_rotation.secret).reveal(), kSecret);
  for (const char* wrong : {R"({"overlap": "31d"})", R"({"overlap": "soon"})", R"({"overlap": 5})",
                            R"({"secret": "whsec_short"})", R"({"secret": 5})", R"({"secrets": []})"}) {
    const auto refused = call("POST", rotate, wrong);
    EXPECT_EQ(refused.status, 400) << wrong;
    EXPECT_FALSE(has(refused.body, "whsec_short"));
  }
  EXPECT_EQ(call("DELETE", std::string(kPath) + "/secrets/sec_1").json()["differences"][0],
            "secrets: sec_1 revoked");
  const auto last = call("DELETE", std::string(kPath) + "/secrets/sec_last");
  EXPECT_EQ(last.status, 409);
  EXPECT_EQ(last.json()["code"], "LAST_SECRET");
  EXPECT_EQ(call("POST", "/v1/tenants/acme/endpoints/none/secrets/rotate", "{}").status, 404);
}

TEST_F(Endpoints, TellTheAgesOfTheirSecrets) {
  put(kBody);
  EndpointSecret young, old, gone;
  young.id = "sec_young";
  young.created_at = to_ms(clock.wall()) - 3 * 86'400'000ll - 1000;
  old = gone = young;
  old.created_at -= 365 * 86'400'000ll;
  gone.created_at = old.created_at;
  gone.state = SecretState::revoked;
  service_.endpoints[{TenantId("acme"), EndpointId("shop")}].secrets = {young, old, gone};
  const auto secrets = call("GET", kPath).json()["secrets"];
  EXPECT_EQ(secrets[0]["age_days"], 3);
  EXPECT_EQ(secrets[0]["is_old"], false);
  EXPECT_EQ(secrets[1]["age_days"], 368);
  EXPECT_EQ(secrets[1]["is_old"], true);
  EXPECT_EQ(secrets[2]["is_old"], false);
}

TEST_F(Endpoints, AreListedShownAndDeleted) {
  put(kBody);
  service_.endpoints[{TenantId("globex"), EndpointId("other")}].def.tenant = TenantId("globex");
  EXPECT_EQ(call("GET", "/v1/endpoints").json()["endpoints"].size(), 2u);
  const auto listed = call("GET", "/v1/endpoints?tenant=acme").json()["endpoints"];
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0]["id"], "shop");
  EXPECT_EQ(listed[0]["state"], "healthy");
  EXPECT_EQ(listed[0]["retry"], "standard");
  expect_problem(call("GET", "/v1/endpoints?tenant=a%20b"), 400, "INVALID_REQUEST");

  EXPECT_EQ(call("GET", kPath).json()["types"][0], "order.*");
  EXPECT_EQ(call("DELETE", kPath).json()["deleted"], true);
  expect_problem(call("GET", kPath), 404, "NOT_FOUND");
  expect_problem(call("DELETE", kPath), 404, "NOT_FOUND");
}

TEST_F(Endpoints, AreDisabledWithAReasonAndEnabled) {
  put(kBody);
  expect_problem(call("POST", std::string(kPath) + "/disable", "{}"), 400, "INVALID_REQUEST");
  const auto disabled =
      call("POST", std::string(kPath) + "/disable", R"({"why": "they asked for it"})").json();
  EXPECT_EQ(disabled["state"], "disabled");
  EXPECT_EQ(disabled["why"], "they asked for it");
  EXPECT_EQ(disabled["since"], "2023-11-14T22:13:20.000Z");
  const auto enabled = call("POST", std::string(kPath) + "/enable").json();
  EXPECT_EQ(enabled["state"], "healthy");
  EXPECT_TRUE(enabled["why"].is_null());
  expect_problem(call("POST", "/v1/tenants/acme/endpoints/none/enable"), 404, "NOT_FOUND");
}

}  // namespace
}  // namespace postrider::test
