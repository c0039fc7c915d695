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

class AddressPolicy {
 public:
  // `allowed` ranges override the refusals.
  explicit AddressPolicy(std::vector<IpRange> allowed = {}) : allowed_(std::move(allowed)) {}
  // nullopt: may be dialled. Else why not: "loopback", "private", "link_local", "metadata", "multicast", …
  // v4-mapped, NAT64, 6to4 and Teredo addresses are judged by the v4 address inside as well.
  std::optional<std::string_view> refusal(const IpAddress& address) const;
  // Loopback and allowed: plain http may be used there in development.
  bool is_allowed_loopback(const IpAddress& address) const;

 private:
  std::vector<IpRange> allowed_;
};

}  // namespace postrider
