#pragma once
#include <memory>
#include <vector>

#include "engine/core/result.h"
#include "engine/core/secret.h"
#include "engine/ports/keys.h"

namespace postrider::crypto {

// Signs with HMAC-SHA256 (RFC 2104) or Ed25519 (RFC 8032), one code per secret in the order given. Each HMAC
// is keyed once, and its two states copied for each message. The result is not thread-safe:
// it belongs to the shard that asked. It keeps no copy of the HMAC
// secrets, only what they lead to, in the secure heap; Ed25519 keys lie in libcrypto. Errc::invalid: no
// secret, an empty one, or an Ed25519 key whose public half does not belong to it.
Result<std::unique_ptr<Signer>> make_signer(const std::vector<SigningSecret>& secrets);

}  // namespace postrider::crypto
