#include "engine/curl/connect_guard.h"

#include <netinet/in.h>

#include <cstring>

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

}  // namespace postrider
