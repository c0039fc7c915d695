#include <map>

#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/core/bytes.h"
#include "engine/operations/audit.h"
#include "engine/operations/event_lookup.h"
#include "engine/operations/payloads.h"
#include "engine/wire/cloud_event.h"

// The one place where a payload leaves by the API. That it is read stands on the log before its bytes are
// answered: if the log cannot take the fact, there are none.
namespace postrider {
namespace {

Json known_text(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json event_view(const Event& event) {
  Json extensions = Json::object();
  for (const auto& [name, value] : event.extensions) extensions[name] = value;
  return {{"id", event.id},
          {"source", event.source},
          {"type", event.type},
          {"subject", known_text(event.subject)},
          {"time", known_text(event.time)},
          {"datacontenttype", known_text(event.datacontenttype)},
          {"dataschema", known_text(event.dataschema)},
          {"extensions", std::move(extensions)}};
}

ApiResponse payload_answer(const Payload& payload, std::string_view data) {
  const auto& delivery = payload.delivery;
  // Of an event that was asked for by itself there is no delivery to name.
  auto response = json_answer(200, {{"delivery_id", known_text(delivery.id.str())},
                                    {"webhook_id", delivery.webhook_id.str()},
                                    {"tenant", delivery.tenant.str()},
                                    {"endpoint", known_text(delivery.target.endpoint.str())},
                                    {"read_from", payload.from_dead_letter ? "dead-letters" : "events"},
                                    {"event", payload.raw ? Json(nullptr) : event_view(payload.event)},
                                    {"bytes", data.size()},
                                    {"data_base64", base64_encode(data)}});
  response.headers.push_back({"Cache-Control", "no-store"});
  return response;
}

AuditFact audit_of_read(const Actor& actor, const Payload& payload) {
  const auto& delivery = payload.delivery;
  const bool alone = delivery.id.empty();
  auto fact =
      audit_of(actor, "payload_read",
               alone ? "events/" + format_event_position(payload.record) : "deliveries/" + delivery.id.str());
  fact.tenant = delivery.tenant;
  fact.subject_id = alone ? delivery.webhook_id.str() : delivery.id.str();
  fact.event_type = delivery.event_type;
  fact.target = delivery.target.endpoint.str();
  fact.source = std::string(payload.from_dead_letter ? "dead-letters/" : "events/") +
                std::to_string(payload.record.partition) + "@" + std::to_string(payload.record.offset);
  fact.outcome = "shown";
  return fact;
}

}  // namespace

void Routes::get_payload(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  const DeliveryId id(call->path[0]);
  if (!partition_of(id.str()))
    return call->refuse(
        {Errc::invalid, "INVALID_REQUEST", "the path names no delivery id", "write \"dlv_…\""});
  service.show_delivery(id, [self = shared_from_this(), call, id](const Result<Delivery>& delivery) {
    const bool seen = delivery && call->grant.sees(delivery->ref()->tenant);
    if (seen)
      return self->work(call, [self, call, ref = *delivery->ref()] {
        auto desk_copy = self->desk;
        self->show_payload(call, find_payload(desk_copy, ref));
      });
    self->scan(call, [self, call, id] {
      auto desk_copy = self->desk;
      const auto found = find_delivery(desk_copy, id, call->grant.tenant, self->scans.patience());
      if (!found) return call->refuse(found.error());
      self->show_payload(call, find_payload(desk_copy, *found));
    });
  });
}

void Routes::get_dead_letter_payload(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  work(call, [self = shared_from_this(), call] {
    auto desk_copy = self->desk;
    self->show_payload(call,
                       find_dead_letter_payload(desk_copy, DeliveryId(call->path[0]), call->grant.tenant));
  });
}

// On a worker's thread.
void Routes::show_payload(const CallPtr& call, Result<Payload> payload) {
  if (!payload) return call->refuse(payload.error());
  const auto held = std::make_shared<Payload>(*std::move(payload));  // the jobs are copied
  if (held->sealed.empty()) return tell_and_show(call, held);
  // Keys are the shard's.
  post([self = shared_from_this(), call, held] {
    self->service.open_payload(held->sealed_for, held->sealed_target, held->sealed,
                               [self, call, held](Result<Secret> opened) {
                                 if (!opened) return call->refuse(opened.error());
                                 if (held->raw) {
                                   held->event.data = opened->reveal();
                                   return self->tell_and_show(call, held);
                                 }
                                 auto event = wire::parse_protobuf(opened->reveal());
                                 if (!event) return call->refuse(event.error());
                                 held->event = *std::move(event);
                                 self->tell_and_show(call, held);
                               });
  });
}

void Routes::tell_and_show(const CallPtr& call, const std::shared_ptr<Payload>& payload) {
  tell(call, audit_of_read(call->actor, *payload), Untold::nothing_done,
       [call, payload] { call->answer(payload_answer(*payload, payload->event.data)); });
}

}  // namespace postrider
