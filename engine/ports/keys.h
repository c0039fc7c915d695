#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/fact.h"
#include "engine/core/result.h"
#include "engine/core/secret.h"
#include "engine/core/signature.h"
#include "engine/core/time.h"

namespace postrider {

// What a sealed value belongs to: bound into it as associated data, so that it opens nowhere else.
struct SealContext {
  Environment environment;
  TenantId tenant;       // empty: the environment's own
  std::string endpoint;  // empty: none
  std::string purpose;   // "payload", "snippet", "query", "secret", "dead_letter"
};

// Computes the codes of one endpoint's secrets; keyed once.
class Signer {
 public:
  virtual ~Signer() = default;
  // One code per secret, in the order given to Keys::signer.
  virtual std::vector<Code> sign(std::string_view prefix, std::string_view body) = 0;
};

// The key is being asked for: it, or why it cannot be had, is here within seconds.
inline constexpr std::string_view kKeyPending = "KEY_PENDING";
inline bool is_pending(const Error& error) {
  return error.code == kKeyPending;
}

// Tenants' keys and what is done with them (DESIGN §11). The shard's thread; nothing here waits for a
// network. Errc::unavailable: not yet (an unknown key id, the key service away or asked just now): defer,
// charge nothing. Errc::denied: destroyed, for ever.
class Keys {
 public:
  virtual ~Keys() = default;
  // A record of `keys`, in offset order.
  virtual void apply(const WrappedKeyFact& fact) = 0;
  // Whether seal() has a key of that tenant whose record was applied.
  virtual bool has_key(const TenantId& tenant) const = 0;
  // A new wrapped key, of the next generation: append it to `keys`; it is used only once apply() has seen it.
  // KEY_PENDING: ask again.
  virtual Result<WrappedKeyFact> make_key(const TenantId& tenant) = 0;
  // Whether seal() can be had for that tenant now; if not, it is seen to.
  virtual Result<void> ready(const TenantId& tenant) {
    if (has_key(tenant)) return {};
    return fail(Errc::unavailable, "KEY_NOT_YET", "the tenant has no key yet", "make one");
  }
  // Until when what was opened for that tenant, and what was made of it, may be kept. Then it is opened
  // again: a key that was disabled at its service is of no more use from then on.
  virtual SteadyTime kept_until(const TenantId&) const { return SteadyTime::max(); }
  // Tenants whose sealing key was made before that, by its maker's clock.
  virtual std::vector<TenantId> sealed_by_keys_before(std::int64_t /*unix_ms*/) const { return {}; }
  // About once a second: forgets what is over. Returns what the key service did for tenants, each once.
  virtual std::vector<AuditFact> tick() { return {}; }
  // A tenant without a key is an error (unavailable).
  virtual Result<std::string> seal(const SealContext& context, std::string_view bytes) = 0;
  virtual Result<Secret> open(const SealContext& context, std::string_view sealed) = 0;
  virtual Result<std::unique_ptr<Signer>> signer(const std::vector<SigningSecret>& secrets) = 0;
};

}  // namespace postrider
