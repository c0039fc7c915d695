// The low-level SHA-256: the states of a key are ours to place. Deprecated in 3.0, there all the same.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "engine/crypto/signer.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <memory>
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

// HMAC-SHA256 (RFC 2104) from the two states that its key leads to, which lie in the secure heap: libcrypto's
// own EVP_MAC keeps key and states in the ordinary one (3.0.19, measured), where they may be swapped out. The
// key itself is kept nowhere.
class HmacKey {
 public:
  explicit HmacKey(std::string_view key) {
    // A secure heap that is full gives nothing: then the ordinary one, which no core holds either.
    void* memory = OPENSSL_secure_malloc(sizeof(States));
    if (memory == nullptr) memory = OPENSSL_malloc(sizeof(States));
    must(memory != nullptr, "memory for HMAC");
    states_.reset(new (memory) States{});
    std::array<unsigned char, SHA256_CBLOCK> pad{};
    if (key.size() > pad.size()) {
      SHA256(raw(key), key.size(), pad.data());
    } else {
      std::copy(key.begin(), key.end(), pad.begin());
    }
    begin(states_->inner, pad, 0x36);
    begin(states_->outer, pad, 0x5c);
    OPENSSL_cleanse(pad.data(), pad.size());
  }

  Code sign(std::string_view prefix, std::string_view body) {
    Code code{Code::Kind::hmac_sha256, std::string(kHmacBytes, '\0')};
    auto* const out = reinterpret_cast<unsigned char*>(code.bytes.data());
    SHA256_CTX state = states_->inner;
    SHA256_Update(&state, prefix.data(), prefix.size());
    SHA256_Update(&state, body.data(), body.size());
    SHA256_Final(out, &state);
    state = states_->outer;
    SHA256_Update(&state, out, kHmacBytes);
    SHA256_Final(out, &state);
    OPENSSL_cleanse(&state, sizeof state);
    return code;
  }

 private:
  struct States {
    SHA256_CTX inner, outer;
  };
  struct Free {
    void operator()(States* states) const { OPENSSL_secure_clear_free(states, sizeof(States)); }
  };
  static void begin(SHA256_CTX& state, std::array<unsigned char, SHA256_CBLOCK> block, unsigned char pad) {
    for (unsigned char& byte : block) byte ^= pad;
    SHA256_Init(&state);
    SHA256_Update(&state, block.data(), block.size());
    OPENSSL_cleanse(block.data(), block.size());
  }
  std::unique_ptr<States, Free> states_;
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
