#pragma once
#include <cstdint>

#include "engine/api/call.h"
#include "engine/ports/service.h"

namespace postrider {

// An endpoint's ETag is its revision, which every change of what was declared makes higher, through all lives
// of its name; health and what is held are not in it. If-Match and If-None-Match (RFC 9110 §13.1) as a
// precondition; INVALID_REQUEST for what cannot be read, or means nothing for a change: of If-None-Match, all
// but "*". A weak tag matches nothing.
Result<Precondition> precondition_of(const Call& call);
// With `ETag`.
ApiResponse tagged(ApiResponse response, std::uint64_t revision);

}  // namespace postrider
