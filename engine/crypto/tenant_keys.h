#pragma once
#include <map>
#include <memory>
#include <string>

#include "engine/core/ids.h"
#include "engine/crypto/aes_gcm.h"
#include "engine/crypto/random_bytes.h"
#include "engine/crypto/unwrapped_keys.h"
#include "engine/ports/clock.h"
#include "engine/ports/keys.h"

namespace postrider::crypto {

// What is bound into a wrapped tenant key.
std::string tenant_key_associated(const Environment& environment, const TenantId& tenant,
                                  std::string_view key_id);

// Envelope encryption (DESIGN §11): each value under a data key of its own, that under the tenant's key, that
// under the key service's. Lives on the shard's thread; borrows the unwrapped keys and the clock.
//
// A tenant's key is had from UnwrappedKeys when it is needed, and kept, as a key schedule only, for as long
// as that allows. Of several live keys the one of the highest generation seals, among those the one made
// first (by created_at, then id): all instances choose alike, in whatever order compaction left the records.
// Data keys are wrapped under random nonces: below 2^32 values per tenant and key the chance that two of them
// meet is under 2^-32 (SP 800-38D §8.3).
//
// Errors of seal and open: KEY_NOT_YET, KEY_PENDING (unavailable), KEY_DESTROYED (denied),
// SEALED_VALUE_CORRUPT (corrupt: changed, or sealed for another tenant, endpoint or purpose),
// KEY_SERVICE_OTHER (unavailable: its tenant key was wrapped by a key service that is not ours), those of the
// key service, ENVIRONMENT_MISMATCH (invalid).
class TenantKeys final : public Keys {
 public:
  TenantKeys(Environment environment, UnwrappedKeys& unwrapped, const Clock& clock);
  // With unwrapped keys of its own, of one service: for tools and tests.
  TenantKeys(Environment environment, KeyService& service, const Clock& clock);
  ~TenantKeys() override;

  void apply(const WrappedKeyFact& fact) override;
  bool has_key(const TenantId& tenant) const override;
  Result<WrappedKeyFact> make_key(const TenantId& tenant) override;
  Result<void> ready(const TenantId& tenant) override;
  SteadyTime kept_until(const TenantId& tenant) const override;
  std::vector<TenantId> sealed_by_keys_before(std::int64_t unix_ms) const override;
  std::vector<AuditFact> tick() override;
  Result<std::string> seal(const SealContext& context, std::string_view bytes) override;
  Result<Secret> open(const SealContext& context, std::string_view sealed) override;
  Result<std::unique_ptr<Signer>> signer(const std::vector<SigningSecret>& secrets) override;

 private:
  struct TenantKey {
    WrappedKeyFact fact;
    std::unique_ptr<AesGcm> cipher;   // while it is unwrapped
    UnwrappedKeys::Handle unwrapped;  // what it was made of
    SteadyTime look_again{};          // whether it was unwrapped anew
    void forget();
  };
  using KeysById = std::map<std::string, TenantKey, std::less<>>;

  TenantKey* sealing_key(const TenantId& tenant);
  static const TenantKey* sealing_key(const KeysById& keys);
  Result<AesGcm*> cipher_of(TenantKey& key);
  Result<void> check(const SealContext& context) const;
  std::string key_associated(const TenantId& tenant, std::string_view key_id) const;

  struct Own;
  TenantKeys(Environment environment, std::unique_ptr<Own> own, const Clock& clock);

  const Environment environment_;
  std::unique_ptr<Own> own_;
  UnwrappedKeys& unwrapped_;
  const Clock& clock_;
  std::map<std::string, KeysById, std::less<>> tenants_;
  std::map<TenantId, WrappedKeyFact> makings_;  // asked of the key service
  SteadyTime next_sweep_{};
  AesGcm data_cipher_;  // rekeyed for each value
  RandomBytes random_;
};

}  // namespace postrider::crypto
