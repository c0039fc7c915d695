#include "engine/crypto/tenant_keys.h"

#include <openssl/crypto.h>

#include <tuple>

#include "engine/crypto/signer.h"
#include "engine/wire/codec.h"

namespace postrider::crypto {
namespace {

// STORED FORMATS, pinned by tests/crypto/tenant_keys_test.cc: what stands first in the associated data.
constexpr std::string_view kValueLabel = "postrider-value-v1";
constexpr std::string_view kDataKeyLabel = "postrider-data-key-v1";
constexpr std::string_view kTenantKeyLabel = "postrider-tenant-key-v1";

std::string value_associated(const SealContext& context, std::string_view key_id) {
  return std::string(Associated()
                         .add(kValueLabel)
                         .add(context.environment.str())
                         .add(context.tenant.str())
                         .add(context.endpoint)
                         .add(context.purpose)
                         .add(key_id)
                         .view());
}

std::string data_key_associated(const SealContext& context, std::string_view key_id) {
  return std::string(Associated()
                         .add(kDataKeyLabel)
                         .add(context.environment.str())
                         .add(context.tenant.str())
                         .add(key_id)
                         .view());
}

std::string shown(const TenantId& tenant) {
  return tenant.empty() ? std::string("the environment") : "tenant " + tenant.str();
}

tl::unexpected<Error> not_yet(const TenantId& tenant) {
  return fail(Errc::unavailable, "KEY_NOT_YET", "no key of " + shown(tenant) + " that fits is known yet",
              "wait until the keys topic has been read");
}

tl::unexpected<Error> value_corrupt() {
  return fail(Errc::corrupt, "SEALED_VALUE_CORRUPT",
              "a sealed value was changed, or belongs to another tenant, endpoint or purpose",
              "compare the record with its copy on the log");
}

}  // namespace

TenantKeys::TenantKeys(Environment environment, KeyService& service, const Clock& clock)
    : environment_(std::move(environment)), service_(service), clock_(clock) {}

std::string TenantKeys::key_associated(const TenantId& tenant, std::string_view key_id) const {
  return std::string(
      Associated().add(kTenantKeyLabel).add(environment_.str()).add(tenant.str()).add(key_id).view());
}

void TenantKeys::apply(const WrappedKeyFact& fact) {
  TenantKey& key = tenants_[fact.tenant.str()][fact.key_id];
  if (key.fact.destroyed) return;  // for ever: a later record of it is a zombie's
  // A re-wrap replaces the wrapped bytes, never the key: an unwrapped one stays as it is.
  key.fact = fact;
  if (fact.destroyed) {
    key.cipher.reset();
    key.fact.wrapped.clear();
  }
}

TenantKeys::TenantKey* TenantKeys::sealing_key(const TenantId& tenant) {
  const auto keys = tenants_.find(tenant.str());
  if (keys == tenants_.end()) return nullptr;
  TenantKey* first = nullptr;
  for (auto& [id, key] : keys->second) {
    if (key.fact.destroyed) continue;
    if (first == nullptr || key.fact.created_at < first->fact.created_at) first = &key;  // ids rise in a map
  }
  return first;
}

bool TenantKeys::has_key(const TenantId& tenant) const {
  const auto keys = tenants_.find(tenant.str());
  if (keys == tenants_.end()) return false;
  for (const auto& [id, key] : keys->second) {
    if (!key.fact.destroyed) return true;
  }
  return false;
}

Result<WrappedKeyFact> TenantKeys::make_key(const TenantId& tenant) {
  WrappedKeyFact fact;
  fact.tenant = tenant;
  SystemRandom random;
  const std::uint64_t high = random.next();
  fact.key_id = random_id("key_", high, random.next());
  fact.service = service_.name();
  fact.created_at = to_ms(clock_.wall());
  const Secret key = random_.secret(kKeyBytes);
  Result<std::string> wrapped = service_.wrap(key.reveal(), key_associated(tenant, fact.key_id));
  if (!wrapped) return fail(std::move(wrapped.error()));
  fact.wrapped = std::move(*wrapped);
  return fact;
}

Result<AesGcm*> TenantKeys::unwrapped(TenantKey& key) {
  const WrappedKeyFact& fact = key.fact;
  if (fact.destroyed) {
    return fail(Errc::denied, "KEY_DESTROYED", "the key of " + shown(fact.tenant) + " was destroyed",
                "nothing brings it back: what was sealed under it is gone");
  }
  if (key.cipher) return key.cipher.get();
  if (fact.service != service_.name()) {
    return fail(Errc::unavailable, "KEY_SERVICE_OTHER",
                "the key of " + shown(fact.tenant) + " was wrapped by " + fact.service + ", not by " +
                    service_.name(),
                "start with the key file that was in use when the key was made");
  }
  const Result<Secret> bytes = service_.unwrap(fact.wrapped, key_associated(fact.tenant, fact.key_id));
  if (!bytes) return fail(bytes.error());
  if (bytes->reveal().size() != kKeyBytes) return value_corrupt();
  key.cipher = std::make_unique<AesGcm>(bytes->reveal());
  return key.cipher.get();
}

Result<void> TenantKeys::check(const SealContext& context) const {
  if (context.environment == environment_) return {};
  return fail(Errc::invalid, "ENVIRONMENT_MISMATCH",
              "a value of environment " + context.environment.str() + " was asked of " + environment_.str(),
              "ask an instance of that environment");
}

Result<std::string> TenantKeys::seal(const SealContext& context, std::string_view bytes) {
  if (Result<void> ours = check(context); !ours) return fail(std::move(ours.error()));
  TenantKey* const key = sealing_key(context.tenant);
  if (key == nullptr) return not_yet(context.tenant);
  const Result<AesGcm*> wrapping = unwrapped(*key);
  if (!wrapping) return fail(wrapping.error());

  wire::SealedParts parts;
  parts.key_id = key->fact.key_id;
  std::string fresh(kKeyBytes + 2 * kNonceBytes, '\0');
  random_.fill({reinterpret_cast<unsigned char*>(fresh.data()), fresh.size()});
  const std::string_view data_key = std::string_view(fresh).substr(0, kKeyBytes);
  parts.nonce = fresh.substr(kKeyBytes, kNonceBytes);
  parts.wrapped_data_key = fresh.substr(kKeyBytes + kNonceBytes);

  const std::string wrap_nonce = parts.wrapped_data_key;
  (*wrapping)->seal(wrap_nonce, data_key_associated(context, parts.key_id), data_key, parts.wrapped_data_key);
  data_cipher_.rekey_sealing(data_key);
  OPENSSL_cleanse(fresh.data(), fresh.size());
  data_cipher_.seal(parts.nonce, value_associated(context, parts.key_id), bytes, parts.ciphertext);
  return wire::encode_sealed(parts);
}

Result<Secret> TenantKeys::open(const SealContext& context, std::string_view sealed) {
  if (Result<void> ours = check(context); !ours) return fail(std::move(ours.error()));
  const Result<wire::SealedParts> parts = wire::decode_sealed(sealed);
  if (!parts) return fail(parts.error());
  const auto keys = tenants_.find(context.tenant.str());
  if (keys == tenants_.end()) return not_yet(context.tenant);
  const auto key = keys->second.find(parts->key_id);
  if (key == keys->second.end()) return not_yet(context.tenant);
  const Result<AesGcm*> wrapping = unwrapped(key->second);
  if (!wrapping) return fail(wrapping.error());

  const std::string_view wrapped = parts->wrapped_data_key;
  if (wrapped.size() != kNonceBytes + kKeyBytes + kTagBytes) return value_corrupt();
  std::optional<std::string> unwrapped_key =
      (*wrapping)->open(wrapped.substr(0, kNonceBytes), data_key_associated(context, parts->key_id),
                        wrapped.substr(kNonceBytes));
  if (!unwrapped_key) return value_corrupt();
  const Secret data_key(std::move(*unwrapped_key));
  data_cipher_.rekey_opening(data_key.reveal());
  std::optional<std::string> bytes =
      data_cipher_.open(parts->nonce, value_associated(context, parts->key_id), parts->ciphertext);
  if (!bytes) return value_corrupt();
  return Secret(std::move(*bytes));
}

Result<std::unique_ptr<Signer>> TenantKeys::signer(const std::vector<SigningSecret>& secrets) {
  return make_signer(secrets);
}

}  // namespace postrider::crypto
