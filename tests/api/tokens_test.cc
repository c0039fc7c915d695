// Who may do what: every route of schemas/openapi.yaml by every scope, for the token's own tenant, another
// one and the platform. The table is the document's: a route without x-scope and x-tenant fails, and so does
// one without a sample.
#include <fstream>
#include <map>
#include <set>

#include "engine/api/routes.h"
#include "engine/core/scope.h"
#include "engine/operations/replay.h"
#include "engine/wire/cloud_event.h"
#include "tests/api/api_kit.h"
#include "tests/api/tls_files.h"

namespace postrider::test {
namespace {

using Json = nlohmann::json;

struct Rule {
  std::string scope, tenant;
  bool open = false;  // on loopback
};

// Read by the document's layout: a path stands at two blanks, a method at four, its members at six.
std::map<std::string, Rule> documented_rules() {
  std::ifstream stream(std::string(POSTRIDER_SOURCE_DIR) + "/schemas/openapi.yaml");
  std::map<std::string, Rule> rules;
  std::string path;
  Rule* rule = nullptr;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("components:")) break;
    if (line.starts_with("  /")) path = line.substr(2, line.find(':') - 2);
    for (const auto& [name, method] :
         {std::pair{"get", "GET"}, {"put", "PUT"}, {"post", "POST"}, {"delete", "DELETE"}})
      if (line == std::string("    ") + name + ":") rule = &rules[std::string(method) + " " + path];
    if (line.starts_with("      x-scope: ")) rule->scope = line.substr(15);
    if (line.starts_with("      x-tenant: ")) rule->tenant = line.substr(16);
    if (line == "      security: [{}, {token: []}]") rule->open = true;
  }
  return rules;
}

const std::set<std::string> kTenantRules = {"all", "platform", "own"};

TEST(OpenApiRules, StandByEveryRouteAndAreTheRouters) {
  const auto rules = documented_rules();
  std::size_t routes = 0;
  for (const Route& route : all_routes()) {
    const auto name = std::string(route.method) + " " + std::string(route.pattern);
    ASSERT_TRUE(rules.contains(name)) << name;
    const Rule& rule = rules.at(name);
    EXPECT_EQ(rule.scope, name_of(route.scope)) << name;
    EXPECT_EQ(rule.open, route.open_on_loopback) << name;
    EXPECT_TRUE(kTenantRules.contains(rule.tenant)) << name << ": x-tenant is missing";
    EXPECT_EQ(rule.tenant == "platform", route.sees == Sees::platform) << name;
    EXPECT_EQ(rule.tenant == "own", route.sees == Sees::own) << name;
    ++routes;
  }
  EXPECT_EQ(rules.size(), routes);
}

// A request about an object of `tenant`.
struct Sample {
  std::string path, body;
  bool of_an_object = true;  // else a list, or something to be made
};

// An API with objects of the tenant acme and, if asked for, of other.
struct World : ApiTest {
  explicit World(bool others) : has_others(others) {
    SetUp();
    for (const std::string tenant : {"acme", "other"}) lay_out(tenant);
    for (const Scope scope : all_scopes()) {
      const std::string name(name_of(scope));
      add(name, "platform", "", 0);
      add(name, "acme", "acme", 0);
      add(name, "expired", "acme", service_.now_ms);
      add(name, "revoked", "acme", 0, true);
    }
  }
  ~World() override { TearDown(); }
  void TestBody() override {}
  using ApiTest::expect_problem;
  using ApiTest::service_;
  using ApiTest::start;

