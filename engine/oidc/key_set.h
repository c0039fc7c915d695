#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

namespace postrider::oidc {

// What a token's header (RFC 7515) says, and all of it that is heeded: a key or an address of keys that
// stands in a token is the bearer's word.
struct TokenHead {
  std::string algorithm;
  std::string key_id;  // empty: it names none
};

// The keys that an issuer publishes (RFC 7517), as far as we verify with them: RSA from 2,048 bits on, P-256
// and P-384. A symmetric key that stands among them is never one. Immutable; any thread.
class KeySet {
 public:
  static Result<std::shared_ptr<const KeySet>> read(std::string_view json);
  ~KeySet();
  KeySet(const KeySet&) = delete;
  KeySet& operator=(const KeySet&) = delete;

  enum class Verdict { verified, unknown_key, forged };
  // Into `claims` the signed bytes, when verified. A token that names no key is for the only one of its kind;
  // of several that have the name which it says, each is tried. A known name of a key of another kind is no
  // unknown key: nobody need be asked for it.
  Verdict verify(const TokenHead& head, std::string_view token, std::string& claims) const;

 private:
  struct Key;
  KeySet() = default;
  std::vector<const Key*> find(const TokenHead& head) const;
  bool knows(std::string_view key_id) const;
  std::vector<std::unique_ptr<Key>> keys_;
};

}  // namespace postrider::oidc
