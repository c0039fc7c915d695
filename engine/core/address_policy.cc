#include "engine/core/address_policy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace postrider {
namespace {

using V4 = std::array<unsigned char, 4>;
using V6 = std::array<unsigned char, 16>;

struct V4Range {
  V4 base;
  int bits;
  std::string_view name;
};
struct V6Range {
  V6 base;
  int bits;
  std::string_view name;
};

// IANA's special-purpose registry, and what clouds keep their credentials behind. The first match names it.
constexpr std::array kV4Ranges{
    V4Range{{169, 254, 169, 254}, 32, "metadata"},  // AWS, Google, Azure and most others
    V4Range{{169, 254, 170, 2}, 32, "metadata"},    // AWS: credentials of a container
    V4Range{{100, 100, 100, 200}, 32, "metadata"},  // Alibaba
    V4Range{{168, 63, 129, 16}, 32, "metadata"},    // Azure's host agent, a public address by its number only
    V4Range{{192, 0, 0, 192}, 32, "metadata"},      // Oracle
    V4Range{{0, 0, 0, 0}, 8, "this_network"},       V4Range{{10, 0, 0, 0}, 8, "private"},
    V4Range{{100, 64, 0, 0}, 10, "carrier_nat"},    V4Range{{127, 0, 0, 0}, 8, "loopback"},
    V4Range{{169, 254, 0, 0}, 16, "link_local"},    V4Range{{172, 16, 0, 0}, 12, "private"},
    V4Range{{192, 0, 0, 0}, 24, "reserved"},        V4Range{{192, 0, 2, 0}, 24, "documentation"},
    V4Range{{192, 88, 99, 0}, 24, "reserved"},      V4Range{{192, 168, 0, 0}, 16, "private"},
    V4Range{{198, 18, 0, 0}, 15, "benchmarking"},   V4Range{{198, 51, 100, 0}, 24, "documentation"},
    V4Range{{203, 0, 113, 0}, 24, "documentation"}, V4Range{{224, 0, 0, 0}, 4, "multicast"},
    V4Range{{255, 255, 255, 255}, 32, "broadcast"}, V4Range{{240, 0, 0, 0}, 4, "reserved"},
};

constexpr std::array kV6Ranges{
    V6Range{{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128, "metadata"},  // AWS
    V6Range{{0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128, "metadata"},  // Google
    V6Range{{}, 128, "unspecified"},
    V6Range{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, "loopback"},
    V6Range{{0xfc}, 7, "private"},
    V6Range{{0xfe, 0x80}, 10, "link_local"},
    V6Range{{0xfe, 0xc0}, 10, "site_local"},
    V6Range{{0xff}, 8, "multicast"},
    V6Range{{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
    V6Range{{0x3f, 0xff}, 20, "documentation"},
};

constexpr V6 kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // ::ffff:0:0/96
constexpr V6 kNat64{0x00, 0x64, 0xff, 0x9b};                     // 64:ff9b::/96, RFC 6052
constexpr V6 kNat64Local{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01};    // 64:ff9b:1::/48, RFC 8215
constexpr V6 kTeredo{0x20, 0x01};                                // 2001::/32, RFC 4380
constexpr V6 kProtocols{0x20, 0x01};                             // 2001::/23, RFC 2928
constexpr V6 k6to4{0x20, 0x02};                                  // 2002::/16, RFC 3056
constexpr V6 kGlobal{0x20};                                      // 2000::/3, all that is given out

bool begins_with(std::span<const unsigned char> address, std::span<const unsigned char> base, int bits) {
  const auto whole = static_cast<std::size_t>(bits / 8);
  if (!std::equal(base.begin(), base.begin() + static_cast<std::ptrdiff_t>(whole), address.begin()))
    return false;
  if (bits % 8 == 0) return true;
  const unsigned mask = 0xffu << (8 - bits % 8) & 0xffu;
  return (address[whole] & mask) == (base[whole] & mask);
}

V4 v4_of(const IpAddress& address) {
  return {address.bytes[0], address.bytes[1], address.bytes[2], address.bytes[3]};
}
V4 v4_at(const V6& bytes, std::size_t at) {
  return {bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]};
}

std::optional<std::string_view> refusal_v4(const V4& address) {
  const auto found = std::find_if(kV4Ranges.begin(), kV4Ranges.end(), [&](const V4Range& range) {
    return begins_with(address, range.base, range.bits);
  });
  if (found == kV4Ranges.end()) return std::nullopt;
  return found->name;
}

// Of forms that carry a v4 address to be dialled by somebody on the way.
std::optional<std::string_view> refusal_embedded(const V6& bytes) {
  if (begins_with(bytes, kNat64, 96)) return refusal_v4(v4_at(bytes, 12));
  if (begins_with(bytes, k6to4, 16)) return refusal_v4(v4_at(bytes, 2));
  // Teredo: the relay's server, and the client with every bit turned.
  V4 client = v4_at(bytes, 12);
  for (auto& byte : client) byte = static_cast<unsigned char>(~byte);
  if (const auto server = refusal_v4(v4_at(bytes, 4))) return server;
  return refusal_v4(client);
}

std::optional<std::string_view> refusal_v6(const V6& bytes) {
  for (const V6Range& range : kV6Ranges) {
    if (begins_with(bytes, range.base, range.bits)) return range.name;
  }
  if (begins_with(bytes, V6{}, 96)) return refusal_v4(v4_at(bytes, 12)).value_or("reserved");
  // A translator of somebody's own network: where the v4 address stands depends on its prefix length (RFC
  // 6052 §2.2), so nothing behind it is let through; the last four bytes are its commonest place.
  if (begins_with(bytes, kNat64Local, 48)) return refusal_v4(v4_at(bytes, 12)).value_or("nat64_local");
  if (begins_with(bytes, kNat64, 96) || begins_with(bytes, k6to4, 16) || begins_with(bytes, kTeredo, 32)) {
    return refusal_embedded(bytes);
  }
  if (begins_with(bytes, kProtocols, 23) || !begins_with(bytes, kGlobal, 3)) return "reserved";
  return std::nullopt;
}

// ::ffff:1.2.3.4 is dialled as 1.2.3.4: one address, two spellings.
IpAddress unmapped(const IpAddress& address) {
  if (!address.v6 || !begins_with(address.bytes, kMapped, 96)) return address;
  IpAddress inner;
  std::copy_n(address.bytes.begin() + 12, 4, inner.bytes.begin());
  return inner;
}

bool holds(const IpRange& range, const IpAddress& address) {
  return range.base.v6 == address.v6 && begins_with(address.bytes, range.base.bytes, range.prefix_bits);
}

tl::unexpected<Error> refuse_range(std::string_view text, std::string why) {
  return fail(Errc::invalid, "INVALID_ADDRESS_RANGE",
              "\"" + std::string(text.substr(0, 64)) + "\" " + std::move(why),
              "write an address and a prefix length, such as \"127.0.0.0/8\" or \"fd00::/8\"");
}

std::optional<std::uint8_t> parse_bits(std::string_view text, int most) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  int bits = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    bits = bits * 10 + (c - '0');
  }
  if (bits > most) return std::nullopt;
  return static_cast<std::uint8_t>(bits);
}

}  // namespace

std::optional<IpAddress> parse_ip(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated.begin());
  IpAddress address;
  address.v6 = text.find(':') != std::string_view::npos;
  if (inet_pton(address.v6 ? AF_INET6 : AF_INET, terminated.data(), address.bytes.data()) != 1)
    return std::nullopt;
  if (format_ip(address) != text) return std::nullopt;
  return address;
}

