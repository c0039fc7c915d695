#pragma once
#include <functional>
#include <map>
#include <string>

#include "engine/core/result.h"
#include "engine/core/secret.h"
#include "engine/core/time.h"
#include "engine/ports/outside_tokens.h"
#include "engine/ports/service.h"

namespace postrider {

// The token of an Authorization header.
struct Bearer {
  std::string hash;  // of it; empty: there is none
  Secret outside;    // itself, where another authority is to judge it; else empty
};

// Who may pass: knows tokens by their hash, asks the service or the authority that they are of, and remembers
// a yes for kRemembered. The API's thread.
class TokenGate {
 public:
  // `outside`: may be nullptr; outlives it.
  TokenGate(Service& service, OutsideTokens* outside) : service_(service), outside_(outside) {}

  Bearer bearer_of(const Headers& headers) const;
  // `pass` is called with what the token may do, or with why not (AUTH_FAILED; or the service's own failure).
  void check(const Bearer& bearer, SteadyTime now, std::function<void(Result<Grant>)> pass);
  void forget() { known_.clear(); }

  static constexpr Millis kRemembered{500};

 private:
  void remember(const std::string& hash, SteadyTime asked_at, const Grant& grant);

  struct Known {
    SteadyTime asked_at;
    Grant grant;
  };
  Service& service_;
  OutsideTokens* const outside_;
  std::map<std::string, Known> known_;  // by hash
};

Error auth_failed();
// The token is valid, and is not for that.
Error permission_denied(std::string message, std::string suggestion);

}  // namespace postrider