  static std::string token_of(const std::string& scope, const std::string& kind) {
    return "ptk_" + scope + "_" + kind;
  }
  void add(const std::string& scope, const std::string& kind, const std::string& tenant, std::int64_t expires,
           bool revoked = false) {
    TokenFact token;
    token.hash = FakeService::hash_of(token_of(scope, kind));
    token.scope = scope;
    token.tenant = TenantId(tenant);
    token.expires_at = expires;
    service_.add_token("tok_" + scope + kind, token, revoked);
  }
  void lay_out(const std::string& tenant) {
    const auto ref = delivery("e1", tenant);
    delivery_of[tenant] = ref.id.str();
    event_of[tenant] = ref.webhook_id.str();
    if (tenant == "other" && !has_others) return;
    dead("e1", tenant);
    AttemptFact attempt;
    attempt.delivery = ref;
    attempt.stamp = {1, 1};
    service_.deliveries[ref.id].apply(attempt);
    TokenFact token;
    token.hash = FakeService::hash_of("victim of " + tenant);
    token.tenant = TenantId(tenant);
    service_.add_token("tok_of_" + tenant, token);
    declare(tenant);
    ask_for_replay(tenant);
    publish(tenant);
  }
  void publish(const std::string& tenant) {
    Event event;
    event.id = "e1";
    event.source = "/shop";
    event.type = "order.created";
    event.tenant = TenantId(tenant);
    event.data = "{}";
    auto message = wire::encode_kafka(event);
    NewRecord record{.topic = Topic::events,
                     .partition = {},
                     .key = message.key,
                     .value = message.value,
                     .headers = message.headers};
    EXPECT_TRUE(log.append(std::move(record)));
  }
  // That nobody runs meanwhile.
  void ask_for_replay(const std::string& tenant) {
    ReplayBook book;
    ReplayRequest request;
    request.filter.tenant = request.within = TenantId(tenant);
    request.named = ReplayJobId("rpl_of_" + tenant);
    request.attended = true;
    EXPECT_TRUE(begin_replay(desk, book, request));
  }
  void declare(const std::string& tenant) {
    if (tenant == "other" && !has_others) return;
    auto& endpoint = service_.endpoints[{TenantId(tenant), EndpointId("shop")}];
    endpoint.def.tenant = TenantId(tenant);
    endpoint.def.id = EndpointId("shop");
  }
  void describe_tenants() {
    service_.tenant_defs = Tenants();
    for (const char* tenant : {"acme", "other"})
      if (has_others || std::string(tenant) != "other") service_.add_tenant(TenantId(tenant), "Its name");
  }
  void describe_types() {
    service_.event_types = EventTypes();
    for (const char* tenant : {"", "acme", "other"})
      if (has_others || std::string(tenant) != "other")
        service_.add_event_type(TenantId(tenant), "order.created");
  }
  std::optional<Sample> sample(const std::string& route, const std::string& tenant) {
    const std::string endpoint = "/v1/tenants/" + tenant + "/endpoints/shop";
    const std::string& id = delivery_of.at(tenant);
    const std::map<std::string, Sample> samples = {
        {"GET /healthz", {"/healthz", "", false}},
        {"GET /readyz", {"/readyz", "", false}},
        {"GET /metrics", {"/metrics", "", false}},
        {"POST /v1/events", {"/v1/events", "{}", false}},
        {"GET /v1/endpoints", {"/v1/endpoints?tenant=" + tenant, "", false}},
        {"PUT /v1/tenants/{tenant}/endpoints/{id}", {endpoint, R"({"url":"https://example.com/"})"}},
        {"GET /v1/tenants/{tenant}/endpoints/{id}", {endpoint, ""}},
        {"DELETE /v1/tenants/{tenant}/endpoints/{id}", {endpoint, ""}},
        {"POST /v1/tenants/{tenant}/endpoints/{id}/disable", {endpoint + "/disable", R"({"why":"asked"})"}},
        {"POST /v1/tenants/{tenant}/endpoints/{id}/test", {endpoint + "/test", "{}"}},
        {"GET /v1/events/{event}", {"/v1/events/" + event_of.at(tenant), ""}},
        {"GET /v1/events/{event}/payload", {"/v1/events/" + event_of.at(tenant) + "/payload", ""}},
        {"GET /v1/tenants/{tenant}/endpoints/{id}/statistics", {endpoint + "/statistics", ""}},
        {"GET /v1/tenants", {"/v1/tenants", "", false}},
        {"PUT /v1/tenants/{tenant}", {"/v1/tenants/" + tenant, "{}"}},
        {"GET /v1/tenants/{tenant}", {"/v1/tenants/" + tenant, ""}},
        {"DELETE /v1/tenants/{tenant}", {"/v1/tenants/" + tenant, ""}},
        {"POST /v1/tenants/{tenant}/endpoints/{id}/enable", {endpoint + "/enable", "{}"}},
        {"POST /v1/tenants/{tenant}/endpoints/{id}/verify", {endpoint + "/verify", "{}"}},
        {"POST /v1/tenants/{tenant}/endpoints/{id}/secrets/rotate", {endpoint + "/secrets/rotate", "{}"}},
        {"DELETE /v1/tenants/{tenant}/endpoints/{id}/secrets/{secret_id}", {endpoint + "/secrets/sec_1", ""}},
        {"GET /v1/deliveries", {"/v1/deliveries?tenant=" + tenant, "", false}},
        {"GET /v1/deliveries/{id}/attempts", {"/v1/deliveries/" + id + "/attempts", ""}},
        {"GET /v1/deliveries/{id}/payload", {"/v1/deliveries/" + id + "/payload", ""}},
        {"GET /v1/dead-letters/{delivery_id}/payload", {"/v1/dead-letters/" + id + "/payload", ""}},
        {"GET /v1/audit", {"/v1/audit?tenant=" + tenant, "", false}},
        {"GET /v1/event-types", {"/v1/event-types?tenant=" + tenant, "", false}},
        {"PUT /v1/event-types/{name}", {"/v1/event-types/order.created", "{}"}},
        {"GET /v1/event-types/{name}", {"/v1/event-types/order.created", ""}},
        {"DELETE /v1/event-types/{name}", {"/v1/event-types/order.created", ""}},
        {"PUT /v1/tenants/{tenant}/event-types/{name}",
         {"/v1/tenants/" + tenant + "/event-types/order.created", "{}"}},
        {"GET /v1/tenants/{tenant}/event-types/{name}",
         {"/v1/tenants/" + tenant + "/event-types/order.created", ""}},
        {"DELETE /v1/tenants/{tenant}/event-types/{name}",
         {"/v1/tenants/" + tenant + "/event-types/order.created", ""}},
        {"GET /v1/deliveries/{id}", {"/v1/deliveries/" + id, ""}},
        {"GET /v1/dead-letters", {"/v1/dead-letters?tenant=" + tenant, "", false}},
        {"GET /v1/dead-letters/summary", {"/v1/dead-letters/summary?tenant=" + tenant, "", false}},
        {"GET /v1/dead-letters/{delivery_id}", {"/v1/dead-letters/" + id, ""}},
        {"POST /v1/dead-letters/{delivery_id}/resolve",
         {"/v1/dead-letters/" + id + "/resolve", R"({"why":"by phone"})"}},
        {"POST /v1/replays", {"/v1/replays", R"({"dry_run":true,"ids":[")" + id + "\"]}", false}},
        {"GET /v1/replays", {"/v1/replays?tenant=" + tenant, "", false}},
        {"GET /v1/replays/{job}", {"/v1/replays/rpl_of_" + tenant, ""}},
        {"POST /v1/replays/{job}/cancel", {"/v1/replays/rpl_of_" + tenant + "/cancel", "{}"}},
        {"POST /v1/tokens", {"/v1/tokens", R"({"name":"n","tenant":")" + tenant + "\"}"}},
        {"GET /v1/tokens", {"/v1/tokens?tenant=" + tenant, "", false}},
        {"DELETE /v1/tokens/{id}", {"/v1/tokens/tok_of_" + tenant, ""}},
        {"POST /v1/tokens/reset", {"/v1/tokens/reset", "", false}},
    };
    const auto found = samples.find(route);
    return found == samples.end() ? std::nullopt : std::optional(found->second);
  }
  Reply ask_for(const std::string& route, const std::string& tenant, const std::string& token) {
    declare(tenant);  // what an earlier request deleted
    describe_types();
    describe_tenants();
    const auto sample = this->sample(route, tenant);
    if (!sample) return {};
    auto headers = route == "POST /v1/events" ? kEventHeaders : std::vector<std::string>{};
    for (auto& header : headers)
      if (header.starts_with("ce-tenant:")) header = "ce-tenant: " + tenant;
    return call(route.substr(0, route.find(' ')), sample->path, sample->body, headers, token);
  }

