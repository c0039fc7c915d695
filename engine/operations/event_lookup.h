#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/operations/patience.h"
#include "engine/operations/payloads.h"

// Events as they were published, found by what the answer to their publishing names.
namespace postrider {

// "3-17": partition and offset in `events`.
std::optional<Position> parse_event_position(std::string_view text);
std::string format_event_position(Position position);

// How many events are looked at, the newest first, for one that no delivery leads to.
inline constexpr std::uint64_t kEventsLookedAt = 500'000;

// The event there; its delivery names no delivery and no endpoint. Errc::not_found: none, or not `within`
// that tenant, which is told in the same words; or a record that is no event of anybody's.
Result<Payload> find_event(Desk& desk, Position position, const TenantId& within);
// As it was published, no replay of it. Errc::not_found as above; also if it lies further back than was
// looked, which the words tell.
Result<Payload> find_event(Desk& desk, const WebhookId& id, const TenantId& within,
                           const Patience& patience = {});

}  // namespace postrider
