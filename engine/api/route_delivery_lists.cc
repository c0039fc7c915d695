#include <algorithm>
#include <array>

#include "engine/api/cursor.h"
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/api/views.h"
#include "engine/core/registry.h"
#include "engine/operations/delivery_list.h"

// Deliveries page by page, and the attempts of one: read from the log, so that any instance answers for any
// partition.
namespace postrider {
namespace {

constexpr std::array kListedStates = {DeliveryState::parked, DeliveryState::delivered, DeliveryState::dead,
                                      DeliveryState::cancelled};
constexpr std::size_t kEventIdBytesMax = 1024;

tl::unexpected<Error> wrong_filter(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

Result<DeliveryFilter> delivery_filter_of(const Call& call) {
  DeliveryFilter filter;
  for (const auto* name : {"tenant", "endpoint"})
    if (call.query.contains(name) && !is_tenant_or_endpoint_id(call.parameter(name)))
      return wrong_filter(std::string(name) + " is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  filter.tenant = call.filter_as_seen(TenantId(call.parameter("tenant")));
  filter.endpoint = EndpointId(call.parameter("endpoint"));
  filter.type = call.parameter("type");
  if (call.query.contains("type") && !is_type_pattern(filter.type))
    return wrong_filter("type is no type or pattern", "write \"order.created\", \"order.*\" or \"*\"");
  filter.event_id = call.parameter("event_id");
  filter.webhook_id = call.parameter("webhook_id");
  filter.replay_job = ReplayJobId(call.parameter("replay_job"));
  for (const auto* name : {"event_id", "webhook_id", "replay_job"})
    if (call.query.contains(name) &&
        (call.parameter(name).empty() || call.parameter(name).size() > kEventIdBytesMax))
      return wrong_filter(std::string(name) + " is empty or too long", "give the id as it is shown");
  if (call.query.contains("state")) {
    const auto word = call.parameter("state");
    const auto* state = std::find_if(kListedStates.begin(), kListedStates.end(),
                                     [&](DeliveryState each) { return name_of(each) == word; });
    if (state == kListedStates.end())
      return wrong_filter("there is no such state", "write parked, delivered, dead or cancelled");
    filter.state = *state;
  }
  const auto since = call.time("since"), until = call.time("until");
  if (!since) return fail(since.error());
  if (!until) return fail(until.error());
  filter.since = *since;
  filter.until = *until;
  return filter;
}

Json row_view(const DeliveryRow& row) {
  auto view = view_of(row.delivery);
  view.erase("fan_out");  // the page may not have met a fact that tells it
  view["attempts"] = row.attempts;
  view["last_status"] = row.last_status == 0 ? Json(nullptr) : Json(row.last_status);
  view["last_error"] = row.last_error == AttemptError::none ? Json(nullptr) : error_view(row.last_error);
  view["changed_at"] = time_or_null(row.changed_at);
  return view;
}

Json page_view(const DeliveryPage& page, const Cursor& cursor) {
  Json rows = Json::array();
  for (const auto& row : page.rows) rows.push_back(row_view(row));
  return {{"deliveries", std::move(rows)},
          {"next_cursor", page.next ? Json(cursor.next(format_place(*page.next))) : Json(nullptr)},
          {"looked_back_to", time_or_null(page.looked_back_to)},
          {"later_facts_checked", page.later_facts_checked}};
}

ApiResponse attempts_answer(const std::vector<AttemptFact>& attempts, Json next) {
  Json list = Json::array();
  for (const auto& attempt : attempts) list.push_back(view_of(attempt));
  return json_answer(200, {{"attempts", std::move(list)}, {"next_cursor", std::move(next)}});
}

// The view's attempts are all there were if they are numbered from one on without a gap: after a takeover it
// may lack the first.
bool is_whole(const std::vector<AttemptFact>& attempts) {
  std::uint32_t next = 1;
  for (const auto& attempt : attempts) {
    if (attempt.number > next) return false;
    next = std::max(next, attempt.number + 1);
  }
  return !attempts.empty();
}

}  // namespace

void Routes::list_deliveries(CallPtr call) {
  if (auto fine = call->only({"tenant", "endpoint", "type", "event_id", "webhook_id", "replay_job", "state",
                              "since", "until", "limit", "cursor"});
      !fine)
    return call->refuse(fine.error());
  const auto filter = delivery_filter_of(*call);
  if (!filter) return call->refuse(filter.error());
  const auto limit = call->limit(kDeliveriesListed, kDeliveriesListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto from = walk_from(*call);
  if (!from) return call->refuse(from.error());
  scan(call, [self = shared_from_this(), call, filter = *filter, from = *from, limit = *limit] {
    auto desk_copy = self->desk;
    const auto page = postrider::list_deliveries(desk_copy, filter, from, limit, self->scans.patience());
    if (!page) return call->refuse(page.error());
    call->answer(json_answer(200, page_view(*page, Cursor(*call))));
  });
}

void Routes::list_attempts(CallPtr call) {
  if (auto fine = call->only({"limit", "cursor"}); !fine) return call->refuse(fine.error());
  const DeliveryId id(call->path[0]);
  if (!partition_of(id.str()))
    return call->refuse({Errc::invalid, "INVALID_REQUEST", "the path names no delivery id",
                         "write \"dlv_…\"; GET /v1/deliveries/{id} takes other ids"});
  const auto limit = call->limit(kDeliveriesListed, kDeliveriesListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto from = walk_from(*call);
  if (!from) return call->refuse(from.error());
  const auto on_the_log = [self = shared_from_this(), call, id, from = *from, limit = *limit] {
    self->scan(call, [self, call, id, from, limit] {
      auto desk_copy = self->desk;
      const auto page =
          postrider::list_attempts(desk_copy, id, call->grant.tenant, from, limit, self->scans.patience());
      if (!page) return call->refuse(page.error());
      if (page->attempts.empty() && !page->next && from.empty())
        return call->refuse({Errc::not_found, "NOT_FOUND", "nothing on the log speaks of an attempt of it",
                             "check the id; attempts are kept for 30 days"});
      call->answer(attempts_answer(
          page->attempts, page->next ? Json(Cursor(*call).next(format_place(*page->next))) : Json(nullptr)));
    });
  };
  if (!from->empty()) return on_the_log();
  // The owner's view has them at hand, as a rule.
  service.show_delivery(id, [call, on_the_log, limit = *limit](const Result<Delivery>& delivery) {
    if (!delivery || !call->grant.sees(delivery->ref()->tenant)) return on_the_log();
    auto attempts = delivery->attempts();
    if (attempts.size() > limit || !is_whole(attempts)) return on_the_log();
    std::reverse(attempts.begin(), attempts.end());
    call->answer(attempts_answer(attempts, nullptr));
  });
}

}  // namespace postrider