  const bool has_others;
  std::map<std::string, std::string> delivery_of, event_of;  // by tenant
};

bool is_taken(long status) {
  return (status >= 200 && status < 300) || status == 409;
}

TEST(Tokens, OpenEachRouteToItsScopeAloneForTheirTenantAlone) {
  World full(true), without_others(false);
  for (const auto& [route, rule] : documented_rules()) {
    ASSERT_TRUE(full.sample(route, "acme")) << route << " has no sample here";
    if (rule.open) continue;  // below, where they are not open
    for (const std::string kind : {"expired", "revoked", "unknown"})
      full.expect_problem(full.ask_for(route, "acme", World::token_of(rule.scope, kind)), 401, "AUTH_FAILED");
    full.expect_problem(full.ask_for(route, "acme", ""), 401, "AUTH_FAILED");
    for (const Scope scope : all_scopes()) {
      const std::string held(name_of(scope));
      const bool holds = held == rule.scope || scope == Scope::admin;
      SCOPED_TRACE(route + " with " + held);
      for (const std::string kind : {"acme", "platform"}) {
        const std::string token = World::token_of(held, kind);
        if (!holds || (rule.tenant == "platform" && kind == "acme")) {
          for (const std::string tenant : {"acme", "other"})
            full.expect_problem(full.ask_for(route, tenant, token), 403, "PERMISSION_DENIED");
          continue;
        }
        if (route == "POST /v1/tokens/reset") continue;  // it would end all of these
        const auto own = full.ask_for(route, "acme", token);
        EXPECT_TRUE(is_taken(own.status)) << own.status << " " << own.body;
        without_others.ask_for(route, "acme", token);  // so that both have been asked the same
        const auto others = full.ask_for(route, "other", token);
        const auto absent = without_others.ask_for(route, "other", token);
        if (kind == "platform") {
          EXPECT_TRUE(is_taken(others.status)) << others.status << " " << others.body;
          continue;
        }
        EXPECT_EQ(others.body, absent.body) << "it can be told from what does not exist";
        EXPECT_EQ(others.status, absent.status);
        if (rule.tenant == "all") {
          EXPECT_EQ(others.body, own.body) << "what is nobody's is the same for all";
        } else if (route == "POST /v1/events") {
          full.expect_problem(others, 403, "PERMISSION_DENIED");
        } else if (full.sample(route, "other")->of_an_object) {
          full.expect_problem(others, 404, "NOT_FOUND");
        } else {
          EXPECT_EQ(others.status, 200) << others.body;
          EXPECT_NE(others.body, own.body);
        }
      }
    }
  }
  for (const auto& event : full.service_.events)
    EXPECT_TRUE(event.tenant.str() != "other" || full.has_others);
}

