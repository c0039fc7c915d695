#include "engine/curl/connect_guard.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

namespace postrider {

std::optional<IpAddress> address_of(const sockaddr& address) {
  IpAddress result;
  if (address.sa_family == AF_INET) {
    std::memcpy(result.bytes.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    return result;
  }
  if (address.sa_family == AF_INET6) {
    result.v6 = true;
    std::memcpy(result.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
    return result;
  }
  return std::nullopt;
}

std::vector<IpAddress> own_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, &freeifaddrs);
  std::vector<IpAddress> own;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;  // an interface without addresses
    if (const auto address = address_of(*one->ifa_addr)) own.push_back(*address);
  }
  return own;
}

bool ConnectGuard::take_own(std::vector<IpAddress> own) {
  if (own == policy_.rules().own) return false;
  GuardRules rules = policy_.rules();
  rules.own = std::move(own);
  policy_ = AddressPolicy(std::move(rules));
  return true;
}

}  // namespace postrider
