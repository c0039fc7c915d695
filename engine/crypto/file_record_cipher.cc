#include "engine/crypto/file_record_cipher.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "engine/core/bytes.h"
#include "engine/crypto/openssl_handles.h"
#include "engine/crypto/private_file.h"
#include "engine/crypto/random_bytes.h"

namespace postrider::crypto {
namespace {

constexpr std::string_view kFirstWord = "postrider-log-key-v1 ";
constexpr std::string_view kDeriveLabel = "postrider-log-run-v1";
constexpr std::string_view kRecordLabel = "postrider-log-record-v1";
constexpr std::string_view kWrapLabel = "postrider-log-key-v1";
constexpr PrivateFileKind kKind{
    "LOG_KEY", "log key",
    "restore log.key from the backup of the log's directory: its records open with "
    "nothing else"};
constexpr char kVersion = 1;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kOpenersMax = 64;

std::string wrap_associated(const Environment& environment) {
  return std::string(Associated().add(kWrapLabel).add(environment.str()).view());
}

std::string counted_nonce(std::uint64_t count) {
  std::string nonce(kNonceBytes, '\0');
  for (std::size_t i = 0; i < 8; ++i) {
    nonce[kNonceBytes - 1 - i] = static_cast<char>((count >> (8 * i)) & 0xff);
  }
  return nonce;
}

Result<std::string> line_of(const Secret& key, const Environment& environment, KeyService& service) {
  Result<std::string> wrapped = service.wrap(key.reveal(), wrap_associated(environment));
  if (!wrapped) return fail(std::move(wrapped.error()));
  std::string line(kFirstWord);
  return line.append(service.name()).append(" ").append(base64_encode(*wrapped)).append("\n");
}

Result<void> make_log_key(const std::string& path, const Environment& environment, KeyService& service) {
  const Result<std::string> line = line_of(RandomBytes().secret(kKeyBytes), environment, service);
  if (!line) return fail(line.error());
  Result<void> made = make_private_file(path, *line, kKind);
  if (!made && made.error().errc == Errc::conflict) return {};  // another start was quicker: its key counts
  return made;
}

Result<Secret> unwrap_line(std::string_view line, const std::string& path, const Environment& environment,
                           const KeyServices& services) {
  const auto invalid = [&] {
    return fail(Errc::corrupt, "LOG_KEY_INVALID", path + " is not a log key of ours",
                std::string(kKind.if_missing));
  };
  while (line.ends_with('\n')) line.remove_suffix(1);
  if (!line.starts_with(kFirstWord)) return invalid();
  line.remove_prefix(kFirstWord.size());
  const std::size_t space = line.rfind(' ');  // a token's name may hold one
  if (space == std::string_view::npos) return invalid();
  const std::string_view wrapped_by = line.substr(0, space);
  KeyService* const service = services.named(wrapped_by);
  if (service == nullptr) {
    return fail(Errc::unavailable, "KEY_SERVICE_OTHER",
                path + " was wrapped by " + std::string(wrapped_by) + ", not by " + services.common().name(),
                "start with the key file that was in use when the log was made");
  }
  const std::optional<std::string> wrapped = base64_decode(line.substr(space + 1));
  if (!wrapped) return invalid();
  Result<Secret> key = service->unwrap(*wrapped, wrap_associated(environment));
  if (key && key->reveal().size() != kKeyBytes) return invalid();
  return key;
}

}  // namespace

Result<std::unique_ptr<FileRecordCipher>> FileRecordCipher::open(const std::string& directory,
                                                                 const Environment& environment,
                                                                 const KeyServices& services,
                                                                 IfMissing if_missing) {
  const std::string path = directory + "/log.key";
  Result<Secret> line = read_private_file(path, kKind);
  if (!line && line.error().errc == Errc::not_found && if_missing == IfMissing::create) {
    if (Result<void> made = make_log_key(path, environment, services.common()); !made)
      return fail(made.error());
    line = read_private_file(path, kKind);
  }
  if (!line) return fail(line.error());
  Result<Secret> key = unwrap_line(line->reveal(), path, environment, services);
  if (!key) return fail(key.error());
  return std::unique_ptr<FileRecordCipher>(new FileRecordCipher(std::move(*key)));
}

FileRecordCipher::FileRecordCipher(Secret log_key) : log_key_(std::move(log_key)) {
  RandomBytes random;
  salt_ = std::string(random.secret(kSaltBytes).reveal());
  sealer_.rekey_sealing(derived_key(salt_).reveal());
}

Secret FileRecordCipher::derived_key(std::string_view salt) const {
  std::string message(kDeriveLabel);
  message.append(salt);
  const std::string_view key = log_key_.reveal();
  std::string derived(kKeyBytes, '\0');
  unsigned int size = 0;
  must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
            reinterpret_cast<const unsigned char*>(message.data()), message.size(),
            reinterpret_cast<unsigned char*>(derived.data()), &size) != nullptr &&
           size == kKeyBytes,
       "HMAC");
  return Secret(std::move(derived));
}