TEST(Tokens, NeedAScopeForHealthReadinessAndMetricsWhereTheseAreNotOpen) {
  const TlsFiles files;
  World world(false);
  world.start({.host = "0.0.0.0", .tls_cert = files.cert(), .tls_key = files.key()}, "test");
  for (const auto* path : {"/healthz", "/readyz", "/metrics"}) {
    const std::string route = std::string("GET ") + path;
    EXPECT_EQ(world.ask_for(route, "acme", World::token_of("status:read", "platform")).status, 200) << path;
    EXPECT_EQ(world.ask_for(route, "acme", World::token_of("events:publish", "platform")).status, 403)
        << path;
    EXPECT_EQ(world.ask_for(route, "acme", World::token_of("status:read", "acme")).status,
              route == "GET /metrics" ? 403 : 200)
        << "metrics name every tenant";
  }
}

struct TokenRoutes : ApiTest {
  Json make(const std::string& body, const std::string& token = "secret-token") {
    const auto reply = call("POST", "/v1/tokens", body, {}, token);
    EXPECT_EQ(reply.status, 201) << reply.body;
    return reply.json();
  }
  std::vector<AuditFact> told() {
    std::vector<AuditFact> facts;
    for (const auto& record : log.all(Topic::audit))
      if (auto fact = wire::decode_audit(kEnvironment, record.value.value_or(""))) facts.push_back(*fact);
    return facts;
  }
};

TEST_F(TokenRoutes, MakeOneThatReadsOnlyAndEnds) {
  const auto json = make(R"({"name":"dashboard","tenant":"acme"})");
  EXPECT_EQ(json["token"], "ptk_dashboard");
  EXPECT_EQ(json["scopes"],
            Json({"status:read", "endpoints:read", "deliveries:read", "replays:read", "event-types:read"}));
  EXPECT_EQ(json["expires_at"], "2024-02-12T22:13:20.000Z") << "90 days";
  EXPECT_EQ(json["review_at"], json["expires_at"]);
  EXPECT_EQ(json["created_by"], "admin");
  EXPECT_EQ(call("GET", "/v1/endpoints", "", {}, "ptk_dashboard").status, 200);
  EXPECT_EQ(call("POST", "/v1/events", "{}", kEventHeaders, "ptk_dashboard").status, 403);
  const auto list = call("GET", "/v1/tokens");
  EXPECT_EQ(list.body.find("ptk_"), std::string::npos) << "shown once";
  EXPECT_EQ(list.body.find(FakeService::hash_of("ptk_dashboard")), std::string::npos);
  ASSERT_EQ(told().size(), 1u);
  EXPECT_EQ(told()[0].action, "token_created");
  EXPECT_EQ(told()[0].resource, "tokens/tok_dashboard");
}

