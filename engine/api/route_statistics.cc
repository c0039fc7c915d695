// How an endpoint has done lately, and what waits for it here.
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/operations/endpoint_statistics.h"

namespace postrider {
namespace {

constexpr Millis kWindow = std::chrono::hours(1), kWindowMost = std::chrono::hours(24 * 30);

Result<Millis> window_of(const Call& call) {
  const auto text = call.parameter("window");
  if (!call.query.contains("window")) return kWindow;
  const auto window = parse_duration(text);
  if (!window || *window < std::chrono::seconds(1) || *window > kWindowMost)
    return fail(Errc::invalid, "INVALID_REQUEST", "window is no span of time between 1s and 30d",
                "write 15m, 1h or 7d");
  return *window;
}

Json statistics_view(const EndpointStatistics& sum, const EndpointView& endpoint) {
  Json outcomes = Json::object();
  for (const auto& [outcome, count] : sum.by_outcome) outcomes[outcome] = count;
  Json latency = nullptr;
  if (sum.latency)
    latency = {{"p50", sum.latency->p50},
               {"p95", sum.latency->p95},
               {"p99", sum.latency->p99},
               {"max", sum.latency->max}};
  return {{"tenant", endpoint.def.tenant.str()},
          {"id", endpoint.def.id.str()},
          {"since", time_or_null(sum.since)},
          {"until", time_or_null(sum.until)},
          {"looked_back_to", time_or_null(sum.looked_back_to)},
          {"attempts",
           {{"total", sum.attempts},
            {"succeeded", sum.succeeded},
            {"failed", sum.failed},
            {"by_outcome", std::move(outcomes)}}},
          {"latency_ms", std::move(latency)},
          {"deliveries", {{"delivered", sum.delivered}, {"waiting", sum.waiting}, {"dead", sum.dead}}},
          {"here",
           {{"state", name_of(endpoint.health)},
            {"queued", endpoint.queued},
            {"in_flight", endpoint.in_flight},
            {"held", endpoint.held}}}};
}

}  // namespace

void Routes::get_endpoint_statistics(CallPtr call) {
  if (auto fine = call->only({"window"}); !fine) return call->refuse(fine.error());
  for (const auto& part : call->path)
    if (!is_tenant_or_endpoint_id(part))
      return call->refuse({Errc::invalid, "INVALID_REQUEST", "the path names no tenant or endpoint id",
                           "use 1 to 64 of A-Z, a-z, 0-9, _ and -"});
  const auto window = window_of(*call);
  if (!window) return call->refuse(window.error());
  service.show_endpoint(call->as_seen(TenantId(call->path[0])), EndpointId(call->path[1]),
                        [self = shared_from_this(), call, window = *window](Result<EndpointView> endpoint) {
                          if (!endpoint) return call->refuse(endpoint.error());
                          const auto shown =
                              std::make_shared<EndpointView>(*std::move(endpoint));  // the job is copied
                          self->scan(call, [self, call, window, shown] {
                            auto desk_copy = self->desk;
                            const auto until = desk_copy.now_ms();
                            const auto sum = endpoint_statistics(
                                desk_copy, shown->def.tenant, {shown->def.id, shown->def.incarnation},
                                until - window.count(), 0, self->scans.patience());
                            if (!sum) return call->refuse(sum.error());
                            auto whole = *sum;
                            whole.until = until;
                            call->answer(json_answer(200, statistics_view(whole, *shown)));
                          });
                        });
}

}  // namespace postrider
