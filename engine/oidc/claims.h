#pragma once
#include <map>
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "engine/core/scope.h"
#include "engine/core/time.h"
#include "engine/oidc/key_set.h"

namespace postrider::oidc {

// Which tokens are taken, and what they may do here.
struct ClaimRules {
  std::string issuer, audience;
  std::string roles_claim;              // "roles", or with dots into objects: "realm_access.roles"
  std::map<std::string, Scopes> roles;  // of a value of that claim; others mean nothing
  std::string tenant_claim;             // empty: every token is of the platform
};

inline constexpr std::size_t kTokenBytesMax = 8 * 1024;

// Three parts of base64url, of which the first is a JSON object's: no token of ours looks like that.
bool looks_like_jwt(std::string_view token);
// AUTH_FAILED: too long, no JWT or one in another spelling than RFC 7515's, or of a kind that is not taken.
Result<TokenHead> read_head(std::string_view token);
// Judges what was verified: issuer, audience, time (RFC 7519 §4.1, a minute of leeway). AUTH_FAILED says what
// is wrong, and repeats nothing of it.
// Of a token whose key is not known: whether it says of itself, unverified, that it is of that issuer, is
// good still, and was made (iat) after `as_of`, a minute of leeway again. Then its key may be newer than what
// stood there.
bool may_be_newer(std::string_view token, const std::string& issuer, WallTime now, WallTime as_of);
Result<Grant> read_claims(std::string_view claims, const ClaimRules& rules, WallTime now);

Error not_accepted(std::string why);

}  // namespace postrider::oidc
