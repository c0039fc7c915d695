#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/address_policy.h"
#include "engine/core/result.h"
#include "engine/core/time.h"

namespace postrider {

struct Resolved {
  std::vector<IpAddress> addresses;  // never empty
  Millis ttl{0};                     // how long they may be used, clamped to [5 s, 5 min]
};

class ResolverListener {
 public:
  virtual ~ResolverListener() = default;
  virtual void on_resolved(std::uint64_t token, Result<Resolved> resolved) = 0;
};

// Names to addresses, unvetted. Not thread-safe: the shard's thread. Literals are answered too. Never blocks.
class Resolver {
 public:
  virtual ~Resolver() = default;
  virtual void resolve(const std::string& host, std::uint64_t token) = 0;
  virtual std::size_t poll(ResolverListener& listener) = 0;
  virtual int wake_fd() const = 0;  // -1: none
};

}  // namespace postrider
