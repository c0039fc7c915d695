#pragma once
#include <string>

#include "engine/core/event.h"

namespace postrider::wire {

// The event as one structured JSON text. JSON data is embedded as it stands; text/* in UTF-8 becomes a
// string; anything else data_base64. `with_ours`: with tenant, environment, target and replayjob. Pure.
std::string format_json(const Event& event, bool with_ours);

}  // namespace postrider::wire
