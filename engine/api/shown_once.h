#pragma once
#include <string_view>

#include "engine/api/http_message.h"
#include "engine/core/secret.h"

namespace postrider {

// The answer, which is a JSON object of at least one member, with a secret as its first member, for no cache
// to keep. Spliced in, so that the secret stands in this one string alone, which the server cleanses once it
// is sent.
ApiResponse with_secret(ApiResponse response, std::string_view name, const Secret& secret);

}  // namespace postrider
