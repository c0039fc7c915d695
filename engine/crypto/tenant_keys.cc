#include "engine/crypto/tenant_keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "engine/crypto/signer.h"
#include "engine/wire/codec.h"

namespace postrider::crypto {
namespace {

// STORED FORMATS, pinned by tests/crypto/tenant_keys_test.cc: what stands first in the associated data.
constexpr std::string_view kValueLabel = "postrider-value-v1";
constexpr std::string_view kDataKeyLabel = "postrider-data-key-v1";
constexpr std::string_view kTenantKeyLabel = "postrider-tenant-key-v1";

constexpr Millis kLookAgain{1000};
constexpr Millis kSweepEvery{30'000};

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

std::string tenant_key_associated(const Environment& environment, const TenantId& tenant,
                                  std::string_view key_id) {
  return std::string(
      Associated().add(kTenantKeyLabel).add(environment.str()).add(tenant.str()).add(key_id).view());
}

struct TenantKeys::Own {
  Own(KeyService& service, const Clock& clock) : services(service), unwrapped(services, clock) {}
  KeyServices services;
  UnwrappedKeys unwrapped;
};

TenantKeys::TenantKeys(Environment environment, UnwrappedKeys& unwrapped, const Clock& clock)
    : environment_(std::move(environment)), unwrapped_(unwrapped), clock_(clock) {}

TenantKeys::TenantKeys(Environment environment, std::unique_ptr<Own> own, const Clock& clock)
    : environment_(std::move(environment)),
      own_(std::move(own)),
      unwrapped_(own_->unwrapped),
      clock_(clock) {}

TenantKeys::TenantKeys(Environment environment, KeyService& service, const Clock& clock)
    : TenantKeys(std::move(environment), std::make_unique<Own>(service, clock), clock) {}

TenantKeys::~TenantKeys() = default;

void TenantKeys::TenantKey::forget() {
  cipher.reset();
  unwrapped.reset();
  look_again = {};
}

std::string TenantKeys::key_associated(const TenantId& tenant, std::string_view key_id) const {
  return tenant_key_associated(environment_, tenant, key_id);
}

void TenantKeys::apply(const WrappedKeyFact& fact) {
  TenantKey& key = tenants_[fact.tenant.str()][fact.key_id];
  if (key.fact.destroyed) return;  // for ever: a later record of it is a zombie's
  // A re-wrap replaces the wrapped bytes, never the key: an unwrapped one stays as it is.
  key.fact = fact;
  if (fact.destroyed) {
    key.forget();
    unwrapped_.drop(fact);
    key.fact.wrapped.clear();
  }
}

TenantKeys::TenantKey* TenantKeys::sealing_key(const TenantId& tenant) {
  const auto keys = tenants_.find(tenant.str());
  // It is ours to change: only the choice is const.
  return keys == tenants_.end() ? nullptr : const_cast<TenantKey*>(sealing_key(keys->second));
}

const TenantKeys::TenantKey* TenantKeys::sealing_key(const KeysById& keys) {
  const TenantKey* first = nullptr;
  for (const auto& [id, key] : keys) {
    if (key.fact.destroyed) continue;
    const bool newer = first != nullptr && key.fact.generation > first->fact.generation;
    const bool earlier = first != nullptr && key.fact.generation == first->fact.generation &&
                         key.fact.created_at < first->fact.created_at;
    if (first == nullptr || newer || earlier) first = &key;  // ids rise in a map
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
  auto [at, fresh] = makings_.try_emplace(tenant);
  WrappedKeyFact& fact = at->second;
  if (fresh) {
    fact.tenant = tenant;
    SystemRandom random;
    const std::uint64_t high = random.next();
    fact.key_id = random_id("key_", high, random.next());
    fact.created_at = to_ms(clock_.wall());
  }
  const TenantKey* const present = sealing_key(tenant);
  fact.generation = present == nullptr ? 0 : present->fact.generation + 1;
  auto made = unwrapped_.wrap_new(fact, key_associated(tenant, fact.key_id));
  if (made || !is_pending(made.error())) makings_.erase(at);
  return made;
}

Result<void> TenantKeys::ready(const TenantId& tenant) {
  TenantKey* const key = sealing_key(tenant);
  if (key == nullptr) return not_yet(tenant);
  const Result<AesGcm*> cipher = cipher_of(*key);
  if (!cipher) return fail(cipher.error());
  return {};
}

// The least of those that are unwrapped: which of them opened what, nobody has written down.
SteadyTime TenantKeys::kept_until(const TenantId& tenant) const {
  const auto keys = tenants_.find(tenant.str());
  SteadyTime until = SteadyTime::max();
  if (keys == tenants_.end()) return until;
  for (const auto& [id, key] : keys->second) {
    if (key.unwrapped) until = std::min(until, key.unwrapped->until);
  }
  return until;
}

std::vector<TenantId> TenantKeys::sealed_by_keys_before(std::int64_t unix_ms) const {
  std::vector<TenantId> tenants;
  for (const auto& [tenant, keys] : tenants_) {
    const TenantKey* const key = sealing_key(keys);
    if (key != nullptr && key->fact.created_at < unix_ms) tenants.emplace_back(tenant);
  }
  return tenants;
}

std::vector<AuditFact> TenantKeys::tick() {
  const SteadyTime now = clock_.steady();
  if (now >= next_sweep_) {
    next_sweep_ = now + kSweepEvery;
    for (auto& [tenant, keys] : tenants_) {
      for (auto& [id, key] : keys) {
        if (key.unwrapped && now >= key.unwrapped->until) key.forget();
      }
    }
    unwrapped_.forget();
  }
  return unwrapped_.take_told();
}

Result<AesGcm*> TenantKeys::cipher_of(TenantKey& key) {
  const SteadyTime now = clock_.steady();
  if (key.cipher && now < key.look_again) return key.cipher.get();
  const WrappedKeyFact& fact = key.fact;
  if (fact.destroyed) {
    return fail(Errc::denied, "KEY_DESTROYED", "the key of " + shown(fact.tenant) + " was destroyed",
                "nothing brings it back: what was sealed under it is gone");
  }
  auto unwrapped = unwrapped_.get(fact, key_associated(fact.tenant, fact.key_id));
  if (!unwrapped) {
    key.forget();
    return fail(std::move(unwrapped.error()));
  }
  if (key.unwrapped != *unwrapped) {
    key.cipher = std::make_unique<AesGcm>((*unwrapped)->bytes.reveal());
    key.unwrapped = *std::move(unwrapped);
  }
  // In its last minute it is looked for often: the service is being asked.
  const SteadyTime soon = now + kLookAgain;
  key.look_again = std::min(key.unwrapped->until, std::max(key.unwrapped->ask_again, soon));
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
  const Result<AesGcm*> wrapping = cipher_of(*key);
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
  const Result<AesGcm*> wrapping = cipher_of(key->second);
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
