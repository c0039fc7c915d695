#pragma once
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace postrider {

// Bytes that must never be shown. It has no formatter and no comparison; copies are explicit (clone()), and
// its memory is cleansed when it goes. Where the process has a secure heap (crypto/secure_heap.h), those of
// up to kLockedBytesMax lie there: locked, and in no core. Payloads are Secrets too while they are opened,
// and those may be larger.
class Secret {
 public:
  static constexpr std::size_t kLockedBytesMax = 4096;

  Secret() = default;
  explicit Secret(std::string bytes);
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();
  Secret clone() const { return Secret(std::string(reveal())); }
  bool empty() const { return reveal().empty(); }
  // For the one call that needs the bytes; never keep or print it.
  std::string_view reveal() const { return locked_ ? std::string_view(locked_, size_) : bytes_; }

 private:
  void cleanse();
  char* locked_ = nullptr;  // of libcrypto's secure heap; else it lies in bytes_
  std::size_t size_ = 0;
  std::string bytes_;
};

// Overwrites a text that held a secret, its whole buffer, and empties it.
void cleanse(std::string& text);

enum class SecretKind { hmac, ed25519 };

// A signing secret as customers see it: "whsec_" + base64 of 24–64 bytes (HMAC), or "whsk_" + base64 of 64
// bytes (an Ed25519 private key with its public half, as Standard Webhooks has it).
struct SigningSecret {
  SecretKind kind = SecretKind::hmac;
  Secret key;  // decoded bytes
};
Result<SigningSecret> parse_signing_secret(std::string_view text);
// "whsec_…" or "whsk_…": shown once, to the one who asked for it.
Secret format_signing_secret(const SigningSecret& secret);

}  // namespace postrider
