#include "engine/api/routes.h"

#include <array>

#include "engine/core/event.h"
#include "engine/wire/cloud_event.h"

namespace postrider {
namespace {

// Base64 and the escapes of structured JSON make 256 KiB of data larger; 64 KiB are for its attributes.
constexpr std::size_t kEventBytes = kEventDataBytesMax / 3 * 4 + 64 * 1024;
constexpr std::size_t kCommandBytes = 64 * 1024;
constexpr std::size_t kReplayBytes = 512 * 1024;  // thousands of ids

constexpr std::array kRoutes = {
    Route{"GET", "/healthz", Scope::status_read, Sees::all, true, 0, &Routes::get_healthz},
    Route{"GET", "/readyz", Scope::status_read, Sees::all, true, 0, &Routes::get_readyz},
    Route{"GET", "/metrics", Scope::status_read, Sees::platform, true, 0, &Routes::get_metrics},
    Route{"POST", "/v1/events", Scope::events_publish, Sees::own, false, kEventBytes, &Routes::post_event},
    Route{"GET", "/v1/events/{event}", Scope::deliveries_read, Sees::own, false, 0, &Routes::get_event},
    Route{"GET", "/v1/events/{event}/payload", Scope::payloads_read, Sees::own, false, 0,
          &Routes::get_event_payload},
    Route{"GET", "/v1/tenants", Scope::endpoints_read, Sees::platform, false, 0, &Routes::list_tenants},
    Route{"PUT", "/v1/tenants/{tenant}", Scope::tenants_write, Sees::platform, false, kCommandBytes,
          &Routes::put_tenant},
    Route{"GET", "/v1/tenants/{tenant}", Scope::endpoints_read, Sees::own, false, 0, &Routes::get_tenant},
    Route{"DELETE", "/v1/tenants/{tenant}", Scope::tenants_write, Sees::platform, false, 0,
          &Routes::delete_tenant},
    Route{"GET", "/v1/endpoints", Scope::endpoints_read, Sees::own, false, 0, &Routes::list_endpoints},
    Route{"PUT", "/v1/tenants/{tenant}/endpoints/{id}", Scope::endpoints_write, Sees::own, false,
          kCommandBytes, &Routes::put_endpoint},
    Route{"GET", "/v1/tenants/{tenant}/endpoints/{id}", Scope::endpoints_read, Sees::own, false, 0,
          &Routes::get_endpoint},
    Route{"GET", "/v1/tenants/{tenant}/endpoints/{id}/statistics", Scope::endpoints_read, Sees::own, false, 0,
          &Routes::get_endpoint_statistics},
    Route{"DELETE", "/v1/tenants/{tenant}/endpoints/{id}", Scope::endpoints_write, Sees::own, false, 0,
          &Routes::delete_endpoint},
    Route{"POST", "/v1/tenants/{tenant}/endpoints/{id}/disable", Scope::endpoints_write, Sees::own, false,
          kCommandBytes, &Routes::disable_endpoint},
    Route{"POST", "/v1/tenants/{tenant}/endpoints/{id}/test", Scope::endpoints_write, Sees::own, false,
          kCommandBytes, &Routes::test_endpoint},
    Route{"POST", "/v1/tenants/{tenant}/endpoints/{id}/enable", Scope::endpoints_write, Sees::own, false,
          kCommandBytes, &Routes::enable_endpoint},
    Route{"POST", "/v1/tenants/{tenant}/endpoints/{id}/verify", Scope::endpoints_write, Sees::own, false,
          kCommandBytes, &Routes::verify_endpoint},
    Route{"POST", "/v1/tenants/{tenant}/endpoints/{id}/secrets/rotate", Scope::secrets_rotate, Sees::own,
          false, kCommandBytes, &Routes::rotate_secret},
    Route{"DELETE", "/v1/tenants/{tenant}/endpoints/{id}/secrets/{secret_id}", Scope::secrets_rotate,
          Sees::own, false, 0, &Routes::revoke_secret},
    Route{"GET", "/v1/deliveries", Scope::deliveries_read, Sees::own, false, 0, &Routes::list_deliveries},
    Route{"GET", "/v1/deliveries/{id}/attempts", Scope::deliveries_read, Sees::own, false, 0,
          &Routes::list_attempts},
    Route{"GET", "/v1/deliveries/{id}/payload", Scope::payloads_read, Sees::own, false, 0,
          &Routes::get_payload},
    Route{"GET", "/v1/event-types", Scope::event_types_read, Sees::own, false, 0, &Routes::list_event_types},
    Route{"PUT", "/v1/event-types/{name}", Scope::event_types_write, Sees::platform, false, kCommandBytes,
          &Routes::put_event_type},
    Route{"GET", "/v1/event-types/{name}", Scope::event_types_read, Sees::all, false, 0,
          &Routes::get_event_type},
    Route{"DELETE", "/v1/event-types/{name}", Scope::event_types_write, Sees::platform, false, 0,
          &Routes::delete_event_type},
    Route{"PUT", "/v1/tenants/{tenant}/event-types/{name}", Scope::event_types_write, Sees::own, false,
          kCommandBytes, &Routes::put_event_type},
    Route{"GET", "/v1/tenants/{tenant}/event-types/{name}", Scope::event_types_read, Sees::own, false, 0,
          &Routes::get_event_type},
    Route{"DELETE", "/v1/tenants/{tenant}/event-types/{name}", Scope::event_types_write, Sees::own, false, 0,
          &Routes::delete_event_type},
    Route{"GET", "/v1/deliveries/{id}", Scope::deliveries_read, Sees::own, false, 0, &Routes::get_delivery},
    Route{"GET", "/v1/dead-letters", Scope::deliveries_read, Sees::own, false, 0, &Routes::list_dead_letters},
    Route{"GET", "/v1/dead-letters/summary", Scope::deliveries_read, Sees::own, false, 0,
          &Routes::summarize_dead_letters},
    Route{"GET", "/v1/dead-letters/{delivery_id}", Scope::deliveries_read, Sees::own, false, 0,
          &Routes::get_dead_letter},
    Route{"GET", "/v1/dead-letters/{delivery_id}/payload", Scope::payloads_read, Sees::own, false, 0,
          &Routes::get_dead_letter_payload},
    Route{"POST", "/v1/dead-letters/{delivery_id}/resolve", Scope::dead_letters_write, Sees::own, false,
          kCommandBytes, &Routes::resolve_dead_letter},
    Route{"POST", "/v1/replays", Scope::replays_write, Sees::own, false, kReplayBytes, &Routes::post_replay},
    Route{"GET", "/v1/replays", Scope::replays_read, Sees::own, false, 0, &Routes::list_replays},
    Route{"GET", "/v1/replays/{job}", Scope::replays_read, Sees::own, false, 0, &Routes::get_replay},
    Route{"POST", "/v1/replays/{job}/cancel", Scope::replays_write, Sees::own, false, kCommandBytes,
          &Routes::cancel_replay},
    Route{"POST", "/v1/tokens", Scope::admin, Sees::own, false, kCommandBytes, &Routes::post_token},
    Route{"GET", "/v1/tokens", Scope::admin, Sees::own, false, 0, &Routes::list_tokens},
    Route{"DELETE", "/v1/tokens/{id}", Scope::admin, Sees::own, false, 0, &Routes::delete_token},
    Route{"POST", "/v1/tokens/reset", Scope::admin, Sees::platform, false, kCommandBytes,
          &Routes::reset_token},
    Route{"GET", "/v1/audit", Scope::audit_read, Sees::own, false, 0, &Routes::list_audit},
};

// The next segment, cut off `path` with its slash.
std::string_view next_segment(std::string_view& path) {
  path.remove_prefix(1);
  const auto slash = path.find('/');
  const auto segment = path.substr(0, slash);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(slash);
  return segment;
}

bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& values) {
  values.clear();
  while (!pattern.empty() && !path.empty()) {
    const auto expected = next_segment(pattern), segment = next_segment(path);
    if (!expected.starts_with('{')) {
      if (segment != expected) return false;
      continue;
    }
    auto value = percent_decoded(segment, false);
    if (!value || value->empty()) return false;
    values.push_back(std::move(*value));
  }
  return pattern.empty() && path.empty();
}

constexpr std::size_t kBatchBytes = std::size_t{4} << 20;

}  // namespace

