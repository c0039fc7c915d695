#include "engine/core/secret.h"

#include <openssl/crypto.h>

#include <utility>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

constexpr std::string_view kHmacPrefix = "whsec_";
constexpr std::string_view kEd25519Prefix = "whsk_";
constexpr std::size_t kHmacBytesMin = 24;  // Standard Webhooks, "Signature scheme"
constexpr std::size_t kHmacBytesMax = 64;
constexpr std::size_t kEd25519Bytes = 64;  // seed and public half

tl::unexpected<Error> refuse(std::string message) {
  return fail(
      Errc::invalid, "INVALID_SECRET", std::move(message),
      "use \"whsec_\" followed by the base64 of 24 to 64 random bytes, or leave the secret out and have one "
      "made");
}

}  // namespace

// The whole buffer, not just the text: a moved-from or shortened string leaves bytes behind its end.
void cleanse(std::string& text) {
  text.resize(text.capacity());
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

Secret::Secret(std::string bytes) {
  if (CRYPTO_secure_malloc_initialized() == 1 && !bytes.empty() && bytes.size() <= kLockedBytesMax)
    locked_ = static_cast<char*>(OPENSSL_secure_malloc(bytes.size()));  // nullptr: it is full
  if (locked_ != nullptr) {
    size_ = bytes.copy(locked_, bytes.size());
  } else {
    bytes_.swap(bytes);
  }
  postrider::cleanse(bytes);  // a short text was copied, not handed over
}

Secret::Secret(Secret&& other) noexcept
    : locked_(std::exchange(other.locked_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      bytes_(std::move(other.bytes_)) {
  other.cleanse();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  cleanse();
  locked_ = std::exchange(other.locked_, nullptr);
  size_ = std::exchange(other.size_, 0);
  bytes_ = std::move(other.bytes_);
  other.cleanse();
  return *this;
}

Secret::~Secret() {
  cleanse();
}

void Secret::cleanse() {
  if (locked_ != nullptr) OPENSSL_secure_clear_free(locked_, size_);
  locked_ = nullptr;
  size_ = 0;
  postrider::cleanse(bytes_);
}

Result<SigningSecret> parse_signing_secret(std::string_view text) {
  SigningSecret secret;
  if (text.starts_with(kHmacPrefix)) {
    text.remove_prefix(kHmacPrefix.size());
  } else if (text.starts_with(kEd25519Prefix)) {
    secret.kind = SecretKind::ed25519;
    text.remove_prefix(kEd25519Prefix.size());
  } else {
    return refuse("the signing secret begins with neither \"whsec_\" nor \"whsk_\"");
  }
  auto decoded = base64_decode(text);
  if (!decoded) return refuse("what follows the signing secret's prefix is not padded base64");
  secret.key = Secret(std::move(*decoded));
  const std::size_t size = secret.key.reveal().size();
  if (secret.kind == SecretKind::hmac && (size < kHmacBytesMin || size > kHmacBytesMax)) {
    return refuse("the signing secret decodes to " + std::to_string(size) + " bytes, not to 24 to 64");
  }
  if (secret.kind == SecretKind::ed25519 && size != kEd25519Bytes) {
    return refuse("the Ed25519 signing secret decodes to " + std::to_string(size) + " bytes, not to 64");
  }
  return secret;
}

Secret format_signing_secret(const SigningSecret& secret) {
  const std::string_view prefix = secret.kind == SecretKind::hmac ? kHmacPrefix : kEd25519Prefix;
  const Secret encoded(base64_encode(secret.key.reveal()));
  std::string text;
  text.reserve(prefix.size() + encoded.reveal().size());
  text.append(prefix).append(encoded.reveal());
  return Secret(std::move(text));
}

}  // namespace postrider
