#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/endpoint.h"
#include "engine/core/event.h"
#include "engine/core/ids.h"
#include "engine/core/time.h"

// What is signed, and where the signatures go (DESIGN §10). Computing the codes is engine/crypto's.
namespace postrider {

// "id.timestamp." to which the body is appended: Standard Webhooks. x-webhook: "timestamp.".
std::string signed_prefix(Scheme scheme, const WebhookId& id, std::int64_t unix_seconds);

// One code over prefix + body under one secret, newest secret first.
struct Code {
  enum class Kind { hmac_sha256, ed25519 } kind = Kind::hmac_sha256;
  std::string bytes;
};
// webhook-id, webhook-timestamp, webhook-signature; or webhook-id, X-Webhook-Timestamp, X-Webhook-Signature
// (and -Next during rotation: the old secret's code stays in X-Webhook-Signature until the overlap ends).
// There is no unsigned mode: `codes` is never empty (x-webhook uses HMAC codes only).
Headers signature_headers(Scheme scheme, const WebhookId& id, std::int64_t unix_seconds,
                          const std::vector<Code>& codes);

}  // namespace postrider
