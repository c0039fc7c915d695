#include "engine/api/api.h"

#include "tests/api/api_kit.h"
#include "tests/api/tls_files.h"

namespace postrider::test {
namespace {

std::vector<std::string> with(std::vector<std::string> headers, const std::string& changed) {
  const auto name = changed.substr(0, changed.find(':') + 1);
  std::erase_if(headers, [&](const std::string& header) { return header.starts_with(name); });
  if (changed.back() != ':') headers.push_back(changed);
  return headers;
}

// A path for each route, its parameters filled in.
std::pair<std::string, std::string> filled(const std::string& route) {
  const auto blank = route.find(' ');
  auto path = route.substr(blank + 1);
  for (auto open = path.find('{'); open != std::string::npos; open = path.find('{'))
    path.replace(open, path.find('}') - open + 1, "x");
  return {route.substr(0, blank), path};
}

TEST_F(ApiTest, IsOpenWithoutATokenOnlyForHealthReadinessAndMetrics) {
  for (const auto& route : api_routes()) {
    const auto [method, path] = filled(route);
    const bool open = path == "/healthz" || path == "/readyz" || path == "/metrics";
    for (const std::string token : {"", "wrong-token"}) {
      const auto reply = call(method, path, method == "GET" || method == "DELETE" ? "" : "{}", {}, token);
      if (open)
        EXPECT_EQ(reply.status, 200) << route;
      else
        expect_problem(reply, 401, "AUTH_FAILED");
    }
  }
  EXPECT_NE(call("GET", "/v1/endpoints", "", {}, "").head.find("WWW-Authenticate: Bearer"),
            std::string::npos);
}

TEST_F(ApiTest, KnowsOnlyBearerTokens) {
  const auto with_header = [this](const std::string& value) {
    return call("GET", "/v1/endpoints", "", {"Authorization: " + value}, "").status;
  };
  EXPECT_EQ(with_header("Bearer secret-token"), 200);
  EXPECT_EQ(with_header("bearer secret-token"), 200);
  EXPECT_EQ(with_header("Basic secret-token"), 401);
  EXPECT_EQ(with_header("secret-token"), 401);
  EXPECT_EQ(with_header("Bearer  secret-token"), 401);
  EXPECT_EQ(with_header("Bearer " + std::string(1000, 'x')), 401);
}

TEST_F(ApiTest, StopsAcceptingARevokedTokenAtOnceAfterAReset) {
  EXPECT_EQ(call("GET", "/v1/endpoints").status, 200);
  const auto checks = service_.token_checks.load();
  EXPECT_EQ(call("GET", "/v1/endpoints").status, 200);
  EXPECT_EQ(service_.token_checks.load(), checks) << "a token just accepted was asked for again";
  const auto reset = call("POST", "/v1/tokens/reset");
  EXPECT_EQ(reset.status, 200);
  EXPECT_EQ(reset.json().value("token", ""), "fresh-token");
  EXPECT_EQ(call("GET", "/v1/endpoints").status, 401);
  EXPECT_EQ(call("GET", "/v1/endpoints", "", {}, "fresh-token").status, 200);
}

// A token in constant use is asked for as often as one that is not: elsewhere it may have been revoked.
TEST_F(ApiTest, RemembersATokenFromTheServicesAnswerNotFromItsLastUse) {
  // Every 400 ms, so that each use lies within the time of the one before it.
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(call("GET", "/v1/endpoints").status, 200);
    clock.steady_ms += 400;
  }
  EXPECT_EQ(service_.token_checks.load(), 3);
}

class Beyond : public ApiTest {};

TEST_F(Beyond, LoopbackEvenHealthNeedsAToken) {
  const TlsFiles files;
  start({.host = "0.0.0.0", .tls_cert = files.cert(), .tls_key = files.key()}, "test");
  for (const auto* path : {"/healthz", "/readyz", "/metrics"}) {
    EXPECT_EQ(call("GET", path, "", {}, "").status, 401) << path;
    EXPECT_EQ(call("GET", path).status, 200) << path;
  }
}

TEST_F(Beyond, LoopbackThereAreProbesThatServeNothingElse) {
  const TlsFiles files;
  probes_.emplace();
  start({.host = "0.0.0.0", .tls_cert = files.cert(), .tls_key = files.key()}, "test");
  const auto probe = [&](const std::string& path, const char* method = "GET") {
    return ask({.method = method,
                .url = "http://127.0.0.1:" + std::to_string(api_->probes_port()) + path,
                .headers = {"Authorization: Bearer secret-token"},
                .body = {},
                .ca_file = {}});
  };
  EXPECT_EQ(probe("/healthz").json().value("status", ""), "ok");
  EXPECT_TRUE(probe("/readyz").json().value("ready", false));
  EXPECT_EQ(probe("/metrics").body, "postrider_up 1\n");
  for (const auto* path : {"/v1/endpoints", "/v1/tokens", "/v1/audit", "/", "/metrics/"})
    expect_problem(probe(path), 404, "NOT_FOUND");
  expect_problem(probe("/v1/events", "POST"), 404, "NOT_FOUND");
}

TEST_F(ApiTest, TellsHealthReadinessAndMetrics) {
  EXPECT_EQ(call("GET", "/healthz").json().value("status", ""), "ok");
  EXPECT_EQ(call("GET", "/metrics").body, "postrider_up 1\n");
  EXPECT_TRUE(call("GET", "/readyz").json().value("ready", false));
  service_.notes = {"a repeat may be delivered"};
  const auto noted = call("GET", "/readyz");
  EXPECT_EQ(noted.status, 200) << "a note costs no readiness";
  EXPECT_EQ(noted.json()["notes"][0], "a repeat may be delivered");
  service_.unavailable = true;
  const auto reply = call("GET", "/readyz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.json()["complaints"][0], "the log is away");
}

TEST_F(ApiTest, RefusesUnknownRoutesMethodsAndParameters) {
  expect_problem(call("GET", "/"), 404, "NOT_FOUND");
  expect_problem(call("GET", "/v1/endpoints/"), 404, "NOT_FOUND");
  expect_problem(call("GET", "/v1/tenants//endpoints/x"), 404, "NOT_FOUND");
  expect_problem(call("GET", "/v1/deliveries/%00"), 404, "NOT_FOUND");
  const auto reply = call("PATCH", "/v1/tenants/a/endpoints/b", "{}");
  expect_problem(reply, 405, "METHOD_NOT_ALLOWED");
  EXPECT_NE(reply.head.find("Allow: PUT, GET, DELETE"), std::string::npos) << reply.head;
  expect_problem(call("GET", "/v1/endpoints?tennant=a"), 400, "INVALID_REQUEST");
  expect_problem(call("GET", "/v1/endpoints?tenant=a&tenant=b"), 400, "INVALID_REQUEST");
  expect_problem(call("GET", "/v1/endpoints?tenant=%zz"), 400, "INVALID_REQUEST");
}

TEST_F(ApiTest, RefusesABodyThatGoesOnBehindANulByte) {
  const std::string body = R"({"name":"ci"})";
  EXPECT_EQ(call("POST", "/v1/tokens", body).status, 201);
  expect_problem(call("POST", "/v1/tokens", body + std::string("\0{\"name\":2}", 11)), 400,
                 "INVALID_REQUEST");
}

TEST_F(ApiTest, TakesAnEventInBinaryMode) {
  const auto reply = call("POST", "/v1/events", R"({"total": 1})", kEventHeaders);
  EXPECT_EQ(reply.status, 202) << reply.body;
  const auto json = reply.json();
  EXPECT_EQ(json["id"], "e1");
  EXPECT_EQ(json["topic"], "test.postrider.events");
  EXPECT_EQ(json["partition"], 3);
  EXPECT_EQ(json["offset"], 0);
  EXPECT_EQ(json["webhook_id"], webhook_id(TenantId("acme"), "/shop", "e1").str());
  ASSERT_EQ(service_.published(), 1u);
  EXPECT_EQ(service_.events[0].data, R"({"total": 1})");
}

TEST_F(ApiTest, TakesAnEventInStructuredMode) {
  const auto reply =
      call("POST", "/v1/events",
           R"({"specversion":"1.0","id":"e2","source":"/s","type":"a.b","tenant":"acme","data":{"x": 1}})",
           {"Content-Type: application/cloudevents+json; charset=utf-8"});
  EXPECT_EQ(reply.status, 202) << reply.body;
  EXPECT_EQ(service_.events.at(0).data, R"({"x": 1})");
}

TEST_F(ApiTest, RefusesEventsThatAreNone) {
  const auto post = [this](const std::string& changed) {
    return call("POST", "/v1/events", "{}", with(kEventHeaders, changed));
  };
  expect_problem(post("ce-tenant:"), 400, "TENANT_REQUIRED");
  expect_problem(post("ce-tenant: a b"), 400, "INVALID_TENANT");
  expect_problem(post("ce-environment: production"), 403, "ENVIRONMENT_MISMATCH");
  for (const auto* changed : {"ce-id:", "ce-type:", "ce-source:", "ce-specversion: 0.3"})
    EXPECT_EQ(post(changed).status, 400) << changed;
  expect_problem(post("ce-target: shop:inc_1"), 400, "INVALID_EVENT");
  expect_problem(post("ce-replayjob: rpl_1"), 400, "INVALID_EVENT");
  EXPECT_EQ(service_.published(), 0u);
}

TEST_F(ApiTest, TakesDataUpTo256KiBAndNoMore) {
  EXPECT_EQ(call("POST", "/v1/events", std::string(256 * 1024, 'x'), kEventHeaders).status, 202);
  expect_problem(call("POST", "/v1/events", std::string(256 * 1024 + 1, 'x'), kEventHeaders), 413,
                 "PAYLOAD_TOO_LARGE");
  expect_problem(call("POST", "/v1/events", std::string(1 << 20, 'x'), kEventHeaders), 413,
                 "PAYLOAD_TOO_LARGE");
  EXPECT_EQ(service_.published(), 1u);
}

TEST_F(ApiTest, PassesOnThatTheLogIsAway) {
  service_.unavailable = true;
  const auto reply = call("POST", "/v1/events", "{}", kEventHeaders);
  expect_problem(reply, 503, "SERVICE_UNAVAILABLE");
  EXPECT_NE(reply.head.find("Retry-After: 1"), std::string::npos);
}

TEST_F(ApiTest, BearsAClientThatIsGoneBeforeTheAnswer) {
  service_.hold();
  RawClient raw(api_->port());
  std::string request = "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-token\r\n";
  for (const auto& header : kEventHeaders) request += header + "\r\n";
  raw.send(request + "Content-Length: 2\r\n\r\n{}");
  ASSERT_TRUE(eventually([&] { return service_.waiting() == 1; }));
  raw.close();
  pass_through_loop();
  service_.release();
  pass_through_loop();
  EXPECT_EQ(call("GET", "/healthz").status, 200);
}

TEST_F(ApiTest, BearsAnswersThatComeAfterItsEnd) {
  service_.hold();
  RawClient raw(api_->port());
  raw.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return service_.waiting() == 1; }));
  api_->stop(Millis(0));
  service_.post = [](std::function<void()> work) { work(); };
  api_.reset();
  service_.release();
}

TEST_F(ApiTest, AnswersManyAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> accepted{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) accepted += call("POST", "/v1/events", "{}", kEventHeaders).status == 202;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(accepted, 160);
}

}  // namespace
}  // namespace postrider::test
