#pragma once
#include <functional>
#include <map>
#include <string>

#include "engine/core/result.h"
#include "engine/core/time.h"
#include "engine/ports/service.h"

namespace postrider {

// Who may pass: knows tokens by their hash, asks the service, and remembers a yes for kRemembered. The API's
// thread.
class TokenGate {
 public:
  explicit TokenGate(Service& service) : service_(service) {}

  // The token of an Authorization header, hashed; empty: there is none.
  static std::string hash_of(const Headers& headers);
  // `pass` is called with nothing, or with why not (AUTH_FAILED; or the service's own failure).
  void check(const std::string& hash, SteadyTime now, std::function<void(Result<void>)> pass);
  // Remembers an answer of the service.
  void remember(const std::string& hash, SteadyTime asked_at);
  void forget() { accepted_.clear(); }

  static constexpr Millis kRemembered{500};

 private:
  Service& service_;
  std::map<std::string, SteadyTime> accepted_;  // hash → when the service was asked
};

Error auth_failed();

}  // namespace postrider
