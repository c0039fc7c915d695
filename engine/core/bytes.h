#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

// Encodings and digests: pure functions of their arguments (libcrypto's SHA-256 among them).
namespace postrider {

std::string base64_encode(std::string_view bytes);           // RFC 4648 §4, padded
std::optional<std::string> base64_decode(std::string_view);  // strict: padding and alphabet are checked
std::string hex_encode(std::string_view bytes);              // lower case
std::string base36(std::uint64_t number);                    // lower case, no padding
std::optional<std::uint64_t> parse_base36(std::string_view);

using Digest = std::array<unsigned char, 32>;
Digest sha256(std::string_view bytes);

// 128 bits over length-prefixed parts: the first half of SHA-256 over each part's length (8 bytes,
// big-endian) and bytes. Parts cannot run into each other: ("ab","c") differs from ("a","bc").
struct Hash128 {
  std::array<unsigned char, 16> bytes{};
  auto operator<=>(const Hash128&) const = default;
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  template <class H>
  friend H AbslHashValue(H h, const Hash128& hash) {
    return H::combine(std::move(h), hash.bytes);
  }
};
Hash128 hash128(std::span<const std::string_view> parts);

// 22 characters of [0-9A-Za-z]: big-endian base 62, padded with '0'. Dotless, so that it may stand in a
// signed message between dots.
inline constexpr std::size_t kBase62Length = 22;  // 62^22 > 2^128 > 62^21
std::string base62(const Hash128& hash);
std::optional<Hash128> parse_base62(std::string_view text);  // only what base62() writes

}  // namespace postrider
