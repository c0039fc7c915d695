#pragma once
#include "engine/operations/dead_letters.h"
#include "ops/command_line.h"

namespace postrider::ops {

// Which dead letters the line selects; times that say how long ago are counted from `now_ms`. WRONG_USE: an
// id, type, reason or time is none.
Result<DeadLetterFilter> filter_of(const CommandLine& line, std::int64_t now_ms);

// "attempts_exhausted, expired, …": every reason there is.
std::string all_reasons();

// "2026-01-31T12:00:00Z", or "2h": that long before now. Unix ms.
Result<std::int64_t> parse_moment(const std::string& text, const char* option, std::int64_t now_ms);

}  // namespace postrider::ops
