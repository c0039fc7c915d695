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
constexpr V6 kProtocols{0x20, 0x01};                             // 2001::/23, RFC 2928
constexpr V6 kGlobal{0x20};                                      // 2000::/3, all that is given out

// Addresses that carry a v4 address, which somebody on the way dials: what lies behind them cannot be vetted.
struct Carrier {
  V6 base;
  int bits;
  std::string_view name;
  std::size_t at;  // where the v4 address stands
};
constexpr std::array kCarriers{
    Carrier{{0x00, 0x64, 0xff, 0x9b}, 96, "nat64", 12},                    // 64:ff9b::/96, RFC 6052
    Carrier{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "nat64_local", 12},  // 64:ff9b:1::/48, RFC 8215
    Carrier{{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, "translated", 12},   // ::ffff:0:0:0/96, RFC 2765
    Carrier{{0x20, 0x02}, 16, "6to4", 2},                                  // 2002::/16, RFC 3056
    Carrier{{0x20, 0x01}, 32, "teredo", 4},                                // 2001::/32, RFC 4380: its server
    Carrier{{}, 96, "v4_compatible", 12},                                  // ::/96, RFC 4291 §2.5.5.1
};

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

const Carrier* carrier_of(const V6& bytes) {
  const auto found = std::find_if(kCarriers.begin(), kCarriers.end(), [&](const Carrier& carrier) {
    return begins_with(bytes, carrier.base, carrier.bits);
  });
  return found == kCarriers.end() ? nullptr : &*found;
}

// A Teredo client's own address, with every bit turned.
V4 teredo_client(const V6& bytes) {
  V4 client = v4_at(bytes, 12);
  for (auto& byte : client) byte = static_cast<unsigned char>(~byte);
  return client;
}

std::string_view refusal_carried(const V6& bytes, const Carrier& carrier) {
  if (const auto why = refusal_v4(v4_at(bytes, carrier.at))) return *why;
  return carrier.name == "teredo" ? refusal_v4(teredo_client(bytes)).value_or(carrier.name) : carrier.name;
}

// A v6 address that a range of its own names, before what it may carry.
std::optional<std::string_view> named_v6(const V6& bytes) {
  for (const V6Range& range : kV6Ranges) {
    if (begins_with(bytes, range.base, range.bits)) return range.name;
  }
  return std::nullopt;
}

std::optional<std::string_view> refusal_v6(const V6& bytes) {
  if (const auto name = named_v6(bytes)) return name;
  if (const Carrier* carrier = carrier_of(bytes)) return refusal_carried(bytes, *carrier);
  if (begins_with(bytes, kProtocols, 23) || !begins_with(bytes, kGlobal, 3)) return "reserved";
  return std::nullopt;
}

// Where a translator with a prefix of that length puts the v4 address (RFC 6052 §2.2).
V4 v4_translated(const V6& bytes, int prefix_bits) {
  switch (prefix_bits) {
    case 48:
      return {bytes[6], bytes[7], bytes[9], bytes[10]};
    case 56:
      return {bytes[7], bytes[9], bytes[10], bytes[11]};
    case 64:
      return v4_at(bytes, 9);
    default:
      return v4_at(bytes, 12);
  }
}

IpAddress address_of(const V4& bytes) {
  IpAddress address;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

// ::ffff:1.2.3.4 is dialled as 1.2.3.4: one address, two spellings.
IpAddress unmapped(const IpAddress& address) {
  if (!address.v6 || !begins_with(address.bytes, kMapped, 96)) return address;
  IpAddress inner;
  std::copy_n(address.bytes.begin() + 12, 4, inner.bytes.begin());
  return inner;
}

// A range of v4-mapped addresses is a range of v4 addresses.
IpRange unmapped(const IpRange& range) {
  if (range.prefix_bits < 96 || !range.base.v6 || !begins_with(range.base.bytes, kMapped, 96)) return range;
  return {unmapped(range.base), static_cast<std::uint8_t>(range.prefix_bits - 96)};
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

std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || text.front() == '0') return std::nullopt;
  unsigned port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  if (port > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(port);
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

Result<PortRange> parse_ports(std::string_view text) {
  const std::size_t dash = std::min(text.find('-'), text.size());
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == text.size() ? first : parse_port(text.substr(dash + 1));
  if (first && last && *first <= *last) return PortRange{*first, *last};
  return fail(Errc::invalid, "INVALID_PORTS",
              "\"" + std::string(text.substr(0, 64)) + "\" is no port from 1 to 65535 and no range of them",
              "write a port or a range, such as 9443 or \"9000-9099\"");
}

std::string format_ports(const PortRange& ports) {
  const std::string first = std::to_string(ports.first);
  return ports.first == ports.last ? first : first + "-" + std::to_string(ports.last);
}

AddressPolicy::AddressPolicy(GuardRules rules) : rules_(std::move(rules)) {
  for (IpRange& range : rules_.allow) range = unmapped(range);
  for (IpAddress& address : rules_.own) address = unmapped(address);
}

std::optional<std::string_view> AddressPolicy::refusal(const IpAddress& given) const {
  const IpAddress address = unmapped(given);
  std::optional<std::string_view> behind;
  for (const IpRange& range : rules_.allow) {
    if (!holds(range, address)) continue;
    behind = refusal_behind(address, range);
    if (!behind) return std::nullopt;
  }
  if (behind) return behind;
  if (const auto why = address.v6 ? refusal_v6(address.bytes) : refusal_v4(v4_of(address))) return why;
  if (std::find(rules_.own.begin(), rules_.own.end(), address) != rules_.own.end()) return "own_address";
  return std::nullopt;
}

// Of an address that the operator allowed: what somebody on the way would dial for it.
std::optional<std::string_view> AddressPolicy::refusal_behind(const IpAddress& address,
                                                              const IpRange& by) const {
  if (!address.v6 || named_v6(address.bytes)) return std::nullopt;
  const Carrier* const carrier = carrier_of(address.bytes);
  if (carrier == nullptr) return std::nullopt;
  if (carrier->name == "nat64_local")
    return refusal(address_of(v4_translated(address.bytes, by.prefix_bits)));
  if (const auto why = refusal(address_of(v4_at(address.bytes, carrier->at)))) return why;
  if (carrier->name == "teredo") return refusal(address_of(teredo_client(address.bytes)));
  return std::nullopt;
}

std::optional<std::string_view> AddressPolicy::refusal(const IpAddress& address, std::uint16_t port,
                                                       bool plain) const {
  if (const auto why = refusal(address)) return why;
  const bool free = rules_.development && is_allowed(address);
  if (plain) {
    const IpAddress dialled = unmapped(address);
    const auto nature = dialled.v6 ? refusal_v6(dialled.bytes) : refusal_v4(v4_of(dialled));
    if (!free || nature != "loopback") return "plain_http";
  }
  if (!free && !admits_port(port)) return "port";
  return std::nullopt;
}

bool AddressPolicy::admits_port(std::uint16_t port) const {
  return port == 443 || port == 8443 ||
         std::any_of(rules_.ports.begin(), rules_.ports.end(),
                     [port](const PortRange& range) { return range.first <= port && port <= range.last; });
}

bool AddressPolicy::is_allowed(const IpAddress& given) const {
  const IpAddress address = unmapped(given);
  return std::any_of(rules_.allow.begin(), rules_.allow.end(),
                     [&](const IpRange& range) { return holds(range, address); });
}

}  // namespace postrider
