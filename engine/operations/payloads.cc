#include "engine/operations/payloads.h"

#include <utility>

#include "engine/core/registry.h"
#include "engine/operations/dead_letter_reader.h"
#include "engine/operations/newest_first.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

tl::unexpected<Error> unknown_delivery() {
  return fail(Errc::not_found, "NOT_FOUND", "nothing on the log speaks of such a delivery",
              "check the id; attempts are kept for 30 days, dead letters for 7");
}

tl::unexpected<Error> not_told_lately() {
  return fail(Errc::not_found, "NOT_FOUND", "nothing that was told lately speaks of such a delivery",
              "check the id; what lies further back was not looked at");
}

std::optional<DeliveryRef> reference_in(const Desk& desk, const Record& record) {
  if (!record.value) return std::nullopt;
  if (record.topic == Topic::parked) {
    auto fact = wire::decode_parked(desk.environment, *record.value);
    if (auto* state = fact ? std::get_if<ParkedState>(&*fact) : nullptr) return std::move(state->delivery);
    return std::nullopt;
  }
  auto fact = wire::decode_attempts(desk.environment, *record.value);
  if (!fact) return std::nullopt;
  if (auto* attempt = std::get_if<AttemptFact>(&*fact)) return std::move(attempt->delivery);
  if (auto* cancelled = std::get_if<CancelledFact>(&*fact)) return std::move(cancelled->delivery);
  return std::nullopt;
}

// nullopt: gone, or another event stands there since the topic was made again. Position, webhook-id,
// incarnation and job make the delivery id (core/ids.h): the fact names all but the webhook-id, which the
// record must give.
Result<std::optional<Payload>> from_events(Desk& desk, const DeliveryRef& delivery) {
  auto record = desk.log.fetch(Topic::events, delivery.position.partition, delivery.position.offset);
  if (!record && record.error().errc == Errc::not_found) return std::optional<Payload>();
  if (!record) return fail(record.error());
  auto decoded = wire::decode_kafka(record->key, record->headers, record->value.value_or(""), true);
  if (!decoded) return std::optional<Payload>();
  auto& event = decoded->event;
  if (event.tenant != delivery.tenant || event.replay_job != delivery.replay_job ||
      (event.target && *event.target != delivery.target) ||
      webhook_id(event.tenant, event.source, event.id) != delivery.webhook_id)
    return std::optional<Payload>();
  Payload payload;
  payload.delivery = delivery;
  payload.record = delivery.position;
  if (decoded->sealed) {
    payload.sealed = std::exchange(event.data, {});
    payload.sealed_for = delivery.tenant;
    payload.sealed_target = format_target(delivery.target);
  }
  payload.event = std::move(event);
  return std::optional(std::move(payload));
}

}  // namespace

Result<DeliveryRef> find_delivery(Desk& desk, const DeliveryId& id, const TenantId& within,
                                  const Patience& patience) {
  const auto partition = partition_of(id.str());
  if (!partition) return unknown_delivery();
  NewestFirst<DeliveryRef> walk(
      desk,
      {.since = 0,
       .until = 0,
       .partition = partition,
       .records_max = kReferencesLookedAt,
       .patience = patience},
      [&](const Record& record) -> std::optional<DeliveryRef> {
        if (record.key != id.str()) return std::nullopt;
        auto delivery = reference_in(desk, record);
        if (!delivery || delivery->id != id || (!within.empty() && delivery->tenant != within))
          return std::nullopt;
        return delivery;
      });
  if (auto done = walk.begin({Topic::attempts, Topic::parked}, {}); !done) return fail(done.error());
  auto found = walk.next();
  if (!found) return fail(found.error());
  if (*found) return std::move((*found)->item);
  // Given up without an attempt: only its letter speaks of it.
  const auto letter = show_dead_letter(desk, id, within);
  if (!letter && letter.error().errc != Errc::not_found) return fail(letter.error());
  if (!letter) return walk.more() ? not_told_lately() : unknown_delivery();
  return letter->letter.delivery;
}

Result<Payload> find_payload(Desk& desk, const DeliveryRef& delivery) {
  auto payload = from_events(desk, delivery);
  if (!payload) return fail(payload.error());
  if (*payload) return std::move(**payload);
  auto letter = find_dead_letter_payload(desk, delivery.id, delivery.tenant);
  if (letter || letter.error().errc != Errc::not_found) return letter;
  return fail(Errc::not_found, "PAYLOAD_GONE", "the event's bytes are no longer on the log",
              "`events` has removed them, and no dead letter holds them");
}

Result<Payload> find_dead_letter_payload(Desk& desk, const DeliveryId& id, const TenantId& within) {
  DeadLetterFilter filter;
  filter.tenant = within;
  filter.ids = {id};
  DeadLetterReader reader(desk, filter);
  if (auto done = reader.prepare(); !done) return fail(done.error());
  std::optional<DeadLetterView> found;
  auto done = reader.for_each(true, [&](DeadLetterView view) -> Result<bool> {
    found = std::move(view);
    return false;
  });
  if (!done) return fail(done.error());
  if (!found)
    return fail(Errc::not_found, "NOT_FOUND", "there is no dead letter of " + id.str(),
                "list them; a dead letter is kept for 7 days");
  auto& letter = found->letter;
  if (letter.sealed_payload.empty())
    return fail(Errc::not_found, "PAYLOAD_GONE", "the dead letter holds no payload",
                "no key could be had when it was written; `events` may still hold it at its position");
  Payload payload;
  payload.raw = category_of(letter.reason) == Category::bad_event;
  payload.sealed = std::move(letter.sealed_payload);
  if (!payload.raw) {
    payload.sealed_for = letter.delivery.tenant;
    payload.sealed_target = format_target(letter.delivery.target);
  }
  payload.delivery = std::move(letter.delivery);
  payload.record = found->place;
  payload.from_dead_letter = true;
  return payload;
}

}  // namespace postrider
