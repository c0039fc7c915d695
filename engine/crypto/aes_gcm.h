#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

// AES-256-GCM (NIST SP 800-38D) with 12-byte nonces and 16-byte tags. Callers see to it that no nonce is used
// twice under a key.
namespace postrider::crypto {

inline constexpr std::size_t kKeyBytes = 32;
inline constexpr std::size_t kNonceBytes = 12;
inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kPlainBytesMax = std::size_t{1}
                                              << 30;  // far above any record; libcrypto counts in int

// Fields of associated data, each behind its length (8 bytes, big-endian), so that they cannot run into each
// other. A STORED FORMAT: what was sealed opens only under the same bytes.
class Associated {
 public:
  Associated& add(std::string_view field);
  std::string_view view() const { return bytes_; }

 private:
  std::string bytes_;
};

// One AES key, its schedule computed once; libcrypto cleanses it. Not thread-safe.
class AesGcm {
 public:
  AesGcm();                               // has no key yet
  explicit AesGcm(std::string_view key);  // for both directions
  AesGcm(AesGcm&&) noexcept;
  AesGcm& operator=(AesGcm&&) noexcept;
  ~AesGcm();

  // 32 bytes. A key used for one record needs only one of them.
  void rekey_sealing(std::string_view key);
  void rekey_opening(std::string_view key);
  // Appends ciphertext and tag to `out`.
  void seal(std::string_view nonce, std::string_view associated, std::string_view plain, std::string& out);
  // nullopt: not what was sealed under this key, nonce and associated data. `sealed` ends in the tag.
  std::optional<std::string> open(std::string_view nonce, std::string_view associated,
                                  std::string_view sealed);

 private:
  struct Contexts;
  Contexts& contexts();
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace postrider::crypto
