// Events as they were published: what they say of themselves, and for those who may read payloads, all of it.
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/operations/event_lookup.h"

namespace postrider {
namespace {

// What a customer's words may stand in (subject, extensions) is shown with the payload, and told as it is.
ApiResponse event_answer(const Payload& found) {
  const auto& event = found.event;
  const auto known = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return json_answer(200, {{"id", event.id},
                           {"webhook_id", found.delivery.webhook_id.str()},
                           {"tenant", event.tenant.str()},
                           {"source", event.source},
                           {"type", event.type},
                           {"time", known(event.time)},
                           {"datacontenttype", known(event.datacontenttype)},
                           {"dataschema", known(event.dataschema)},
                           {"partition", found.record.partition},
                           {"offset", found.record.offset},
                           {"bytes", found.sealed.empty() ? Json(event.data.size()) : Json(nullptr)},
                           {"endpoint", event.target ? Json(event.target->endpoint.str()) : Json(nullptr)},
                           {"replay_job", known(event.replay_job.str())}});
}

bool is_webhook_id(std::string_view text) {
  return text.starts_with("msg_");
}

}  // namespace

void Routes::with_event(const CallPtr& call, std::function<void(Result<Payload>)> then) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  const std::string& id = call->path[0];
  const auto position = parse_event_position(id);
  if (!position && !is_webhook_id(id))
    return call->refuse({Errc::invalid, "INVALID_REQUEST", "the path names no event",
                         "write its webhook_id, or PARTITION-OFFSET as in 3-17"});
  const auto at = [self = shared_from_this(), call, then](std::optional<Position> place) {
    if (!place)
      return self->scan(call, [self, call, then] {
        auto desk_copy = self->desk;
        then(find_event(desk_copy, WebhookId(call->path[0]), call->grant.tenant, self->scans.patience()));
      });
    self->work(call, [self, call, then, place] {
      auto desk_copy = self->desk;
      then(find_event(desk_copy, *place, call->grant.tenant));
    });
  };
  if (position) return at(position);
  // Its deliveries, where this instance knows any, lead there at once.
  service.find_deliveries(
      id, [self = shared_from_this(), call, at](const Result<std::vector<DeliveryId>>& ids) {
        if (!ids || ids->empty()) return at(std::nullopt);
        self->service.show_delivery(ids->front(), [call, at](const Result<Delivery>& delivery) {
          const auto ref = delivery ? delivery->ref() : std::optional<DeliveryRef>();
          const bool leads = ref && ref->replay_job.empty() && ref->webhook_id.str() == call->path[0];
          at(leads ? std::optional(ref->position) : std::nullopt);
        });
      });
}

void Routes::get_event(CallPtr call) {
  with_event(call, [call](const Result<Payload>& found) {
    found ? call->answer(event_answer(*found)) : call->refuse(found.error());
  });
}

void Routes::get_event_payload(CallPtr call) {
  with_event(call, [self = shared_from_this(), call](Result<Payload> found) {
    self->show_payload(call, std::move(found));
  });
}

}  // namespace postrider
