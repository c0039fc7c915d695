// The verifier that customers copy: any headers and any body; and what was signed and then changed. Input:
// header lines (secret, id, timestamp, signature, x, next, sign, at, change), an empty line, the body.
#include "consumers/verifier.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <string>

#include "engine/core/bytes.h"
#include "engine/core/secret.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;
constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";

std::string value_of(const Headers& headers, std::string_view name) {
  const auto* found = find_header(headers, name);
  return found == nullptr ? std::string() : *found;
}

std::string code_over(std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> code{};
  unsigned length = 0;
  HMAC(EVP_sha256(), kKey.data(), static_cast<int>(kKey.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), code.data(), &length);
  return {reinterpret_cast<const char*>(code.data()), length};
}

webhooks::Webhook webhook_of(const Headers& given, std::string_view body) {
  const auto view = [&](std::string_view name) {
    const auto* found = find_header(given, name);
    return found == nullptr ? std::string_view() : std::string_view(*found);
  };
  return {view("id"), view("timestamp"), view("signature"), view("x"), view("next"), body};
}

// Our parser and the customer's take the same secrets.
void judge_secret(const std::string& text, std::string_view bytes) {
  webhooks::Verifier verifier;
  const bool theirs = verifier.add_secret(text);
  const bool ours = parse_signing_secret(text).has_value();
  if (text.starts_with("whpk_")) return;                    // a public key is no secret of ours
  if (text.starts_with("whsk_") && theirs != ours) return;  // of a pair they look at the public half alone
  if (theirs != ours) broken("a secret is one of ours and not the customer's, or the other way round", bytes);
}

// Nobody without the key makes a signature: what verifies was signed by us, byte for byte.
void judge_unsigned(const webhooks::Verifier& verifier, const Headers& given, std::string_view body,
                    std::string_view bytes) {
  const auto webhook = webhook_of(given, body);
  const auto verdict = verifier.verify(webhook, kNow);
  if (webhooks::explain(verdict) == std::string()) broken("a verdict without words", bytes);
  if (verdict != webhooks::Verdict::verified) return;
  const std::string stamp(webhook.timestamp);
  const bool standard = !webhook.signature.empty();
  const auto code =
      code_over((standard ? std::string(webhook.id) + "." : std::string()) + stamp + "." + std::string(body));
  const auto said = standard ? std::string(webhook.signature)
                             : std::string(webhook.x_signature) + std::string(webhook.x_signature_next);
  std::string lower = said;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  if ((standard ? said.find(base64_encode(code)) : lower.find(hex_encode(code))) == std::string::npos)
    broken("verified without a signature", bytes);
}

// Signed, then one byte is changed: verified if and only if nothing was.
void judge_changed(const webhooks::Verifier& verifier, const Headers& given, std::string_view body,
                   std::string_view bytes) {
  const auto stamp = std::to_string(kNow);
  std::string id = value_of(given, "id");
  if (id.empty()) id = "msg_1";
  std::string signature = "v1," + base64_encode(code_over(id + "." + stamp + "." + std::string(body)));
  std::string sent(body);
  webhooks::Webhook webhook{id, stamp, signature, {}, {}, sent};
  if (verifier.verify(webhook, kNow) != webhooks::Verdict::verified)
    broken("what was signed is not verified", bytes);
  const auto change = value_of(given, "change");
  const auto at = value_of(given, "at");
  if (change.empty() || change[0] == 0) return;
  std::string& part = at.starts_with('i') ? id : at.starts_with('s') ? signature : sent;
  if (part.empty()) return;
  auto& byte = part[at.size() * 7 % part.size()];
  byte = static_cast<char>(byte ^ change[0]);
  webhook = {id, stamp, signature, {}, {}, sent};
  if (verifier.verify(webhook, kNow) == webhooks::Verdict::verified)
    broken("what was changed is verified", bytes);
}

}  // namespace

void verifier(std::string_view bytes) {
  std::string_view rest = bytes;
  const auto given = take_headers(rest);
  judge_secret(value_of(given, "secret"), bytes);
  webhooks::Verifier verifier;
  if (!verifier.add_secret("whsec_" + base64_encode(kKey))) broken("a secret of ours is none", bytes);
  judge_unsigned(verifier, given, rest, bytes);
  judge_changed(verifier, given, rest, bytes);
  if (const auto asked = webhooks::challenge(value_of(given, "challenge"), rest))
    if (asked->data() < rest.data() || asked->data() + asked->size() > rest.data() + rest.size())
      broken("a challenge that nobody signed is given back", bytes);
}

}  // namespace postrider::fuzz
