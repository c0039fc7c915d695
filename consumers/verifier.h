// Verifies Postrider's webhooks. One header: copy it into your project; it needs C++17 and OpenSSL 1.1.1 or
// later (link with -lcrypto).
//
// clang-format off
//   webhooks::Verifier verifier;
//   if (!verifier.add_secret(std::getenv("WEBHOOK_SECRET"))) die("malformed secret");
//   ...
//   webhooks::Webhook webhook;                        // for each request
//   webhook.id = header("webhook-id");
//   webhook.timestamp = header("webhook-timestamp");  // x-webhook: header("X-Webhook-Timestamp")
//   webhook.signature = header("webhook-signature");  // x-webhook: .x_signature and .x_signature_next
//   webhook.body = raw_body;                          // the bytes as they came, before any parsing
//   if (verifier.verify(webhook, std::time(nullptr)) != webhooks::Verdict::verified) answer(401);
//
// Three schemes, as the endpoint was set up:
//   v1         webhook-signature: "v1,<base64>"    HMAC-SHA256 over "id.timestamp.body", secret whsec_…
//   v1a        webhook-signature: "v1a,<base64>"   Ed25519 over the same, public key whpk_… (or the pair, whsk_…)
//   x-webhook  X-Webhook-Signature: "sha256=<hex>" HMAC-SHA256 over "timestamp.body", secret whsec_…
// clang-format on
// Give every secret that is valid: while one is replaced by another, a webhook carries a signature under
// each, and one that matches is enough. A verified webhook may still be a repeat: drop a `webhook-id` that
// you have processed. (Under x-webhook the id is not signed.)
//
// A Verifier is filled first and then only read: verify() may be called from several threads. Comparisons
// take the same time wherever the difference is. Formats: https://www.standardwebhooks.com (version 1).
#pragma once
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace webhooks {

// Seconds that a timestamp may lie in the past or in the future.
inline constexpr std::int64_t kToleranceSeconds = 300;

enum class Verdict {
  verified,
  missing_header,   // id, timestamp or signature is absent
  bad_timestamp,    // not a number of seconds since 1970
  too_old,          // signed more than 300 s ago: perhaps recorded and sent again
  too_new,          // signed more than 300 s in the future: look at your clock
  wrong_signature,  // under no secret that was given
};

inline const char* explain(Verdict verdict) {
  switch (verdict) {
    case Verdict::verified:
      return "verified";
    case Verdict::missing_header:
      return "a header is missing";
    case Verdict::bad_timestamp:
      return "the timestamp is no number";
    case Verdict::too_old:
      return "signed more than 300 s ago";
    case Verdict::too_new:
      return "signed more than 300 s in the future";
    case Verdict::wrong_signature:
      return "no signature matches";
  }
  return "";
}

// What came in. Header values as they came; leave absent ones empty. Everything borrows for the call.
struct Webhook {
  std::string_view id;                // webhook-id
  std::string_view timestamp;         // webhook-timestamp, or X-Webhook-Timestamp
  std::string_view signature;         // webhook-signature
  std::string_view x_signature;       // X-Webhook-Signature
  std::string_view x_signature_next;  // X-Webhook-Signature-Next (during rotation)
  std::string_view body;
};

namespace detail {

// RFC 4648 §4, padding required, nothing else tolerated.
inline std::optional<std::string> base64_decode(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.back() != '=' ? 0 : text[text.size() - 2] != '=' ? 1 : 2;
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const auto digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<std::uint32_t>(digit)) & 0xFFFFFF;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes += static_cast<char>(bits >> held & 0xFF);
    }
  }
  if ((bits & ((1U << held) - 1)) != 0) return std::nullopt;  // two spellings of the same bytes
  return bytes;
}

inline std::optional<std::string> hex_decode(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

inline bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

inline const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

inline std::string hmac_sha256(std::string_view key, std::string_view message) {
  unsigned char code[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(message), message.size(), code,
       &length);
  return {reinterpret_cast<char*>(code), length};
}

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

inline bool ed25519_verifies(EVP_PKEY* key, std::string_view signature, std::string_view message) {
  std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
  return context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message),
                          message.size()) == 1;
}

}  // namespace detail

// Of a verified webhook: what its `webhook-challenge` header asks to be given back, in a 200 with the same
// header; nullopt: it asks nothing. Only what stands in the signed body counts, and the answer borrows from
// it.
//   if (auto challenge = webhooks::challenge(header("webhook-challenge"), raw_body)) answer(200, *challenge);
inline std::optional<std::string_view> challenge(std::string_view header, std::string_view body) {
  if (header.size() < 20 || header.substr(0, 4) != "chl_") return std::nullopt;
  const auto at = body.find(header);
  if (at == std::string_view::npos) return std::nullopt;
  return body.substr(at, header.size());
}

