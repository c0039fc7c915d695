#include "engine/api/idempotency.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "engine/api/answer_box.h"
#include "engine/api/routes.h"
#include "engine/core/bytes.h"
#include "engine/operations/audit.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

constexpr std::size_t kKeyBytesMax = 255;
constexpr std::string_view kOfTenant = "/v1/tenants/{tenant}/";

// Quotes are the draft's spelling (a string of RFC 8941); Stripe's has none. Both name the same key.
Result<std::string> key_of(const Call& call) {
  std::string_view text = *find_header(call.request.headers, "idempotency-key");
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (text.empty() || text.size() > kKeyBytesMax || !visible)
    return fail(Errc::invalid, "INVALID_IDEMPOTENCY_KEY",
                "the Idempotency-Key is empty, too long, or holds what is no visible ASCII",
                "send a fresh random UUID with each new request, and the same one when you repeat it");
  return std::string(text);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// Headers that are part of what is asked.
std::multimap<std::string, std::string> telling_headers(const Headers& headers) {
  std::multimap<std::string, std::string> telling;
  for (const auto& header : headers) {
    auto name = lower_case(header.name);
    if (name.starts_with("ce-") || name == "content-type" || name == "if-match" || name == "if-none-match")
      telling.emplace(std::move(name), header.value);
  }
  return telling;
}

std::string bytes_of(const std::vector<std::string_view>& parts) {
  return std::string(hash128(parts).view());
}

RequestClaim claim_of(const Route& route, const Call& call, const std::string& key) {
  RequestClaim claim;
  claim.token_id = call.grant.token_id;
  std::vector<std::string_view> place{claim.token_id, route.method, route.pattern, key};
  place.insert(place.end(), call.path.begin(), call.path.end());
  // Another authority's bearer may come for one tenant now and for another then, under one id.
  if (call.grant.outside) place.emplace_back(call.grant.tenant.str());
  claim.key = bytes_of(place);
  const auto headers = telling_headers(call.request.headers);
  std::vector<std::string_view> asked{key, call.request.query, call.request.body};
  for (const auto& [name, value] : headers) asked.insert(asked.end(), {name, value});
  claim.fingerprint = bytes_of(asked);
  return claim;
}

ApiResponse in_use() {
  return problem(
      409, {Errc::unavailable, "IDEMPOTENCY_KEY_IN_USE", "a request under this Idempotency-Key is under way",
            "repeat it in a moment: it is answered once that one has ended"});
}

ApiResponse reused() {
  return problem(422, {Errc::invalid, "IDEMPOTENCY_KEY_REUSED",
                       "this Idempotency-Key stands for another request, and for 24 hours",
                       "send a new key with a new request; repeat the former one byte for byte"});
}

ApiResponse too_many() {
  return problem(Error{Errc::overloaded, "RATE_LIMITED",
                       "too many Idempotency-Keys of the last 24 hours are kept",
                       "send the request without one, or later"});
}

bool shows_a_secret(const ApiResponse& response) {
  const auto* control = find_header(response.headers, "cache-control");
  return control && *control == "no-store";
}

// One request on its way under a key. Shared by the copies of its respond function: when the last one is gone
// and nothing was answered, it may be run again.
struct Once : std::enable_shared_from_this<Once> {
  Once(std::shared_ptr<Routes> r, const CallPtr& c, std::string k, RequestClaim asked, TenantId t)
      : routes(std::move(r)),
        key(std::move(k)),
        claim(std::move(asked)),
        tenant(std::move(t)),
        respond(c->respond) {}
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;
  ~Once() {
    if (run.empty() || answered) return;
    auto end = std::make_shared<RequestEnd>(RequestEnd{claim, run, tenant, std::nullopt});
    routes->post(
        [routes = routes, end] { routes->service.end_request(std::move(*end), [](const Result<bool>&) {}); });
  }

  // Any thread. What was done is kept first, and told then: whoever loses the answer finds it kept.
  void answer(ApiResponse response) {
    if (answered.exchange(true)) return;
    auto held = std::make_shared<ApiResponse>(std::move(response));  // posted functions are copied
    routes->post([self = shared_from_this(), held] { self->keep(held); });
  }

  void keep(const std::shared_ptr<ApiResponse>& response) {
    RequestEnd end{claim, run, tenant, std::nullopt};
    // Of a batch that was taken in part (207) the rest may be sent again: what was taken is then a repeat.
    const bool done = response->status >= 200 && response->status < 300 && response->status != 207;
    if (done) end.answer = Secret(locked(*response));
    routes->service.end_request(std::move(end), [self = shared_from_this(), response](const Result<bool>&) {
      self->respond(std::move(*response));
    });
  }

  std::string locked(const ApiResponse& response) const {
    StoredAnswer stored{.status = response.status, .headers = {}, .body = response.body};
    for (const auto& header : response.headers) stored.headers.emplace_back(header.name, header.value);
    auto bytes = wire::encode_answer(stored);
    auto box = lock_answer(key, run, bytes);
    OPENSSL_cleanse(bytes.data(), bytes.size());
    OPENSSL_cleanse(stored.body.data(), stored.body.size());
    return box;
  }

  std::shared_ptr<Routes> routes;
  const std::string key;
  const RequestClaim claim;
  const TenantId tenant;
  const HttpServer::Respond respond;
  std::string run;
  std::atomic<bool> answered{false};
};

Error answer_lost() {
  return {Errc::unavailable, "SERVICE_UNAVAILABLE", "the request is done, and its answer cannot be had now",
          "repeat it under the same Idempotency-Key"};
}

ApiResponse replayed(const Secret& bytes) {
  auto stored = wire::decode_answer(bytes.reveal());
  if (!stored) return problem(answer_lost());
  ApiResponse response{stored->status, {}, std::move(stored->body)};
  for (auto& [name, value] : stored->headers) response.headers.push_back({std::move(name), std::move(value)});
  response.headers.push_back({"Idempotent-Replayed", "true"});
  return response;
}

// A secret is shown only once that is on the log.
void tell_and_answer(const std::shared_ptr<Routes>& routes, const CallPtr& call, ApiResponse response) {
  if (!shows_a_secret(response)) return call->answer(std::move(response));
  auto held = std::make_shared<ApiResponse>(std::move(response));
  routes->work(call, [routes, call, held] {
    auto desk = routes->desk;
    auto fact = audit_of(call->actor, "secret_shown_again", call->request.path);
    fact.tenant = call->grant.tenant;
    fact.outcome = "done";
    if (auto told = append_audit(desk, std::move(fact)); !told) return call->refuse(told.error());
    call->answer(std::move(*held));
  });
}

// From the log: the view knows where the answer stands.
void repeat_answer(const std::shared_ptr<Routes>& routes, const CallPtr& call, const std::string& key,
                   Offset at) {
  routes->work(call, [routes, call, key, at] {
    auto record = routes->desk.log.fetch(Topic::requests, 0, at);
    if (!record) return call->refuse(answer_lost());
    auto fact = wire::decode_request(routes->desk.environment, record->value.value_or(""));
    if (!fact) return call->refuse(fact.error());
    routes->post([routes, call, key, fact = std::move(*fact)] {
      routes->service.open_answer(fact.tenant, fact.sealed_answer,
                                  [routes, call, key, run = fact.run](Result<Secret> opened) {
                                    if (!opened) return call->refuse(opened.error());
                                    const auto bytes = unlock_answer(key, run, opened->reveal());
                                    if (!bytes) return call->refuse(answer_lost());
                                    tell_and_answer(routes, call, replayed(*bytes));
                                  });
    });
  });
}

void go_on(const std::shared_ptr<Routes>& routes, const Route& route, const CallPtr& call,
           const std::shared_ptr<Once>& once, const ClaimedRequest& claimed) {
  switch (claimed.kind) {
    case ClaimedRequest::Kind::run:
      once->run = claimed.run;
      call->origin = claimed.origin;
      call->respond = [once](ApiResponse response) { once->answer(std::move(response)); };
      return ((*routes).*route.handle)(call);
    case ClaimedRequest::Kind::answered:
      return repeat_answer(routes, call, once->key, claimed.answer);
    case ClaimedRequest::Kind::under_way:
      return call->answer(in_use());
    case ClaimedRequest::Kind::different:
      return call->answer(reused());
    case ClaimedRequest::Kind::full:
      // An event has a name of its own: published again it is dropped as a repeat.
      if (route.scope == Scope::events_publish) return ((*routes).*route.handle)(call);
      return call->answer(too_many());
  }
}

}  // namespace

bool wants_once(const Route& route, const Call& call) {
  return route.method != "GET" && find_header(call.request.headers, "idempotency-key") != nullptr;
}

void run_once(const std::shared_ptr<Routes>& routes, const Route& route, const CallPtr& call) {
  auto key = key_of(*call);
  if (!key) return call->refuse(key.error());
  auto claim = claim_of(route, *call, *key);
  const TenantId tenant = route.pattern.starts_with(kOfTenant) && is_tenant_or_endpoint_id(call->path[0])
                              ? TenantId(call->path[0])
                              : call->grant.tenant;
  auto once = std::make_shared<Once>(routes, call, std::move(*key), claim, tenant);
  routes->service.begin_request(std::move(claim),
                                [routes, &route, call, once](const Result<ClaimedRequest>& claimed) {
                                  if (!claimed) return call->refuse(claimed.error());
                                  go_on(routes, route, call, once, *claimed);
                                });
}

}  // namespace postrider
