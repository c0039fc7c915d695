#include "engine/flow/request_maker.h"

#include <algorithm>
#include <utility>

#include "engine/core/signature.h"
#include "engine/wire/cloud_event.h"

namespace postrider::flow {
namespace {

constexpr Millis kBadNameWait{5000};

}  // namespace

RequestMaker::Prepared RequestMaker::prepare(EndpointState& state, const Endpoint& endpoint, SteadyTime now) {
  const bool expired =
      now >= state.opened_until || (state.signer_until && context_.log_now() >= *state.signer_until);
  if (state.prepared && state.version == endpoint.version && !expired) return Prepared::yes;
  state.prepared = false;
  state.signer.reset();
  return open(state, endpoint);
}

void RequestMaker::keep_opened(EndpointState& state) {
  state.opened_until = context_.ports.keys.kept_until(state.tenant);
  state.opening = ++openings_;
  opened_.push_back({&state, state.opening, state.opened_until});
  forget_opened(SteadyTime::min());
}

void RequestMaker::forget_opened(SteadyTime now) {
  while (!opened_.empty() && (opened_.front().until <= now || opened_.size() > context_.config.opened_max)) {
    const Opened oldest = opened_.front();
    opened_.pop_front();
    if (oldest.state->opening != oldest.opening) continue;  // opened again since
    oldest.state->prepared = false;
    oldest.state->signer.reset();
  }
}

// A key that is asked for just now is worth a moment's wait; anything else parks what is queued.
RequestMaker::Prepared RequestMaker::open(EndpointState& state, const Endpoint& endpoint) {
  const auto unopened = [](const Error& error) { return is_pending(error) ? Prepared::soon : Prepared::no; };
  const std::string target = format_target(state.target);
  Keys& keys = context_.ports.keys;

  std::string whole = endpoint.def.url;
  if (!endpoint.def.sealed_query.empty()) {
    auto query =
        keys.open({context_.config.environment, state.tenant, target, "query"}, endpoint.def.sealed_query);
    if (!query) return unopened(query.error());
    whole += query->reveal();
  }
  auto url = parse_url(whole);
  if (!url) return Prepared::no;

  std::vector<SigningSecret> secrets;
  std::vector<std::string> ids;
  state.signer_until.reset();
  for (const EndpointSecret* secret : endpoint.signing_secrets(context_.log_now())) {
    auto text = keys.open({context_.config.environment, state.tenant, target, "secret"}, secret->sealed);
    if (!text) return unopened(text.error());
    auto parsed = parse_signing_secret(text->reveal());
    if (!parsed) continue;
    if (endpoint.def.scheme == Scheme::x_webhook && parsed->kind != SecretKind::hmac) continue;
    if (secret->state == SecretState::expiring) {
      const auto until = from_ms<LogTime>(secret->expires_at);
      state.signer_until = state.signer_until ? std::min(*state.signer_until, until) : until;
    }
    secrets.push_back(*std::move(parsed));
    ids.push_back(secret->id);
  }
  if (secrets.empty()) return Prepared::no;  // there is no unsigned mode
  auto signer = keys.signer(secrets);
  if (!signer) return Prepared::no;

  if (state.url.host != url->host || state.url.scheme != url->scheme || state.url.port != url->port)
    state.resolved_until = {};
  if (state.url.host != url->host) state.pace = WindowPace();
  if (state.limits.rate_per_second != endpoint.def.limits.rate_per_second) {
    state.limiter = RateLimiter(endpoint.def.limits.rate_per_second);
  }
  state.url = *std::move(url);
  state.destination.reset();
  state.signer = *std::move(signer);
  state.scheme = endpoint.def.scheme;
  state.format = endpoint.def.format;
  state.retry = endpoint.def.retry;
  state.sender =
      std::make_shared<const Sender>(Sender{endpoint.def.url, std::move(ids), state.retry.attempts_max()});
  state.limits = endpoint.def.limits;
  state.concurrency.set_most(state.limits.concurrency);
  state.version = endpoint.version;
  state.prepared = true;
  keep_opened(state);
  return Prepared::yes;
}

RequestMaker::Addresses RequestMaker::addresses(EndpointState& state, SteadyTime now) {
  if (state.resolving) return Addresses::pending;
  if (now < state.resolved_until) return state.no_address ? Addresses::none : Addresses::ready;
  state.resolving = true;
  const std::uint64_t token = ++last_token_;
  lookups_.emplace(token, &state);
  context_.ports.resolver.resolve(state.url.host, token);
  return Addresses::pending;
}

EndpointState* RequestMaker::on_resolved(std::uint64_t token, const Result<Resolved>& resolved) {
  auto at = lookups_.find(token);
  if (at == lookups_.end()) return nullptr;
  EndpointState* const state = at->second;
  lookups_.erase(at);
  state->resolving = false;
  state->addresses.clear();
  state->destination.reset();
  state->no_address.reset();
  const SteadyTime now = context_.steady();
  if (!resolved) {
    state->no_address = AttemptError::dns;
    state->resolved_until = now + kBadNameWait;
  } else {
    // Every answer is judged, and only those that pass may be dialled.
    const AddressPolicy& policy = context_.config.addresses;
    for (const IpAddress& address : resolved->addresses) {
      if (!policy.refusal(address, state->url.port, state->url.scheme == "http"))
        state->addresses.push_back(address);
    }
    if (state->addresses.empty()) state->no_address = AttemptError::denied;
    state->resolved_until = now + (state->addresses.empty() ? kBadNameWait : resolved->ttl);
  }
  return state;
}

const std::shared_ptr<const ActiveEvent::Body>& RequestMaker::body(ActiveEvent& event,
                                                                   BodyFormat format) const {
  auto& slot = format == BodyFormat::binary ? event.binary : event.structured;
  if (!slot) {
    wire::HttpMessage message = wire::format_http(event.event, format);
    message.headers.push_back({"User-Agent", "Postrider/0.1"});
    for (const auto& [name, value] : event.event.extensions) {
      if (name == "traceparent") message.headers.push_back({"traceparent", value});
    }
    auto made = std::make_shared<ActiveEvent::Body>();
    made->headers = std::make_shared<const HeaderLines>(std::move(message.headers));
    const Digest digest = sha256(message.body);
    made->digest.assign(digest.begin(), digest.begin() + 16);
    made->bytes = std::make_shared<const std::string>(std::move(message.body));
    slot = std::move(made);
  }
  return slot;
}

HttpRequest RequestMaker::request_of(EndpointState& state, const WebhookId& webhook, std::int64_t seconds,
                                     const ActiveEvent::Body& out) {
  const std::string prefix = signed_prefix(state.scheme, webhook, seconds);
  if (!state.destination) {
    state.destination = std::make_shared<const Destination>(Destination{state.url, state.addresses});
  }
  HttpRequest request;
  request.to = state.destination;
  request.headers = signature_headers(state.scheme, webhook, seconds, state.signer->sign(prefix, *out.bytes));
  request.shared_headers = out.headers;
  request.body = out.bytes;
  request.timeout = context_.config.attempt_timeout;
  return request;
}

}  // namespace postrider::flow
