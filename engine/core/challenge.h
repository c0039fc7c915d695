#pragma once
#include <string>
#include <string_view>

#include "engine/core/endpoint.h"
#include "engine/core/event.h"
#include "engine/core/outcome.h"
#include "engine/core/url.h"

// What an endpoint is asked before anything is delivered to it, and what proves it. Customers' receivers hold
// to these words (consumers/README.md): they are for ever.
namespace postrider {

inline constexpr std::string_view kChallengeHeader = "webhook-challenge";
inline constexpr std::string_view kChallengeType = "postrider.endpoint.challenge";

// {"type": "postrider.endpoint.challenge", "challenge": "chl_…"}: signed and formatted like any other.
Event challenge_event(const EndpointDef& def, std::string_view value);

// A 2xx that gives the value back: in the header of that name, or within the first 1,024 bytes of its body.
bool gives_back(const Outcome& outcome, std::string_view value);

// Whether what was proven of one URL does not hold for the other: another party may be behind it. It holds
// for what is dialled and asked for byte by byte: on a host that strangers share, a path or a query tells
// them apart.
bool is_elsewhere(const Url& one, const Url& other);

}  // namespace postrider
