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
  // `pass` is called with what the token may do, or with why not (AUTH_FAILED; or the service's own failure).
  void check(const std::string& hash, SteadyTime now, std::function<void(Result<Grant>)> pass);
  void forget() { known_.clear(); }

  static constexpr Millis kRemembered{500};

 private:
  void remember(const std::string& hash, SteadyTime asked_at, const Grant& grant);

  struct Known {
    SteadyTime asked_at;
    Grant grant;
  };
  Service& service_;
  std::map<std::string, Known> known_;  // by hash
};

Error auth_failed();
// The token is valid, and is not for that.
Error permission_denied(std::string message, std::string suggestion);

}  // namespace postrider
