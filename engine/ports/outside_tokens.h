#pragma once
#include <functional>
#include <string_view>

#include "engine/core/result.h"
#include "engine/core/scope.h"

namespace postrider {

// Tokens that another authority made, by which operators come in beside those of ours. The API's thread.
class OutsideTokens {
 public:
  virtual ~OutsideTokens() = default;
  // Whether a bearer's text is for it; else it is a token of ours.
  virtual bool is_one(std::string_view token) const = 0;
  // `done` is called once: in the call, or later on the same thread, when the authority's keys had to be
  // asked for. AUTH_FAILED (denied): it is not valid here. OIDC_UNAVAILABLE (unavailable): that cannot be
  // known now.
  virtual void judge(std::string_view token, std::function<void(Result<Grant>)> done) = 0;
};

}  // namespace postrider
