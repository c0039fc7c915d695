#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "engine/core/result.h"
#include "engine/core/time.h"
#include "engine/ports/resolver.h"

// The Resolver over c-ares, in a loop of its own whose descriptor is wake_fd(). Asks /etc/hosts, then DNS,
// for A and AAAA; no search domains, no HOSTALIASES: a name means itself. One lookup at a time per name,
// whoever asks; answers are kept for their TTL within [5 s, 5 min], failures for 5 s. Every answer, a literal
// address's too, comes from a later poll(). The shard's thread only.
//
// Failures: not_found DNS_NOT_FOUND (no such name, or none of its records is an address); unavailable
// DNS_FAILED (no server answered in time); overloaded DNS_OVERLOADED (too many names at once).
namespace postrider {

class CaresResolver final : public Resolver {
 public:
  struct Options {
    Millis timeout{5'000};  // of one resolve()
    std::string servers;    // "10.0.0.53:53,[fd00::53]:53"; empty: /etc/resolv.conf
    std::size_t names_cached_max = 10'000;
    std::size_t lookups_max = 4'096;  // names being asked for at once
  };

  static Result<std::unique_ptr<CaresResolver>> create(Options options);
  static Result<std::unique_ptr<CaresResolver>> create();
  ~CaresResolver() override;  // lookups on their way end without an answer

  void resolve(const std::string& host, std::uint64_t token) override;
  std::size_t poll(ResolverListener& listener) override;
  int wake_fd() const override;

 private:
  struct Impl;
  explicit CaresResolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace postrider
