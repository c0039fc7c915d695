#include "engine/crypto/fresh_secrets.h"

#include <openssl/crypto.h>

#include "engine/core/bytes.h"
#include "engine/crypto/random_bytes.h"

namespace postrider::crypto {

Secret fresh_token() {
  RandomBytes random;
  const Secret raw = random.secret(32);
  std::string encoded = base64_encode(raw.reveal());
  std::string text = "ptk_";
  text.reserve(64);
  for (const char c : encoded) {
    if (c == '=') break;
    text.push_back(c == '+' ? '-' : c == '/' ? '_' : c);
  }
  OPENSSL_cleanse(encoded.data(), encoded.size());
  return Secret(std::move(text));
}

std::string token_hash(std::string_view token) {
  const Digest digest = sha256(token);
  return hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

SigningSecret fresh_signing_secret() {
  RandomBytes random;
  return SigningSecret{SecretKind::hmac, random.secret(32)};
}

}  // namespace postrider::crypto