std::string format_ip(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return text.data();
}

Result<IpRange> parse_range(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto base = parse_ip(text.substr(0, slash));
  if (!base) return refuse_range(text, "does not begin with an IP address");
  const int most = base->v6 ? 128 : 32;
  const auto bits = slash == std::string_view::npos ? std::optional(static_cast<std::uint8_t>(most))
                                                    : parse_bits(text.substr(slash + 1), most);
  if (!bits) return refuse_range(text, "has no prefix length from 0 to " + std::to_string(most));
  for (int bit = *bits; bit < most; ++bit) {
    if (base->bytes[static_cast<std::size_t>(bit / 8)] >> (7 - bit % 8) & 1) {
      return refuse_range(text, "has bits set behind its prefix length");
    }
  }
  return IpRange{*base, *bits};
}

std::optional<std::string_view> AddressPolicy::refusal(const IpAddress& given) const {
  const IpAddress address = unmapped(given);
  const bool allowed = std::any_of(allowed_.begin(), allowed_.end(), [&](const IpRange& range) {
    return holds(range, address) || holds(range, given);
  });
  if (allowed) return std::nullopt;
  return address.v6 ? refusal_v6(address.bytes) : refusal_v4(v4_of(address));
}

bool AddressPolicy::is_allowed_loopback(const IpAddress& given) const {
  const IpAddress address = unmapped(given);
  const auto nature = address.v6 ? refusal_v6(address.bytes) : refusal_v4(v4_of(address));
  return nature == "loopback" && !refusal(given);
}

}  // namespace postrider
