// The API's routes as a tenant's token and a platform's reach them. Input: a choice of the token, a line
// "METHOD TARGET", header lines, an empty line, the body. Behind them stands the tests' service in memory,
// where another tenant has things with a name that must not be told.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/api/idempotency.h"
#include "engine/api/routes.h"
#include "tests/api/fake_service.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/targets.h"
#include "tests/support/desk_kit.h"

namespace postrider::fuzz {
namespace {

constexpr std::string_view kCanary = "canary-of-globex";
constexpr std::string_view kSecret = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5";
constexpr auto kLongest = std::chrono::seconds(20);

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The API's thread, which this one plays: what is posted runs until the answer has come.
class Turns {
 public:
  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
    changed_.notify_one();
  }
  // False: in that time nothing made `done` true.
  bool run_until(const std::atomic<bool>& done) {
    const auto deadline = std::chrono::steady_clock::now() + kLongest;
    std::unique_lock lock(mutex_);
    while (!done || !waiting_.empty()) {
      if (waiting_.empty() && !changed_.wait_until(lock, deadline, [&] { return done || !waiting_.empty(); }))
        return false;
      if (waiting_.empty()) continue;
      auto work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    }
    return true;
  }
  void wake() {
    const std::lock_guard lock(mutex_);
    changed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
};

struct Inside : test::DeskKit {
  explicit Inside(bool of_tenant) {
    const Api::Options options{
        .environment = test::kEnvironment, .server = {}, .default_retry = {}, .limits = {}};
    routes = std::make_shared<Routes>(
        service, desk, [] { return std::string("postrider_up 1\n"); }, options);
    service.requests_log = &log;
    service.environment = test::kEnvironment;
    service.post = [this](std::function<void()> work) { turns.post(std::move(work)); };
    routes->post = service.post;
    grant.token_id = "tok_1";
    grant.name = "fuzzer";
    grant.scopes.add(Scope::admin);
    if (of_tenant) grant.tenant = TenantId("acme");
    furnish("acme", "plain");
    furnish("globex", std::string(kCanary));
  }
  ~Inside() { routes->stop(); }

  void furnish(const std::string& tenant, const std::string& word) {
    auto& endpoint = service.endpoints[{TenantId(tenant), EndpointId("main")}].def;
    endpoint.tenant = TenantId(tenant);
    endpoint.id = EndpointId("main");
    endpoint.url = "https://" + word + ".example/hook";
    endpoint.types = {word};
    endpoint.revision = 3;
    service.add_event_type(TenantId(tenant), word);
    service.add_tenant(TenantId(tenant), word);
    TokenFact token;
    token.hash = word;
    token.scope = "admin";
    token.tenant = TenantId(tenant);
    token.name = word;
    service.add_token("tok_of_" + tenant, token);
    auto ref = delivery(word, tenant);
    put(Topic::dead_letters, tenant, letter(ref));
    attempt(ref, Verdict::Kind::dead);
  }

  // The answer to one request; broken() if there is none, or two.
  ApiResponse ask(const ApiRequest& request, const Route& route, const std::vector<std::string>& path,
                  std::string_view bytes) {
    auto call = std::make_shared<Call>();
    call->path = path;
    call->request = request;
    call->grant = grant;
    call->actor = {"fuzzer", "tok_1", {}};
    auto answer = std::make_shared<ApiResponse>();
    auto answers = std::make_shared<std::atomic<int>>(0);
    std::atomic<bool> done = false;
    call->respond = [answer, answers, &done, this](ApiResponse response) {
      if (answers->fetch_add(1) > 0) return;
      *answer = std::move(response);
      done = true;
      turns.wake();
    };
    auto query = parse_query(request.query);
    if (!query) {
      call->refuse({Errc::invalid, "INVALID_REQUEST", "the query is malformed", "percent-encode"});
    } else {
      call->query = std::move(*query);
      if (wants_once(route, *call)) {
        run_once(routes, route, call);
      } else {
        ((*routes).*route.handle)(call);
      }
    }
    call.reset();
    if (!turns.run_until(done)) broken("a request without an answer", bytes);
    if (*answers != 1) broken("a request with two answers", bytes);
    return std::move(*answer);
  }

