#pragma once
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>

#include "engine/core/time.h"

namespace postrider {

// How much may be left and taken: a bucket that holds two seconds' worth (at least `least`), and fills again.
struct Allowance {
  double per_second = 0;  // 0: no limit
  double least = 1;       // tokens that it holds at least
  double full() const { return per_second * 2 > least ? per_second * 2 : least; }
};

// What an answer tells of a limit (RateLimit-Limit, -Remaining, -Reset), and whether the request was within
// it.
struct Charge {
  bool admitted = true;
  bool limited = false;  // false: there is no limit, and nothing to tell
  std::int64_t limit = 0, remaining = 0;
  std::int64_t reset_s = 0;  // until the bucket is full
  std::int64_t retry_s = 0;  // not admitted: until there is one again, at least 1
};

// Buckets by name. A value, no clock. Bounded: of more than `names_max` names the one that was heard of
// longest ago is forgotten, and begins with a full bucket when it comes back.
class Buckets {
 public:
  explicit Buckets(std::size_t names_max) : names_max_(names_max) {}
  Charge take(const std::string& name, const Allowance& allowance, SteadyTime now);
  Charge look(const std::string& name, const Allowance& allowance, SteadyTime now) const;
  bool knows(const std::string& name) const { return buckets_.contains(name); }
  void forget(const std::string& name);
  std::size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens = 0;
    SteadyTime counted_at{};
    std::list<std::string>::iterator place;
  };
  const std::size_t names_max_;
  std::unordered_map<std::string, Bucket> buckets_;
  std::list<std::string> by_use_;  // heard of longest ago first
};

// Who may ask the API, and how often. Three limits: of a token, once it has proved valid; of an address, for
// all that comes from it without such a token; and of failed authentications of an address, after which it is
// answered nothing but that, except to tokens that have proved valid. So nobody who guesses shuts out those
// who share an address with him. The API's thread.
class RequestLimiter {
 public:
  struct Limits {
    Allowance tenant_token;    // bound to a tenant
    Allowance platform_token;  // the platform's own
    Allowance address;
    Allowance failures;
  };
  static constexpr std::size_t kTokensMax = 10'000, kAddressesMax = 20'000;

  explicit RequestLimiter(const Limits& limits) : limits_(limits) {}

  // A request's head has come. `token`: a hash, empty: none.
  Charge arrived(const std::string& address, const std::string& token, SteadyTime now);
  // Its token is valid. Charges it if arrived() did not, not knowing it. `bearer`: whose it is, where one may
  // have many tokens, which share what he may; empty: the token is alone.
  Charge authenticated(const std::string& token, bool platform, SteadyTime now,
                       const std::string& bearer = {});
  // What answers without a token tell.
  Charge standing(const std::string& address, SteadyTime now) const;
  // Its token is not, or there is none where one is needed.
  void failed(const std::string& address, const std::string& token, SteadyTime now);

 private:
  struct Bearer {
    std::string name;
    bool platform = false;
    bool operator==(const Bearer&) const = default;
  };
  Buckets& tokens(bool platform) { return platform ? platform_tokens_ : tenant_tokens_; }
  const Allowance& allowed(bool platform) const {
    return platform ? limits_.platform_token : limits_.tenant_token;
  }
  bool is_of(const std::string& token, const Bearer& bearer);

  const Limits limits_;
  Buckets tenant_tokens_{kTokensMax}, platform_tokens_{kTokensMax}, addresses_{kAddressesMax},
      failures_{kAddressesMax};
  std::unordered_map<std::string, Bearer> bearers_;  // by token; at most kTokensMax
};

// What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which is one customer's network.
std::string client_of(const std::string& address);

}  // namespace postrider
