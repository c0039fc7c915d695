#include "engine/operations/event_lookup.h"

#include <charconv>
#include <utility>

#include "engine/operations/newest_first.h"
#include "engine/wire/cloud_event.h"

namespace postrider {
namespace {

tl::unexpected<Error> unknown_event() {
  return fail(Errc::not_found, "NOT_FOUND", "there is no such event, or no longer",
              "give what the answer to its publishing names: its webhook_id, or PARTITION-OFFSET");
}

tl::unexpected<Error> not_among_the_newest() {
  return fail(Errc::not_found, "NOT_FOUND",
              "there is no such event among the newest; older ones were not looked at",
              "give PARTITION-OFFSET, which the answer to its publishing names too");
}

std::optional<Payload> event_in(const Record& record, const TenantId& within) {
  auto decoded = wire::decode_kafka(record.key, record.headers, record.value.value_or(""), true);
  if (!decoded || decoded->event.tenant.empty()) return std::nullopt;
  auto& event = decoded->event;
  if (!within.empty() && event.tenant != within) return std::nullopt;
  Payload found;
  found.record = {record.partition, record.offset};
  found.delivery.position = found.record;
  found.delivery.tenant = event.tenant;
  found.delivery.event_id = event.id;
  found.delivery.event_type = event.type;
  found.delivery.replay_job = event.replay_job;
  found.delivery.webhook_id = webhook_id(event.tenant, event.source, event.id);
  if (decoded->sealed && event.target) {
    found.sealed = std::exchange(event.data, {});
    found.sealed_for = event.tenant;
    found.sealed_target = format_target(*event.target);
  }
  found.event = std::move(event);
  return found;
}

}  // namespace

std::optional<Position> parse_event_position(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto number = [](std::string_view digits, auto& value) {
    if (digits.empty() || digits.front() == '-') return false;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  Position position;
  if (!number(text.substr(0, dash), position.partition) || !number(text.substr(dash + 1), position.offset))
    return std::nullopt;
  return position;
}

std::string format_event_position(Position position) {
  return std::to_string(position.partition) + "-" + std::to_string(position.offset);
}

Result<Payload> find_event(Desk& desk, Position position, const TenantId& within) {
  const auto partitions = desk.log.partitions(Topic::events);
  if (!partitions) return fail(partitions.error());
  if (position.partition >= *partitions) return unknown_event();
  const auto extent = desk.log.extent(Topic::events, position.partition);
  if (!extent) return fail(extent.error());
  if (position.offset < extent->begin || position.offset >= extent->end) return unknown_event();
  auto record = desk.log.fetch(Topic::events, position.partition, position.offset);
  if (!record && record.error().errc == Errc::not_found) return unknown_event();
  if (!record) return fail(record.error());
  auto found = event_in(*record, within);
  if (!found) return unknown_event();
  return *std::move(found);
}

Result<Payload> find_event(Desk& desk, const WebhookId& id, const TenantId& within,
                           const Patience& patience) {
  NewestFirst<Payload> walk(
      desk, {.since = 0, .until = 0, .partition = {}, .records_max = kEventsLookedAt, .patience = patience},
      [&](const Record& record) -> std::optional<Payload> {
        auto found = event_in(record, within);
        if (!found || found->delivery.webhook_id != id || !found->delivery.replay_job.empty())
          return std::nullopt;
        return found;
      });
  if (auto done = walk.begin({Topic::events}, {}); !done) return fail(done.error());
  auto found = walk.next();
  if (!found) return fail(found.error());
  if (!*found) return walk.more() ? not_among_the_newest() : unknown_event();
  return std::move((*found)->item);
}

}  // namespace postrider
