#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/core/address_policy.h"
#include "engine/core/result.h"

namespace postrider {

// The proxy through which requests leave the network (HTTP CONNECT), where the operator names one. By its
// address: a name would have to be asked for beside the vetting.
struct EgressProxy {
  IpAddress address;
  std::uint16_t port = 0;
};
Result<EgressProxy> parse_egress_proxy(
    std::string_view text);  // "http://10.0.0.5:3128", "http://[fd00::5]:3128"
std::string format_egress_proxy(const EgressProxy& proxy);

}  // namespace postrider
