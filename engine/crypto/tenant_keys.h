#pragma once
#include <map>
#include <memory>
#include <string>

#include "engine/core/ids.h"
#include "engine/crypto/aes_gcm.h"
#include "engine/crypto/random_bytes.h"
#include "engine/ports/clock.h"
#include "engine/ports/key_service.h"
#include "engine/ports/keys.h"

namespace postrider::crypto {

// Envelope encryption (DESIGN §11): each value under a data key of its own, that under the tenant's key, that
// under the key service's. Lives on the shard's thread and borrows the service and the clock.
//
// A tenant's key is unwrapped when it is first needed and kept, as a key schedule only, until it is
// destroyed. Of several live keys the one made first seals (by created_at, then id): all instances choose
// alike, in whatever order compaction left the records. Data keys are wrapped under random nonces: below 2^32
// values per tenant and key the chance that two of them meet is under 2^-32 (SP 800-38D §8.3).
//
// Errors of seal and open: KEY_NOT_YET (unavailable), KEY_DESTROYED (denied), SEALED_VALUE_CORRUPT (corrupt:
// changed, or sealed for another tenant, endpoint or purpose), KEY_SERVICE_OTHER (unavailable: its tenant key
// was wrapped by another key service than the one configured), ENVIRONMENT_MISMATCH (invalid).
class TenantKeys final : public Keys {
 public:
  TenantKeys(Environment environment, KeyService& service, const Clock& clock);

  void apply(const WrappedKeyFact& fact) override;
  bool has_key(const TenantId& tenant) const override;
  Result<WrappedKeyFact> make_key(const TenantId& tenant) override;
  Result<std::string> seal(const SealContext& context, std::string_view bytes) override;
  Result<Secret> open(const SealContext& context, std::string_view sealed) override;
  Result<std::unique_ptr<Signer>> signer(const std::vector<SigningSecret>& secrets) override;

 private:
  struct TenantKey {
    WrappedKeyFact fact;
    std::unique_ptr<AesGcm> cipher;  // once unwrapped
  };
  using KeysById = std::map<std::string, TenantKey, std::less<>>;

  TenantKey* sealing_key(const TenantId& tenant);
  Result<AesGcm*> unwrapped(TenantKey& key);
  Result<void> check(const SealContext& context) const;
  std::string key_associated(const TenantId& tenant, std::string_view key_id) const;

  const Environment environment_;
  KeyService& service_;
  const Clock& clock_;
  std::map<std::string, KeysById, std::less<>> tenants_;
  AesGcm data_cipher_;  // rekeyed for each value
  RandomBytes random_;
};

}  // namespace postrider::crypto
