#include "engine/core/bytes.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>

namespace postrider {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase36 = "0123456789abcdefghijklmnopqrstuvwxyz";

// The place of each character in an alphabet.
constexpr unsigned char kNowhere = 64;
constexpr std::array<unsigned char, 256> values_of(std::string_view alphabet) {
  std::array<unsigned char, 256> values{};
  for (auto& value : values) value = kNowhere;
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<unsigned char>(i);
  }
  return values;
}
constexpr std::array<unsigned char, 256> kBase64Values = values_of(kBase64);
constexpr std::array<unsigned char, 256> kBase62Values = values_of(kBase62);

// The six bits of each character, first one highest; nullopt when one is outside the alphabet.
std::optional<std::uint32_t> sextets(std::string_view characters) {
  std::uint32_t bits = 0;
  for (const char c : characters) {
    const std::uint32_t value = kBase64Values[static_cast<unsigned char>(c)];
    if (value == kNowhere) return std::nullopt;
    bits = bits << 6 | value;
  }
  return bits;
}

char low_byte(std::uint32_t bits) {
  return static_cast<char>(static_cast<unsigned char>(bits & 0xff));
}

// SHA-256 in steps. libcrypto's algorithm is fetched once for the process and the context kept for the
// thread: both cost more than a digest of a short text. libcrypto cannot fail here but for lack of memory.
class Sha256 {
 public:
  Sha256() { require(EVP_DigestInit_ex2(context(), algorithm(), nullptr) == 1); }
  void add(std::string_view bytes) { require(EVP_DigestUpdate(context(), bytes.data(), bytes.size()) == 1); }
  Digest finish() {
    Digest digest{};
    require(EVP_DigestFinal_ex(context(), digest.data(), nullptr) == 1);
    return digest;
  }

 private:
  static void require(bool held) {
    if (!held) std::abort();
  }
  static const EVP_MD* algorithm() {
    static const EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    require(fetched != nullptr);
    return fetched;
  }
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  static EVP_MD_CTX* context() {
    thread_local const std::unique_ptr<EVP_MD_CTX, Free> kept(EVP_MD_CTX_new());
    require(kept != nullptr);
    return kept.get();
  }
};

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  while (!bytes.empty()) {
    const std::string_view group = bytes.substr(0, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0u);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text.push_back(i <= group.size() ? kBase64[bits >> (18 - 6 * i) & 63] : '=');
    }
    bytes.remove_prefix(group.size());
  }
  return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  text.remove_suffix(padding);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  while (text.size() >= 4) {
    const auto bits = sextets(text.substr(0, 4));
    if (!bits) return std::nullopt;
    bytes.push_back(low_byte(*bits >> 16));
    bytes.push_back(low_byte(*bits >> 8));
    bytes.push_back(low_byte(*bits));
    text.remove_prefix(4);
  }
  if (text.empty()) return bytes;
  const auto bits = sextets(text);
  // The unused low bits must be zero: one spelling for one value.
  const std::size_t unused = text.size() == 2 ? 4 : 2;
  if (!bits || (*bits & ((1u << unused) - 1)) != 0) return std::nullopt;
  const std::uint32_t whole = *bits >> unused;
  if (text.size() == 3) bytes.push_back(low_byte(whole >> 8));
  bytes.push_back(low_byte(whole));
  return bytes;
}

std::string hex_encode(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(kHex[byte >> 4]);
    text.push_back(kHex[byte & 15]);
  }
  return text;
}

std::string base36(std::uint64_t number) {
  std::string text;
  do {
    text.push_back(kBase36[number % 36]);
    number /= 36;
  } while (number != 0);
  std::reverse(text.begin(), text.end());
  return text;
}

std::optional<std::uint64_t> parse_base36(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) {
    const std::size_t digit = kBase36.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    if (number > (std::numeric_limits<std::uint64_t>::max() - digit) / 36) return std::nullopt;
    number = number * 36 + digit;
  }
  return number;
}

Digest sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

Hash128 hash128(std::span<const std::string_view> parts) {
  Sha256 hash;
  for (const std::string_view part : parts) {
    std::array<char, 8> length{};
    for (std::size_t i = 0; i < length.size(); ++i) {
      length[i] =
          static_cast<char>(static_cast<unsigned char>(std::uint64_t{part.size()} >> (56 - 8 * i) & 0xff));
    }
    hash.add({length.data(), length.size()});
    hash.add(part);
  }
  const Digest digest = hash.finish();
  Hash128 half;
  std::copy_n(digest.begin(), half.bytes.size(), half.bytes.begin());
  return half;
}

std::optional<Hash128> parse_base62(std::string_view text) {
  if (text.size() != kBase62Length) return std::nullopt;
  unsigned __int128 number = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const unsigned __int128 digit = kBase62Values[static_cast<unsigned char>(text[i])];
    if (digit == kNowhere) return std::nullopt;
    if (i + 1 == text.size() && number > (~static_cast<unsigned __int128>(0) - digit) / 62)
      return std::nullopt;
    number = number * 62 + digit;
  }
  Hash128 hash;
  for (auto byte = hash.bytes.rbegin(); byte != hash.bytes.rend(); ++byte, number >>= 8)
    *byte = static_cast<unsigned char>(number & 0xff);
  return hash;
}

std::string base62(const Hash128& hash) {
  unsigned __int128 number = 0;
  for (const unsigned char byte : hash.bytes) number = number << 8 | byte;
  std::string text(kBase62Length, '0');
  // Ten digits at a time: a division of 128 bits costs as much as ten of 64 by a constant.
  constexpr std::uint64_t kTenDigits = 839'299'365'868'340'224;  // 62^10
  auto place = text.rbegin();
  while (number != 0) {
    const unsigned __int128 rest = number / kTenDigits;
    auto digits = static_cast<std::uint64_t>(number - rest * kTenDigits);
    for (int i = 0; i < 10 && place != text.rend(); ++i, ++place, digits /= 62) *place = kBase62[digits % 62];
    number = rest;
  }
  return text;
}

}  // namespace postrider
