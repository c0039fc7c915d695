#include "engine/crypto/signer.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include <array>
#include <variant>

#include "engine/crypto/openssl_handles.h"

namespace postrider::crypto {
namespace {

constexpr std::size_t kHmacBytes = 32;
constexpr std::size_t kEdKeyBytes = 32;  // each half
constexpr std::size_t kEdSignatureBytes = 64;

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

class HmacKey {
 public:
  explicit HmacKey(std::string_view key) {
    static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);  // for the process's life
    must(algorithm != nullptr, "fetch HMAC");
    context_.reset(EVP_MAC_CTX_new(algorithm));
    must(context_ != nullptr, "EVP_MAC_CTX_new");
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    must(EVP_MAC_init(context_.get(), raw(key), key.size(), params) == 1, "EVP_MAC_init");
  }

  Code sign(std::string_view prefix, std::string_view body) {
    EVP_MAC_CTX* const context = context_.get();
    // A null key resets a keyed context without hashing the key's pads again.
    must(EVP_MAC_init(context, nullptr, 0, nullptr) == 1, "reset HMAC");
    must(EVP_MAC_update(context, raw(prefix), prefix.size()) == 1, "EVP_MAC_update");
    must(EVP_MAC_update(context, raw(body), body.size()) == 1, "EVP_MAC_update");
    Code code{Code::Kind::hmac_sha256, std::string(kHmacBytes, '\0')};
    std::size_t written = 0;
    must(EVP_MAC_final(context, reinterpret_cast<unsigned char*>(code.bytes.data()), &written, kHmacBytes) ==
                 1 &&
             written == kHmacBytes,
         "EVP_MAC_final");
    return code;
  }

 private:
  MacContext context_;
};

class Ed25519Key {
 public:
  static Result<Ed25519Key> make(std::string_view both_halves) {
    const auto refused = [](const char* what) {
      return fail(Errc::invalid, "INVALID_SIGNING_SECRET", what,
                  "give a whsk_ secret: base64 of the 32-byte private key followed by its public key");
    };
    if (both_halves.size() != 2 * kEdKeyBytes) return refused("an Ed25519 secret has 64 bytes");
    Ed25519Key made;
    made.key_.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(both_halves), kEdKeyBytes));
    must(made.key_ != nullptr, "Ed25519 key");
    std::array<unsigned char, kEdKeyBytes> derived{};
    std::size_t size = derived.size();
    must(EVP_PKEY_get_raw_public_key(made.key_.get(), derived.data(), &size) == 1, "Ed25519 public key");
    if (CRYPTO_memcmp(derived.data(), raw(both_halves) + kEdKeyBytes, size) != 0) {
      return refused("the Ed25519 secret's public half does not belong to its private half");
    }
    made.context_.reset(EVP_MD_CTX_new());
    must(made.context_ != nullptr, "EVP_MD_CTX_new");
    return made;
  }

  Code sign(std::string_view message) {
    must(EVP_DigestSignInit(context_.get(), nullptr, nullptr, nullptr, key_.get()) == 1, "Ed25519 init");
    Code code{Code::Kind::ed25519, std::string(kEdSignatureBytes, '\0')};
    std::size_t size = kEdSignatureBytes;
    must(EVP_DigestSign(context_.get(), reinterpret_cast<unsigned char*>(code.bytes.data()), &size,
                        raw(message), message.size()) == 1 &&
             size == kEdSignatureBytes,
         "Ed25519 sign");
    return code;
  }

 private:
  KeyHandle key_;
  DigestContext context_;
};

class KeyedSigner final : public Signer {
 public:
  explicit KeyedSigner(std::vector<std::variant<HmacKey, Ed25519Key>> keys) : keys_(std::move(keys)) {}

  std::vector<Code> sign(std::string_view prefix, std::string_view body) override {
    std::vector<Code> codes;
    codes.reserve(keys_.size());
    for (auto& key : keys_) {
      if (auto* hmac = std::get_if<HmacKey>(&key)) {
        codes.push_back(hmac->sign(prefix, body));
      } else {
        // Ed25519 signs in one go: it needs the message in one piece.
        message_.assign(prefix).append(body);
        codes.push_back(std::get<Ed25519Key>(key).sign(message_));
      }
    }
    return codes;
  }

 private:
  std::vector<std::variant<HmacKey, Ed25519Key>> keys_;
  std::string message_;
};

}  // namespace

Result<std::unique_ptr<Signer>> make_signer(const std::vector<SigningSecret>& secrets) {
  if (secrets.empty()) {
    return fail(Errc::invalid, "NO_SIGNING_SECRET", "there is no secret to sign with",
                "give the endpoint an active signing secret");
  }
  std::vector<std::variant<HmacKey, Ed25519Key>> keys;
  keys.reserve(secrets.size());
  for (const SigningSecret& secret : secrets) {
    if (secret.key.empty()) {
      return fail(Errc::invalid, "INVALID_SIGNING_SECRET", "a signing secret is empty",
                  "make one with: postrider-ops secrets new");
    }
    if (secret.kind == SecretKind::hmac) {
      keys.emplace_back(HmacKey(secret.key.reveal()));
      continue;
    }
    Result<Ed25519Key> key = Ed25519Key::make(secret.key.reveal());
    if (!key) return fail(std::move(key.error()));
    keys.emplace_back(std::move(*key));
  }
  return std::make_unique<KeyedSigner>(std::move(keys));
}

}  // namespace postrider::crypto
