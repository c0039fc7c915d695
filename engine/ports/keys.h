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

// Tenants' keys and what is done with them (DESIGN §11). The shard's thread. Errc::unavailable: not yet (an
// unknown key id, the key service away): defer, charge nothing. Errc::denied: destroyed, for ever.
class Keys {
 public:
  virtual ~Keys() = default;
  // A record of `keys`, in offset order.
  virtual void apply(const WrappedKeyFact& fact) = 0;
  // Whether seal() has a key of that tenant whose record was applied.
  virtual bool has_key(const TenantId& tenant) const = 0;
  // A new wrapped key: append it to `keys`; it is used only once apply() has seen it.
  virtual Result<WrappedKeyFact> make_key(const TenantId& tenant) = 0;
  // A tenant without a key is an error (unavailable).
  virtual Result<std::string> seal(const SealContext& context, std::string_view bytes) = 0;
  virtual Result<Secret> open(const SealContext& context, std::string_view sealed) = 0;
  virtual Result<std::unique_ptr<Signer>> signer(const std::vector<SigningSecret>& secrets) = 0;
};

}  // namespace postrider
