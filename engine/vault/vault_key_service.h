#pragma once
#include <functional>
#include <memory>
#include <string>

#include "engine/core/key_place.h"
#include "engine/core/time.h"
#include "engine/ports/key_service.h"

namespace postrider {

struct VaultOptions {
  KeyPlace place;
  // Asked before each call: an agent that renews the token writes it anew.
  std::function<Result<Secret>()> token;
  std::string ca_file;   // PEM of a private authority; empty: the system's
  Millis timeout{5000};  // of one call in all
};

// The transit engine of HashiCorp Vault, or OpenBao, over its HTTP API v1 (POST /v1/MOUNT/encrypt/KEY and
// decrypt/KEY). The key never leaves it; which of its versions wrapped stands in what it gives
// ("vault:v2:…"). TLS ≥ 1.2, verified; no redirect is followed, since the token would go with it; no proxy.
//
// What is wrapped begins with a digest of the associated data, and so opens for nothing else whichever
// version of Vault, whether it knows `associated_data` (1.13) or not. The same digest is the `context` that a
// key made with derived=true asks for; others ignore it.
//
// Its policy needs `update` on encrypt/KEY and decrypt/KEY alone. With `create`, Vault would make a missing
// key instead of refusing.
//
// Named "vault:HOST:PORT/MOUNT/KEY". Errors: see ports/key_service.h.
Result<std::unique_ptr<KeyService>> open_vault_key_service(VaultOptions options);

}  // namespace postrider
