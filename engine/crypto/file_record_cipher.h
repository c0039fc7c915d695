#pragma once
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "engine/core/ids.h"
#include "engine/crypto/aes_gcm.h"
#include "engine/crypto/key_services.h"
#include "engine/ports/record_cipher.h"

namespace postrider::crypto {

// Seals records of the embedded log under a log key. DIR/log.key holds it wrapped by the key service, in one
// line: "postrider-log-key-v1 <service> <wrapped key in base64>", mode 0600. Thread-safe.
//
// Each run derives a key of its own, HMAC-SHA256(log key, label | salt), and counts its nonces: no nonce is
// ever used twice, however many records a log takes. STORED FORMAT of a sealed record, pinned by
// tests/crypto/file_record_cipher_test.cc:
//   version 1 (1 byte) | salt (16) | nonce (12: four zero bytes, then the count, big-endian) | ciphertext |
//   tag (16)
class FileRecordCipher final : public RecordCipher {
 public:
  enum class IfMissing { create, refuse };

  // `refuse` where the log already holds records: a new key would open none of them.
  // Errors: LOG_KEY_MISSING (not_found), LOG_KEY_PERMISSIONS (denied), LOG_KEY_INVALID (corrupt),
  // KEY_SERVICE_OTHER (unavailable: wrapped by another key service), those of the key service.
  static Result<std::unique_ptr<FileRecordCipher>> open(const std::string& directory,
                                                        const Environment& environment,
                                                        const KeyServices& services, IfMissing if_missing);

  // log.key wrapped anew under the common service, which changes no key. False: there is none.
  static Result<bool> rewrap(const std::string& directory, const Environment& environment,
                             const KeyServices& services);
  // For a backup: log.key's line under another service; and back into the directory, in place of what is
  // there.
  static Result<std::string> copy(const std::string& directory, const Environment& environment,
                                  const KeyServices& services, KeyService& under);
  static Result<void> put_back(const std::string& directory, const Environment& environment,
                               const std::string& line, KeyService& under, KeyService& service);

  Result<std::string> seal(std::string_view bytes) override;
  // Errc::corrupt, SEALED_RECORD_CORRUPT.
  Result<std::string> open(std::string_view sealed) override;

 private:
  explicit FileRecordCipher(Secret log_key);
  Secret derived_key(std::string_view salt) const;
  AesGcm& opener(std::string_view salt);

  const Secret log_key_;
  std::mutex lock_;
  std::string salt_;  // of this run
  AesGcm sealer_;
  std::uint64_t count_ = 0;
  std::unordered_map<std::string, AesGcm> openers_;  // by salt; a handful of runs at a time
};

}  // namespace postrider::crypto
