#pragma once
#include <sys/socket.h>

#include <optional>
#include <utility>
#include <vector>

#include "engine/core/address_policy.h"

// The last word before a byte leaves: may this address be dialled, or this open connection be used again? It
// is asked with the address itself, so no name, spelling or later DNS answer gets past it. A value; no locks.
namespace postrider {

std::optional<IpAddress> address_of(const sockaddr& address);  // nullopt: neither IPv4 nor IPv6

// Of every interface of this machine (of its network namespace), as they are now. Empty where the kernel does
// not tell. What only a route makes local (a virtual server's, AnyIP) stands on no interface.
std::vector<IpAddress> own_addresses();

class ConnectGuard {
 public:
  explicit ConnectGuard(AddressPolicy policy) : policy_(std::move(policy)) {}

  // `plain`: without TLS, which only an allowed loopback address may have, in development.
  bool admits(const IpAddress& address, std::uint16_t port, bool plain) const {
    return !policy_.refusal(address, port, plain);
  }
  bool admits_plain_http() const { return policy_.admits_plain_http(); }
  const AddressPolicy& policy() const { return policy_; }
  // The machine's addresses, as they are now. True: they are others than before.
  bool take_own(std::vector<IpAddress> own);

 private:
  AddressPolicy policy_;
};

}  // namespace postrider
