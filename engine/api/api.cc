#include "engine/api/api.h"

#include <openssl/crypto.h>

#include "engine/api/idempotency.h"
#include "engine/api/routes.h"
#include "engine/core/bytes.h"

namespace postrider {
namespace {

constexpr std::size_t kTokenIdDigits = 12;
constexpr std::size_t kActorBytesMax = 128;
constexpr std::int64_t kIssuerRetrySeconds = 30;

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

// Who it is for, as the caller says; the token's hash beside it says who vouches. Of another authority's
// token: its subject, whatever the caller says, and the one id of all its tokens.
Actor actor_of(const ApiRequest& request, const std::string& token_hash, const Grant& grant) {
  Actor actor{.name = grant.name.empty() ? "admin" : grant.name,
              .token_id = grant.outside ? grant.token_id : token_hash.substr(0, kTokenIdDigits),
              .correlation_id = {}};
  if (const auto* name = find_header(request.headers, "postrider-actor");
      name && !name->empty() && !grant.outside)
    actor.name = name->substr(0, kActorBytesMax);
  if (const auto* id = find_header(request.headers, "x-request-id"))
    actor.correlation_id = id->substr(0, 128);
  return actor;
}

void cleanse_authorization(ApiRequest& request) {
  for (auto& header : request.headers) {
    const Headers one = {{header.name, ""}};
    if (find_header(one, "authorization")) OPENSSL_cleanse(header.value.data(), header.value.size());
  }
}

std::optional<Error> refusal_of(const Route& route, const Grant& grant) {
  if (!grant.scopes.has(route.scope))
    return permission_denied("the token does not hold the scope " + std::string(name_of(route.scope)),
                             "use a token that does; `postrider-ops tokens list` tells what each may do");
  if (route.sees == Sees::platform && !grant.tenant.empty())
    return permission_denied("this is for tokens of the platform, and the token is bound to a tenant",
                             "use a token of the platform");
  return std::nullopt;
}

Error not_found(const ApiRequest& head) {
  return {Errc::not_found, "NOT_FOUND", "there is no route " + head.method + " " + head.path.substr(0, 128),
          "see schemas/openapi.yaml"};
}

ApiResponse too_often(const Charge& charge) {
  return problem(
      429,
      {Errc::overloaded, "RATE_LIMITED", "more requests than are allowed for this token or address",
       "wait as Retry-After says, and look at the RateLimit headers of each answer"},
      charge.retry_s);
}

// The headers of draft-ietf-httpapi-ratelimit-headers-03, which clients know.
ApiResponse with_limits(ApiResponse response, const Charge& charge) {
  if (!charge.limited) return response;
  response.headers.push_back({"RateLimit-Limit", std::to_string(charge.limit)});
  response.headers.push_back({"RateLimit-Remaining", std::to_string(charge.remaining)});
  response.headers.push_back({"RateLimit-Reset", std::to_string(charge.reset_s)});
  return response;
}

}  // namespace

struct Api::State : std::enable_shared_from_this<Api::State> {
  State(Service& service, Desk desk, std::function<std::string()> metrics, Options options)
      : clock(desk.clock),
        limiter(options.limits),
        loopback(is_loopback(options.server.host)),
        routes(std::make_shared<Routes>(service, desk, std::move(metrics), std::move(options))) {}

  // Before the body is read: who asks too often, unknown routes, missing tokens and large bodies go no
  // further.
  HttpServer::Admission admit(const ApiRequest& head) {
    const auto hash = routes->gate.bearer_of(head.headers).hash;
    const auto charge = limiter.arrived(head.client, hash, clock.steady());
    const auto refuse = [&](ApiResponse response) -> HttpServer::Admission {
      return {.body_bytes_max = 0, .refusal = with_limits(std::move(response), charge)};
    };
    if (!charge.admitted) return refuse(too_often(charge));
    const auto match = find_route(head.method, head.path);
    if (!match.route) return refuse(no_route(head, match));
    if (needs_token(*match.route) && hash.empty()) {
      limiter.failed(head.client, hash, clock.steady());
      return refuse(problem(auth_failed()));
    }
    return {.body_bytes_max = body_bytes_max_of(*match.route, head), .refusal = std::nullopt};
  }

  bool needs_token(const Route& route) const { return !(route.open_on_loopback && loopback); }

  static ApiResponse no_route(const ApiRequest& head, const Match& match) {
    if (match.allowed.empty()) return problem(not_found(head));
    auto response = problem(405, {Errc::invalid, "METHOD_NOT_ALLOWED",
                                  head.path + " does not know " + head.method, "use " + match.allowed});
    response.headers.push_back({"Allow", match.allowed});
    return response;
  }

