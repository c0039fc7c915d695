#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

// Which addresses may be dialled (S3). Judged on what is dialled, never on the name.
namespace postrider {

struct IpAddress {
  bool v6 = false;
  std::array<unsigned char, 16> bytes{};  // v4: the first four
  auto operator<=>(const IpAddress&) const = default;
};
std::optional<IpAddress> parse_ip(std::string_view text);  // canonical spellings only: "127.0.0.1", "::1"
std::string format_ip(const IpAddress& address);

struct IpRange {
  IpAddress base;
  std::uint8_t prefix_bits = 0;
};
Result<IpRange> parse_range(std::string_view text);  // "127.0.0.0/8"

struct PortRange {
  std::uint16_t first = 0, last = 0;  // both included
};
Result<PortRange> parse_ports(std::string_view text);  // "9443", "9000-9099"
std::string format_ports(const PortRange& ports);

// What the operator decides about where requests may go, and what the machine knows.
struct GuardRules {
  std::vector<IpRange> allow = {};    // may be dialled though the range that holds them is refused
  std::vector<PortRange> ports = {};  // beside 443 and 8443
  std::vector<IpAddress> own = {};    // of the machine's interfaces
  // `environment = "development"`: at an allowed address any port, and plain http if it is loopback.
  bool development = false;
};

// A value, asked where an endpoint is registered, where its name's answers are vetted, and where a socket is
// about to be opened or used again: one judge, so that what one lets through the next does not wonder at.
class AddressPolicy {
 public:
  explicit AddressPolicy(GuardRules rules = {});

  // nullopt: may be dialled. Else why not: "loopback", "private", "link_local", "metadata", "multicast", …
  // An address that carries another one to be dialled by somebody on the way (NAT64, 6to4, Teredo,
  // translated, v4-compatible) is refused, and named by what it carries if that is refused too. Where its
  // range is allowed, what it carries is judged in its place. A v4-mapped one is the v4 address.
  std::optional<std::string_view> refusal(const IpAddress& address) const;
  // Also judges the port ("port") and whether it may go without TLS (`plain`: "plain_http").
  std::optional<std::string_view> refusal(const IpAddress& address, std::uint16_t port, bool plain) const;

  bool admits_port(std::uint16_t port) const;       // at any address
  bool is_allowed(const IpAddress& address) const;  // by a range of `allow`
  // Plain http may be used somewhere: at allowed loopback addresses, in development.
  bool admits_plain_http() const { return rules_.development; }
  const GuardRules& rules() const { return rules_; }

 private:
  std::optional<std::string_view> refusal_behind(const IpAddress& address, const IpRange& by) const;

  GuardRules rules_;
};

}  // namespace postrider