TEST_F(TokenRoutes, RevokeAtOnce) {
  make(R"({"name":"shop","role":"publisher"})");
  EXPECT_EQ(call("POST", "/v1/events", "{}", kEventHeaders, "ptk_shop").status, 202);
  const auto reply = call("DELETE", "/v1/tokens/tok_shop");
  EXPECT_EQ(reply.json().value("state", ""), "revoked") << reply.body;
  EXPECT_EQ(call("POST", "/v1/events", "{}", kEventHeaders, "ptk_shop").status, 401);
  EXPECT_EQ(told().back().action, "token_revoked");
  expect_problem(call("DELETE", "/v1/tokens/tok_none"), 404, "NOT_FOUND");
}

TEST_F(TokenRoutes, TellTheDayOfTheLastUse) {
  service_.tokens.apply(TokenUseFact{"tok_first", 1'699'920'000'000}, "used");
  make(R"({"name":"idle"})");
  const auto tokens = call("GET", "/v1/tokens").json()["tokens"];
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0]["last_used_at"], "2023-11-14T00:00:00.000Z");
  EXPECT_EQ(tokens[1]["last_used_at"], nullptr);
}

TEST_F(TokenRoutes, RefuseWhatMakesNoToken) {
  for (const auto* body :
       {"{}", R"({"name":""})", R"({"name":"a","role":"king"})", R"({"name":"a","scopes":["everything"]})",
        R"({"name":"a","scopes":[]})", R"({"name":"a","role":"viewer","scopes":["admin"]})",
        R"({"name":"a","tenant":"a b"})", R"({"name":"a","expires_at":"tomorrow"})",
        R"({"name":"a","expires_at":"2023-01-01T00:00:00Z"})",
        R"({"name":"a","expires_at":"2033-01-01T00:00:00Z"})",
        R"({"name":"a","expires_at":"2023-12-01T00:00:00Z","review_at":"2024-01-01T00:00:00Z"})",
        R"({"name":"a","hash":"00"})"})
    expect_problem(call("POST", "/v1/tokens", body), 400, "INVALID_REQUEST");
}

TEST_F(TokenRoutes, BindWhatATenantsAdministratorMakesToThatTenant) {
  make(R"({"name":"acme-admin","tenant":"acme","role":"admin"})");
  const auto json = make(R"({"name":"acme-shop","role":"publisher"})", "ptk_acme-admin");
  EXPECT_EQ(json["tenant"], "acme");
  EXPECT_EQ(json["created_by"], "acme-admin");
}

TEST_F(TokenRoutes, TakeTheTenantOfAnEventFromTheToken) {
  make(R"({"name":"acme-shop","tenant":"acme","role":"publisher"})");
  auto headers = kEventHeaders;
  std::erase_if(headers, [](const auto& header) { return header.starts_with("ce-tenant"); });
  EXPECT_EQ(call("POST", "/v1/events", "{}", headers, "ptk_acme-shop").status, 202);
  EXPECT_EQ(service_.events.at(0).tenant.str(), "acme");
}

TEST_F(TokenRoutes, AskForAScopeOfItsOwnWhereSecretsAreDeclared) {
  make(R"({"name":"runner","scopes":["endpoints:write"]})");
  make(R"({"name":"rotator","scopes":["endpoints:write","secrets:rotate"]})");
  const std::string secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
  const std::string body = R"({"url":"https://example.com/","secrets":[")" + secret + "\"]}";
  expect_problem(call("PUT", "/v1/tenants/acme/endpoints/shop", body, {}, "ptk_runner"), 403,
                 "PERMISSION_DENIED");
  EXPECT_EQ(call("PUT", "/v1/tenants/acme/endpoints/shop", body, {}, "ptk_rotator").status, 201);
}

}  // namespace
}  // namespace postrider::test
