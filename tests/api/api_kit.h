#pragma once
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "engine/api/api.h"
#include "tests/api/client.h"
#include "tests/api/fake_service.h"
#include "tests/support/desk_kit.h"

namespace postrider::test {

// A real API on a free port, over a service in memory and a log in memory.
class ApiTest : public ::testing::Test, protected DeskKit {
 protected:
  void SetUp() override { start({}, "test"); }
  void TearDown() override {
    if (api_) api_->stop();
  }
  void start(HttpServer::Options server, const std::string& environment) {
    if (api_) api_->stop();
    ca_file_ = server.tls_cert;
    Api::Options options{.environment = Environment(environment),
                         .server = std::move(server),
                         .default_retry = {},
                         .limits = limits_,
                         .probes = probes_,
                         .outside = outside_};
    desk.environment = Environment(environment);
    service_.requests_log = &log;
    service_.environment = desk.environment;
    api_ = std::make_unique<Api>(
        service_, desk, [] { return std::string("postrider_up 1\n"); }, options);
    service_.post = [this](std::function<void()> work) { api_->post(std::move(work)); };
    const auto started = api_->start();
    ASSERT_TRUE(started) << started.error().message;
  }

  std::string url(const std::string& path) const {
    return (ca_file_.empty() ? "http" : "https") + std::string("://127.0.0.1:") +
           std::to_string(api_->port()) + path;
  }
  Reply call(const std::string& method, const std::string& path, const std::string& body = {},
             std::vector<std::string> headers = {}, const std::string& token = "secret-token") const {
    if (!token.empty()) headers.push_back("Authorization: Bearer " + token);
    if (!body.empty() && path != "/v1/events") headers.push_back("Content-Type: application/json");
    return ask({.method = method,
                .url = url(path),
                .headers = std::move(headers),
                .body = body,
                .ca_file = ca_file_});
  }
  // A refusal has O7's shape, whatever it is about.
  void expect_problem(const Reply& reply, long status, const std::string& code) {
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_NE(reply.head.find("application/problem+json"), std::string::npos);
    const auto json = reply.json();
    ASSERT_TRUE(json.is_object()) << reply.body;
    EXPECT_EQ(json.value("code", ""), code) << reply.body;
    for (const auto* name : {"message", "suggestion"})
      EXPECT_FALSE(json.value(name, "").empty()) << name << " of " << reply.body;
    ASSERT_TRUE(json.contains("retryable"));
    EXPECT_EQ(json["retryable"].get<bool>(), json.contains("retry_after"));
  }
  bool eventually(const std::function<bool()>& holds) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  void pass_through_loop() const {
    std::promise<void> passed;
    api_->post([&] { passed.set_value(); });
    passed.get_future().wait();
  }

  RequestLimiter::Limits limits_;  // none
  std::optional<HttpServer::Options> probes_;
  OutsideTokens* outside_ = nullptr;
  FakeService service_;
  std::unique_ptr<Api> api_;
  std::string ca_file_;
};

// Lets in "eyJ.BEARER.TENANT.ANYTHING" ("eyJ.ada..1"), with every scope; "eyJ.BEARER.TENANT.old" is a token
// that has expired, and of "eyJ.BEARER.TENANT.new" nobody can tell yet.
struct FakeIssuer : OutsideTokens {
  bool is_one(std::string_view token) const override { return token.starts_with("eyJ."); }
  void judge(std::string_view token, std::function<void(Result<Grant>)> done) override {
    token.remove_prefix(4);
    const auto first = token.find('.'), second = token.find('.', first + 1);
    if (token.substr(second + 1) == "old")
      return done(fail(Errc::denied, "AUTH_FAILED", "it has expired", "get a new one"));
    if (token.substr(second + 1) == "new")
      return done(fail(Errc::unavailable, "OIDC_UNAVAILABLE", "its key is not known yet", "try again"));
    Grant grant;
    grant.name = token.substr(0, first);
    grant.token_id = "oidc_" + grant.name;
    grant.tenant = TenantId(std::string(token.substr(first + 1, second - first - 1)));
    grant.scopes.add(Scope::admin);
    grant.outside = true;
    done(std::move(grant));
  }
};

inline const std::vector<std::string> kEventHeaders = {
    "ce-specversion: 1.0",    "ce-id: e1",       "ce-source: /shop",
    "ce-type: order.created", "ce-tenant: acme", "Content-Type: application/json"};

}  // namespace postrider::test
