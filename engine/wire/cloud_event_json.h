#pragma once
#include <string>
#include <string_view>

#include "engine/core/event.h"
#include "engine/core/result.h"

namespace postrider::wire {

// parse_json() for an event whose datacontenttype may stand outside of it: `content_type` is taken where it
// names none.
Result<Event> parse_json_with_type(std::string_view text, std::string_view content_type);

// The event as one structured JSON text. JSON data is embedded as it stands; text/* in UTF-8 becomes a
// string; anything else data_base64. `with_ours`: with tenant, environment, target and replayjob. Pure.
std::string format_json(const Event& event, bool with_ours);

}  // namespace postrider::wire