  void handle(ApiRequest request, HttpServer::Respond respond) {
    auto match = find_route(request.method, request.path);
    auto call = std::make_shared<Call>();
    const auto bearer = routes->gate.bearer_of(request.headers);
    const auto hash = bearer.hash;
    cleanse_authorization(request);
    call->path = std::move(match.path);
    call->respond = std::move(respond);
    if (!needs_token(*match.route)) tell_limits(call, limiter.standing(request.client, clock.steady()));
    auto query = parse_query(request.query);
    call->request = std::move(request);
    if (!query)
      return call->refuse({Errc::invalid, "INVALID_REQUEST",
                           "the query is malformed or names a parameter twice",
                           "percent-encode names and values"});
    call->query = std::move(*query);
    if (!needs_token(*match.route)) return run(*match.route, call);
    const auto asked_at = clock.steady();
    auto self = shared_from_this();
    routes->gate.check(bearer, asked_at, [self, call, hash, route = match.route](Result<Grant> grant) {
      if (!grant) return self->refuse_token(call, hash, grant.error());
      const auto charge = self->limiter.authenticated(hash, grant->tenant.empty(), self->clock.steady(),
                                                      grant->outside ? grant->token_id : std::string());
      tell_limits(call, charge);
      if (!charge.admitted) return call->answer(too_often(charge));
      if (auto refusal = refusal_of(*route, *grant)) return call->refuse(*refusal);
      call->actor = actor_of(call->request, hash, *grant);
      call->grant = std::move(*grant);
      self->run(*route, call);
    });
  }

  static void tell_limits(const CallPtr& call, const Charge& charge) {
    if (!charge.limited) return;
    call->respond = [respond = std::move(call->respond), charge](ApiResponse response) {
      respond(with_limits(std::move(response), charge));
    };
  }

  void refuse_token(const CallPtr& call, const std::string& hash, const Error& error) {
    const auto now = clock.steady();
    if (error.code == "AUTH_FAILED") limiter.failed(call->request.client, hash, now);
    tell_limits(call, limiter.standing(call->request.client, now));
    if (error.code == "OIDC_UNAVAILABLE") return call->answer(problem(503, error, kIssuerRetrySeconds));
    call->refuse(error);
  }

  static HttpServer::Admission admit_probe(const ApiRequest& head) {
    const auto match = find_route(head.method, head.path);
    if (match.route && match.route->open_on_loopback) return {.body_bytes_max = 0, .refusal = std::nullopt};
    return {.body_bytes_max = 0, .refusal = problem(not_found(head))};
  }

  void handle_probe(ApiRequest request, HttpServer::Respond respond) {
    auto call = std::make_shared<Call>();
    call->respond = std::move(respond);
    cleanse_authorization(request);
    call->request = std::move(request);
    const auto match = find_route(call->request.method, call->request.path);
    ((*routes).*match.route->handle)(call);
  }

  void run(const Route& route, const CallPtr& call) {
    if (wants_once(route, *call)) return run_once(routes, route, call);
    ((*routes).*route.handle)(call);
  }

  const Clock& clock;
  RequestLimiter limiter;
  const bool loopback;
  std::shared_ptr<Routes> routes;
  std::unique_ptr<HttpServer> server, probes;  // the latter may be missing
};

namespace {

ApiResponse server_refusal(int status, const std::string& code, const std::string& message) {
  const auto errc = status == 503 ? Errc::overloaded : status == 504 ? Errc::unavailable : Errc::invalid;
  return problem(status, {errc, code, message, "see schemas/openapi.yaml for what is accepted"});
}

}  // namespace

Api::Api(Service& service, Desk desk, std::function<std::string()> metrics, Options options)
    : state_(std::make_shared<State>(service, desk, std::move(metrics), options)) {
  auto* state = state_.get();  // the server's handlers do not outlive it, nor it the state
  HttpServer::Handlers handlers;
  handlers.admit = [state](const ApiRequest& head) { return state->admit(head); };
  handlers.handle = [state](ApiRequest request, HttpServer::Respond respond) {
    state->handle(std::move(request), std::move(respond));
  };
  handlers.refuse = server_refusal;
  state_->server = std::make_unique<HttpServer>(std::move(options.server), std::move(handlers));
  if (options.probes) {
    HttpServer::Handlers probing;
    probing.admit = State::admit_probe;
    probing.handle = [state](ApiRequest request, HttpServer::Respond respond) {
      state->server->post([state, request = std::move(request), respond = std::move(respond)]() mutable {
        state->handle_probe(std::move(request), std::move(respond));
      });
    };
    probing.refuse = server_refusal;
    state_->probes = std::make_unique<HttpServer>(*std::move(options.probes), std::move(probing));
  }
  state_->routes->post = [weak = std::weak_ptr<State>(state_)](std::function<void()> work) {
    if (const auto alive = weak.lock()) alive->server->post(std::move(work));
  };
}

Api::~Api() {
  stop(Millis(0));
}
Result<void> Api::start() {
  auto started = state_->server->start();
  if (started && state_->probes) started = state_->probes->start();
  if (started) state_->routes->replays.start();
  return started;
}
std::uint16_t Api::port() const {
  return state_->server->port();
}
std::uint16_t Api::probes_port() const {
  return state_->probes ? state_->probes->port() : std::uint16_t{0};
}
void Api::post(std::function<void()> work) {
  state_->server->post(std::move(work));
}

void Api::stop(Millis grace) {
  state_->routes->replays.ask_to_stop();
  if (state_->probes) state_->probes->stop(Millis(0));
  state_->server->stop(grace);
  state_->routes->stop();
}

}  // namespace postrider
