#pragma once
#include "engine/api/json_text.h"
#include "engine/core/delivery.h"
#include "engine/operations/dead_letters.h"
#include "engine/operations/replay.h"
#include "engine/ports/service.h"

// Values as the API shows them: snake_case, RFC 3339 times, null for what there is not. Nothing sealed or
// secret.
namespace postrider {

Json view_of(const EndpointView& endpoint, std::int64_t now_ms);
Json view_of(const Delivery& delivery);
Json view_of(const AttemptFact& attempt);
Json error_view(AttemptError error);  // "TIMEOUT"
Json view_of(const DeadLetterView& letter);
Json view_of(const DeadLetterSummary& summary);
Json view_of(const ReplayJob& job);
Json view_of(const ReplayReport& report);
Json view_of(Position position);

}  // namespace postrider
