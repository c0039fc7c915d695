#pragma once
#include <memory>
#include <vector>

#include "engine/config/config.h"
#include "engine/crypto/key_services.h"
#include "engine/ports/key_service.h"

namespace postrider {

// The key service that the configuration names, for the daemon and for postrider-ops. `development` allows
// plain HTTP to a loopback address. Only a file is read here; a Vault or a token may be away.
// Errors: INVALID_KEY_SERVICE, KEY_CREDENTIAL_MISSING, those of the key file; later, of a credential's file:
// KEY_CREDENTIAL_MISSING, _PERMISSIONS, _UNREADABLE (unavailable: it may be written again).
Result<std::unique_ptr<KeyService>> open_key_service(const KeyServiceConfig& config, bool development);

// All that the configuration names.
struct OpenedKeyServices {
  std::vector<std::unique_ptr<KeyService>> owned;
  std::unique_ptr<crypto::KeyServices> services;
};
Result<OpenedKeyServices> open_key_services(const Config& config);

}  // namespace postrider
