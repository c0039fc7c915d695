#pragma once
#include <functional>
#include <memory>
#include <string>

#include "engine/ports/key_service.h"

namespace postrider {

struct TokenOptions {
  std::string uri;  // RFC 7512: which token (token=, serial=, …), which key (object=, id=), module-path=
  std::function<Result<Secret>()> pin;  // asked at each login
};

// An AES key in a PKCS#11 token, a hardware module or SoftHSM: wraps with CKM_AES_GCM inside the token, the
// key never leaves it. libp11-kit loads the vendor's module. One session, opened anew when the token took it
// away. A PIN that was refused is not tried again in this process: a token locks itself after a few.
//
// STORED FORMAT of what it wraps: version 1 (1 byte) | nonce (12) | ciphertext | tag (16). The nonces are the
// token's own random bytes.
//
// Named "pkcs11:TOKEN/OBJECT". Errors: INVALID_KEY_SERVICE (the URI, or no such module), those of
// ports/key_service.h: a token that is away does not keep this from opening.
Result<std::unique_ptr<KeyService>> open_token_key_service(TokenOptions options);

}  // namespace postrider