class Verifier {
 public:
  Verifier() = default;
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;
  ~Verifier() {
    for (auto& key : hmac_keys_) OPENSSL_cleanse(key.data(), key.size());
  }

  // "whsec_" + base64 of 24 to 64 bytes; "whpk_" + base64 of an Ed25519 public key (32 bytes); or "whsk_" +
  // base64 of the key pair (64 bytes), of which only the public half is used. False: none of these.
  [[nodiscard]] bool add_secret(std::string_view text) {
    const auto kind = text.substr(0, text.find('_') + 1);
    auto bytes = detail::base64_decode(text.substr(kind.size()));
    if (!bytes) return false;
    bool added = false;
    if (kind == "whsec_" && bytes->size() >= 24 && bytes->size() <= 64) {
      hmac_keys_.push_back(*bytes);
      added = true;
    } else if (kind == "whpk_" && bytes->size() == 32) {
      added = add_public_key(*bytes);
    } else if (kind == "whsk_" && bytes->size() == 64) {
      added = add_public_key(std::string_view(*bytes).substr(32));
    }
    OPENSSL_cleanse(bytes->data(), bytes->size());
    return added;
  }

  // `now`: seconds since 1970. The scheme is the one whose signature is there.
  Verdict verify(const Webhook& webhook, std::int64_t now) const {
    const bool standard = !webhook.signature.empty();
    if (webhook.id.empty() || webhook.timestamp.empty() || (!standard && webhook.x_signature.empty())) {
      return Verdict::missing_header;
    }
    const auto signed_at = seconds(webhook.timestamp);
    if (!signed_at) return Verdict::bad_timestamp;
    if (*signed_at < now - kToleranceSeconds) return Verdict::too_old;
    if (*signed_at > now + kToleranceSeconds) return Verdict::too_new;
    const bool matches = standard ? standard_matches(webhook) : x_webhook_matches(webhook);
    return matches ? Verdict::verified : Verdict::wrong_signature;
  }

 private:
  bool add_public_key(std::string_view raw) {
    detail::Key key(
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, detail::bytes_of(raw), raw.size()));
    if (!key) return false;
    public_keys_.push_back(std::move(key));
    return true;
  }

  static std::optional<std::int64_t> seconds(std::string_view text) {
    if (text.empty() || text.size() > 12) return std::nullopt;
    std::int64_t value = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + (c - '0');
    }
    return value;
  }

  // "v1,… v1a,… v2,…": any one under any secret is enough; kinds we do not know are passed over.
  bool standard_matches(const Webhook& webhook) const {
    std::string message;
    message.append(webhook.id).append(1, '.').append(webhook.timestamp).append(1, '.').append(webhook.body);
    const auto codes = hmac_codes(message);
    std::string_view rest = webhook.signature;
    while (!rest.empty()) {
      const auto one = rest.substr(0, rest.find(' '));
      rest.remove_prefix(one.size() < rest.size() ? one.size() + 1 : one.size());
      if (one.substr(0, 3) == "v1," && any_equal(codes, detail::base64_decode(one.substr(3)))) return true;
      if (one.substr(0, 4) == "v1a," && any_verifies(detail::base64_decode(one.substr(4)), message))
        return true;
    }
    return false;
  }

  bool x_webhook_matches(const Webhook& webhook) const {
    std::string message;
    message.append(webhook.timestamp).append(1, '.').append(webhook.body);
    const auto codes = hmac_codes(message);
    return any_equal(codes, sha256_code(webhook.x_signature)) ||
           any_equal(codes, sha256_code(webhook.x_signature_next));
  }

  static std::optional<std::string> sha256_code(std::string_view header) {
    if (header.substr(0, 7) != "sha256=") return std::nullopt;
    return detail::hex_decode(header.substr(7));
  }

  std::vector<std::string> hmac_codes(std::string_view message) const {
    std::vector<std::string> codes;
    for (const auto& key : hmac_keys_) codes.push_back(detail::hmac_sha256(key, message));
    return codes;
  }

  static bool any_equal(const std::vector<std::string>& codes, const std::optional<std::string>& given) {
    bool found = false;
    for (const auto& code : codes) found |= given && detail::equal(code, *given);
    return found;
  }

  bool any_verifies(const std::optional<std::string>& signature, std::string_view message) const {
    bool found = false;
    for (const auto& key : public_keys_) {
      found |= signature && detail::ed25519_verifies(key.get(), *signature, message);
    }
    return found;
  }

  std::vector<std::string> hmac_keys_;
  std::vector<detail::Key> public_keys_;
};

}  // namespace webhooks
