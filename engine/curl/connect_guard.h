#pragma once
#include <sys/socket.h>

#include <optional>
#include <utility>

#include "engine/core/address_policy.h"

// The last word before a byte leaves: may this address be dialled, or this open connection be used again? It
// is asked with the address itself, so no name, spelling or later DNS answer gets past it. A value; no locks.
namespace postrider {

std::optional<IpAddress> address_of(const sockaddr& address);  // nullopt: neither IPv4 nor IPv6

class ConnectGuard {
 public:
  ConnectGuard(AddressPolicy policy, bool allow_plain_http_loopback)
      : policy_(std::move(policy)), allow_plain_http_loopback_(allow_plain_http_loopback) {}

  // `plain`: without TLS, which only an allowed loopback address may have, in development.
  bool admits(const IpAddress& address, bool plain) const {
    if (plain) return allow_plain_http_loopback_ && policy_.is_allowed_loopback(address);
    return !policy_.refusal(address);
  }
  bool admits_plain_http() const { return allow_plain_http_loopback_; }

 private:
  AddressPolicy policy_;
  bool allow_plain_http_loopback_;
};

}  // namespace postrider
