#pragma once
#include <string>
#include <string_view>

#include "engine/core/secret.h"

// New secrets for people and programs to hold. Any thread.
namespace postrider::crypto {

// An API token: "ptk_" + 43 characters of base64url (RFC 4648 §5, unpadded) over 32 random bytes.
Secret fresh_token();
// What is kept of a token: SHA-256 of its text in lower-case hex. 256 random bits need no slow hash.
std::string token_hash(std::string_view token);

// A signing secret of 32 random bytes, HMAC.
SigningSecret fresh_signing_secret();

}  // namespace postrider::crypto
