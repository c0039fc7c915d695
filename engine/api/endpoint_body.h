#pragma once
#include "engine/api/http_message.h"
#include "engine/core/retry_policy.h"
#include "engine/ports/service.h"

namespace postrider {

// The body of PUT …/endpoints/{id}: url, types, retry, scheme, format, limits, secrets. Absent: the default.
// Secrets are parsed at once and their text is cleansed. Errc::invalid: INVALID_ENDPOINT_URL, INVALID_SECRET,
// INVALID_REQUEST; no error repeats a secret or a URL's query. tenant, id and actor are the caller's to set.
// `development`: plain http is accepted for loopback hosts.
Result<EndpointSpec> parse_endpoint_body(ApiRequest& request, const RetryPolicy& default_retry,
                                         bool development);

// The body of POST …/secrets/rotate: overlap ("24h", at most 30 days; absent: 24 hours), secret. Errors as
// above. tenant, endpoint and actor are the caller's to set.
Result<SecretRotation> parse_rotation_body(ApiRequest& request);

}  // namespace postrider
