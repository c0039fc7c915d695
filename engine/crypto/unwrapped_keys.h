#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/fact.h"
#include "engine/core/secret.h"
#include "engine/core/time.h"
#include "engine/crypto/errands.h"
#include "engine/crypto/key_services.h"
#include "engine/ports/clock.h"

namespace postrider::crypto {

// Tenants' keys in the clear, for less than five minutes: a key that is disabled at its service is of no more
// use here after that. Whoever uses one in its last minute has it asked for anew meanwhile, so that traffic
// does not stop. What the service did is told once each, for the audit. Shared by the shards of a process;
// any thread. A service across the network is asked by errands; a local one at once.
class UnwrappedKeys {
 public:
  static constexpr Millis kKeptFor{4 * 60'000 +
                                   30'000};  // from when it was asked for; forget() takes it by 5 min
  static constexpr Millis kAskedAnewFrom{3 * 60'000 + 30'000};
  static constexpr std::size_t kToldMax = 10'000;

  // A key, until then. Whoever holds it lets go by `until`.
  struct Key {
    Secret bytes;
    SteadyTime ask_again;
    SteadyTime until;
  };
  using Handle = std::shared_ptr<const Key>;  // shared by the shards

  UnwrappedKeys(const KeyServices& services, const Clock& clock,
                std::unique_ptr<Errands> errands = std::make_unique<ThreadedErrands>());

  // Errors: KEY_PENDING (it is being asked for), or why the service did not give it: Errc::corrupt, or
  // unavailable, a denied one too, since it may be allowed again.
  Result<Handle> get(const WrappedKeyFact& fact, const std::string& associated);
  // Wraps 32 random bytes; `fact` has all but service and wrapped. KEY_PENDING: ask again with the same key
  // id.
  Result<WrappedKeyFact> wrap_new(WrappedKeyFact fact, const std::string& associated);

  // Lets go of one, for ever: it was destroyed.
  void drop(const WrappedKeyFact& fact);
  // Lets go of what is over.
  void forget();
  // What was done since the last call: action, resource, tenant, source, outcome and error are filled in.
  std::vector<AuditFact> take_told();

 private:
  struct Entry {
    Handle key;
    bool asked = false;
    std::optional<Error> why_not;
    SteadyTime next_try{};
    Millis wait{0};
  };
  struct Making {
    bool asked = false;
    std::optional<Result<std::string>> wrapped;
  };
  void take_key(const WrappedKeyFact& fact, SteadyTime asked_at, Result<Secret> bytes);
  void tell(const WrappedKeyFact& fact, const char* action, const Error* error);

  const KeyServices& services_;
  const Clock& clock_;
  std::mutex lock_;
  std::map<std::string, Entry> entries_;   // by record key
  std::map<std::string, Making> makings_;  // by record key
  std::vector<AuditFact> told_;
  const std::unique_ptr<Errands> errands_;  // last: what is under way ends before the rest goes
};

}  // namespace postrider::crypto