Result<bool> FileRecordCipher::rewrap(const std::string& directory, const Environment& environment,
                                      const KeyServices& services) {
  const std::string path = directory + "/log.key";
  const Result<Secret> line = read_private_file(path, kKind);
  if (!line && line.error().errc == Errc::not_found) return false;
  if (!line) return fail(line.error());
  const Result<Secret> key = unwrap_line(line->reveal(), path, environment, services);
  if (!key) return fail(key.error());
  const Result<std::string> anew = line_of(*key, environment, services.common());
  if (!anew) return fail(anew.error());
  if (auto done = replace_private_file(path, *anew, kKind); !done) return fail(done.error());
  return true;
}

Result<std::string> FileRecordCipher::copy(const std::string& directory, const Environment& environment,
                                           const KeyServices& services, KeyService& under) {
  const std::string path = directory + "/log.key";
  const Result<Secret> line = read_private_file(path, kKind);
  if (!line) return fail(line.error());
  const Result<Secret> key = unwrap_line(line->reveal(), path, environment, services);
  if (!key) return fail(key.error());
  return line_of(*key, environment, under);
}

Result<void> FileRecordCipher::put_back(const std::string& directory, const Environment& environment,
                                        const std::string& line, KeyService& under, KeyService& service) {
  const Result<Secret> key = unwrap_line(line, "the copy of log.key", environment, under);
  if (!key) return fail(key.error());
  const Result<std::string> anew = line_of(*key, environment, service);
  if (!anew) return fail(anew.error());
  return replace_private_file(directory + "/log.key", *anew, kKind);
}

AesGcm& FileRecordCipher::opener(std::string_view salt) {
  const auto known = openers_.find(std::string(salt));
  if (known != openers_.end()) return known->second;
  if (openers_.size() >= kOpenersMax) openers_.clear();
  AesGcm cipher;
  cipher.rekey_opening(derived_key(salt).reveal());
  return openers_.emplace(std::string(salt), std::move(cipher)).first->second;
}

Result<std::string> FileRecordCipher::seal(std::string_view bytes) {
  std::string sealed;
  sealed.reserve(1 + kSaltBytes + kNonceBytes + bytes.size() + kTagBytes);
  const std::lock_guard guard(lock_);
  const std::string nonce = counted_nonce(count_++);
  sealed.push_back(kVersion);
  sealed.append(salt_).append(nonce);
  sealer_.seal(nonce, kRecordLabel, bytes, sealed);
  return sealed;
}

Result<std::string> FileRecordCipher::open(std::string_view sealed) {
  if (sealed.size() >= 1 + kSaltBytes + kNonceBytes + kTagBytes && sealed.front() == kVersion) {
    const std::string_view salt = sealed.substr(1, kSaltBytes);
    const std::string_view nonce = sealed.substr(1 + kSaltBytes, kNonceBytes);
    const std::lock_guard guard(lock_);
    if (auto bytes = opener(salt).open(nonce, kRecordLabel, sealed.substr(1 + kSaltBytes + kNonceBytes))) {
      return std::move(*bytes);
    }
  }
  return fail(Errc::corrupt, "SEALED_RECORD_CORRUPT",
              "a sealed record of the log was changed, or has another key",
              "restore the log's directory, log.key included, from its backup");
}

}  // namespace postrider::crypto