std::size_t body_bytes_max_of(const Route& route, const ApiRequest& head) {
  const bool batch = route.handle == &Routes::post_event && wire::is_batch(head.headers);
  return batch ? kBatchBytes : route.body_bytes_max;
}

std::span<const Route> all_routes() {
  return kRoutes;
}

Match find_route(std::string_view method, std::string_view path) {
  Match match;
  for (const auto& route : kRoutes) {
    std::vector<std::string> values;
    if (!matches(route.pattern, path, values)) continue;
    match.allowed += (match.allowed.empty() ? "" : ", ") + std::string(route.method);
    // The first in the table's order: "summary" is no delivery's id.
    if (route.method != method || match.route) continue;
    match.route = &route;
    match.path = std::move(values);
  }
  return match;
}

void Routes::stop() {
  replays.ask_to_stop();
  scans.stop();
  reader.stop();
  replays.stop();
  teller.stop();
}

void Routes::work(const CallPtr& call, std::function<void()> job) {
  if (!reader.run(std::move(job)))
    call->refuse({Errc::overloaded, "OVERLOADED", "too many look-ups are waiting", "try again in a moment"});
}

void Routes::scan(const CallPtr& call, std::function<void()> job) {
  constexpr std::int64_t kRetrySeconds = Scans::kTimeMax.count() / 1000;
  switch (scans.run(call->grant.tenant, std::move(job))) {
    case Scans::Taken::yes:
      return;
    case Scans::Taken::too_many_of_tenant:
      return call->answer(problem(429,
                                  {Errc::overloaded, "RATE_LIMITED",
                                   "look-ups in the log are under way for this token's tenant already",
                                   "ask for one at a time, and look at the next when its answer has come"},
                                  kRetrySeconds));
    case Scans::Taken::too_many:
      return call->answer(problem(
          503, {Errc::overloaded, "OVERLOADED", "too many look-ups are waiting", "try again in a moment"},
          kRetrySeconds));
  }
}

std::vector<std::string> api_routes() {
  std::vector<std::string> routes;
  for (const auto& route : kRoutes)
    routes.push_back(std::string(route.method) + " " + std::string(route.pattern));
  return routes;
}

}  // namespace postrider
