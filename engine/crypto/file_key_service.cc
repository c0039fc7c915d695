#include "engine/crypto/file_key_service.h"

#include <openssl/crypto.h>

#include <mutex>

#include "engine/core/bytes.h"
#include "engine/crypto/aes_gcm.h"
#include "engine/crypto/private_file.h"
#include "engine/crypto/random_bytes.h"

namespace postrider::crypto {
namespace {

constexpr std::string_view kFirstWord = "postrider-key-v1 ";
constexpr PrivateFileKind kKind{
    "KEY_FILE", "key file",
    "restore it from your backup, or, where nothing was sealed yet, make one with: "
    "postrider-ops keys new"};
constexpr char kWrappedVersion = 1;

// wrapped = version (1) | nonce (12) | ciphertext | tag (16)
class FileKeyService final : public KeyService {
 public:
  explicit FileKeyService(std::string_view key) : cipher_(key), name_(name_for(key)) {}

  const std::string& name() const override { return name_; }
  bool is_local() const override { return true; }

  Result<std::string> wrap(std::string_view bytes, std::string_view associated) override {
    const std::lock_guard guard(lock_);
    std::string nonce(kNonceBytes, '\0');
    random_.fill({reinterpret_cast<unsigned char*>(nonce.data()), nonce.size()});
    std::string wrapped(1, kWrappedVersion);
    wrapped.append(nonce);
    cipher_.seal(nonce, associated, bytes, wrapped);
    return wrapped;
  }

  Result<Secret> unwrap(std::string_view wrapped, std::string_view associated) override {
    if (wrapped.size() >= 1 + kNonceBytes + kTagBytes && wrapped.front() == kWrappedVersion) {
      const std::lock_guard guard(lock_);
      if (auto bytes =
              cipher_.open(wrapped.substr(1, kNonceBytes), associated, wrapped.substr(1 + kNonceBytes))) {
        return Secret(std::move(*bytes));
      }
    }
    return fail(Errc::corrupt, "WRAPPED_KEY_CORRUPT",
                "a wrapped key was not wrapped by " + name_ + " for this use",
                "start with the key file that was in use when the key was made");
  }

 private:
  static std::string name_for(std::string_view key) {
    std::string labelled("postrider-key-name-v1");
    labelled.append(key);
    const Digest digest = sha256(labelled);
    OPENSSL_cleanse(labelled.data(), labelled.size());
    return "file:" + hex_encode({reinterpret_cast<const char*>(digest.data()), 6});
  }

  std::mutex lock_;
  AesGcm cipher_;
  RandomBytes random_;
  std::string name_;
};

}  // namespace

Result<std::unique_ptr<KeyService>> open_file_key_service(const std::string& path) {
  const Result<Secret> file = read_private_file(path, kKind);
  if (!file) return fail(file.error());
  std::string_view line = file->reveal();
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  const auto invalid = [&] {
    return fail(
        Errc::corrupt, "KEY_FILE_INVALID", path + " is not a key file of ours",
        "it holds one line, \"postrider-key-v1 \" and 32 bytes in base64: restore it from your backup");
  };
  if (!line.starts_with(kFirstWord)) return invalid();
  std::optional<std::string> decoded = base64_decode(line.substr(kFirstWord.size()));
  if (!decoded) return invalid();
  const Secret key(std::move(*decoded));
  if (key.reveal().size() != kKeyBytes) return invalid();
  return std::make_unique<FileKeyService>(key.reveal());
}

Result<void> make_key_file(const std::string& path) {
  RandomBytes random;
  const Secret key = random.secret(kKeyBytes);
  std::string encoded = base64_encode(key.reveal());
  std::string line;
  line.reserve(128);
  line.append(kFirstWord).append(encoded).push_back('\n');
  Result<void> made = make_private_file(path, line, kKind);
  OPENSSL_cleanse(encoded.data(), encoded.size());
  OPENSSL_cleanse(line.data(), line.size());
  return made;
}

}  // namespace postrider::crypto
