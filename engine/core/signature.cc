#include "engine/core/signature.h"

#include <cstdlib>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

Headers standard_headers(const WebhookId& id, const std::string& seconds, const std::vector<Code>& codes) {
  std::string signature;
  for (const Code& code : codes) {
    if (!signature.empty()) signature += ' ';
    signature += code.kind == Code::Kind::ed25519 ? "v1a," : "v1,";
    signature += base64_encode(code.bytes);
  }
  Headers headers;  // an initializer list would copy each of them
  headers.reserve(3);
  headers.push_back({"webhook-id", id.str()});
  headers.push_back({"webhook-timestamp", seconds});
  headers.push_back({"webhook-signature", std::move(signature)});
  return headers;
}

Headers x_webhook_headers(const WebhookId& id, const std::string& seconds, const std::vector<Code>& codes) {
  const Code* newest = nullptr;
  const Code* oldest = nullptr;
  for (const Code& code : codes) {
    if (code.kind != Code::Kind::hmac_sha256) continue;
    if (newest == nullptr) newest = &code;
    oldest = &code;
  }
  if (newest == nullptr) std::abort();  // there is no unsigned mode
  const auto spell = [](const Code& code) { return "sha256=" + hex_encode(code.bytes); };
  Headers headers{
      {"webhook-id", id.str()}, {"X-Webhook-Timestamp", seconds}, {"X-Webhook-Signature", spell(*oldest)}};
  if (newest != oldest) headers.push_back({"X-Webhook-Signature-Next", spell(*newest)});
  return headers;
}

}  // namespace

std::string signed_prefix(Scheme scheme, const WebhookId& id, std::int64_t unix_seconds) {
  const std::string seconds = std::to_string(unix_seconds) + ".";
  return scheme == Scheme::standard_webhooks ? id.str() + "." + seconds : seconds;
}

Headers signature_headers(Scheme scheme, const WebhookId& id, std::int64_t unix_seconds,
                          const std::vector<Code>& codes) {
  if (codes.empty()) std::abort();  // there is no unsigned mode
  const std::string seconds = std::to_string(unix_seconds);
  return scheme == Scheme::standard_webhooks ? standard_headers(id, seconds, codes)
                                             : x_webhook_headers(id, seconds, codes);
}

}  // namespace postrider