  Turns turns;
  test::FakeService service;
  std::shared_ptr<Routes> routes;
  Grant grant;
};

void judge_shape(const ApiResponse& response, std::string_view bytes) {
  if (response.status < 200 || response.status >= 500) broken("an answer of our own fault", bytes);
  for (const auto& header : response.headers)
    if (header.value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
      broken("a line end in an answer's header", bytes);
  const auto* type = find_header(response.headers, "content-type");
  // A secret that is shown once is written in as it is, and the service in memory makes it of a name.
  const bool shows_secret = find_header(response.headers, "cache-control") != nullptr;
  const bool is_json = type != nullptr && holds(*type, "json") && !shows_secret;
  if (is_json && !nlohmann::json::accept(response.body)) broken("an answer that is no JSON", bytes);
  if (response.status < 400) return;
  if (type == nullptr || !holds(*type, "application/problem+json"))
    broken("a refusal that is no problem", bytes);
  const auto json = nlohmann::json::parse(response.body);
  for (const auto* name : {"code", "message", "suggestion"})
    if (json.value(name, "").empty()) broken("a refusal without code, message or suggestion", bytes);
  if (json.value("retryable", false) != json.contains("retry_after"))
    broken("a refusal that says otherwise when to come again", bytes);
}

// Whether it stands in the body as a value alone: names that nobody knows are told.
bool is_value(const nlohmann::json& json) {
  if (json.is_string()) return holds(json.get_ref<const std::string&>(), kSecret);
  return json.is_structured() && std::any_of(json.begin(), json.end(), is_value);
}
bool is_name(const nlohmann::json& json) {
  if (json.is_object())
    for (const auto& item : json.items())
      if (holds(item.key(), kSecret) || is_name(item.value())) return true;
  return json.is_array() && std::any_of(json.begin(), json.end(), is_name);
}

void judge_told(const ApiRequest& request, const ApiResponse& response, bool of_tenant,
                std::string_view bytes) {
  auto whole = response.body;
  for (const auto& header : response.headers) whole += "\n" + header.value;
  if (of_tenant && !holds(bytes, "canary") && holds(whole, kCanary))
    broken("another tenant's thing is told", bytes);
  if (response.status < 400 || !holds(whole, kSecret)) return;
  const auto body = nlohmann::json::parse(request.body, nullptr, false);
  const bool elsewhere = holds(request.path + request.query, "whsec_") || is_name(body);
  if (is_value(body) && !elsewhere) broken("a refusal repeats a secret", bytes);
}

ApiRequest request_of(std::string_view& rest) {
  ApiRequest request;
  auto line = take_until(rest, '\n');
  request.method = take_until(line, ' ');
  request.path = take_until(line, '?');
  request.query = line;
  request.headers = take_headers(rest);
  request.body = rest;
  request.client = "192.0.2.1";
  return request;
}

}  // namespace

void api(std::string_view bytes) {
  std::string_view rest = bytes;
  const bool of_tenant = take_choice(rest, 2) == 1;
  const auto request = request_of(rest);
  const auto match = find_route(request.method, request.path);
  if (match.route == nullptr || request.body.size() > body_bytes_max_of(*match.route, request)) return;
  if (of_tenant && match.route->sees == Sees::platform) return;
  Inside inside(of_tenant);
  const auto first = inside.ask(request, *match.route, match.path, bytes);
  judge_shape(first, bytes);
  judge_told(request, first, of_tenant, bytes);
  // Under an Idempotency-Key what was done is done once, and answered alike.
  const bool kept = find_header(request.headers, "idempotency-key") != nullptr && request.method != "GET" &&
                    first.status < 300 && first.status != 207;
  if (!kept) return;
  const auto again = inside.ask(request, *match.route, match.path, bytes);
  const auto* replayed = find_header(again.headers, "idempotent-replayed");
  if (again.status != first.status || again.body != first.body || replayed == nullptr)
    broken("a request under one key is answered twice", bytes);
}

}  // namespace postrider::fuzz
