#include "engine/oidc/key_set.h"

#include <cjose/cjose.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace postrider::oidc {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kKeysMax = 64;
constexpr std::size_t kRsaBitsMin = 2048, kRsaBitsMax = 8192;

struct Kind {
  std::string_view algorithm;
  cjose_jwk_kty_t type;
  cjose_jwk_ec_curve curve;  // of EC
};
// RFC 7518 §3.1. What is not here is refused: none, and HS*, whose key would be one that everybody can read.
constexpr std::array<Kind, 4> kKinds = {{
    {"RS256", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"PS256", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"ES256", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_256},
    {"ES384", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_384},
}};

const Kind* kind_of(std::string_view algorithm) {
  for (const auto& kind : kKinds)
    if (kind.algorithm == algorithm) return &kind;
  return nullptr;
}

template <auto Release>
struct Released {
  template <class T>
  void operator()(T* what) const {
    Release(what);
  }
};
using Jwk = std::unique_ptr<cjose_jwk_t, Released<cjose_jwk_release>>;
using Jws = std::unique_ptr<cjose_jws_t, Released<cjose_jws_release>>;

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Only what makes the public key: neither a private part nor a certificate of it comes near the library.
std::string public_part(const Json& key) {
  Json part = Json::object();
  for (const char* name : {"kty", "n", "e", "crv", "x", "y"})
    if (key.contains(name)) part[name] = key[name];
  return part.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool usable(const cjose_jwk_t* jwk, cjose_jwk_kty_t type) {
  cjose_err error{};
  if (type == CJOSE_JWK_KTY_EC) {
    const auto curve = cjose_jwk_EC_get_curve(jwk, &error);
    return curve == CJOSE_JWK_EC_P_256 || curve == CJOSE_JWK_EC_P_384;
  }
  const auto bits = cjose_jwk_get_keysize(jwk, &error);
  return bits >= kRsaBitsMin && bits <= kRsaBitsMax;
}

}  // namespace

struct KeySet::Key {
  std::string id, algorithm;  // empty: the set says nothing of it
  cjose_jwk_kty_t type = CJOSE_JWK_KTY_RSA;
  cjose_jwk_ec_curve curve = CJOSE_JWK_EC_INVALID;
  Jwk jwk;

  bool fits(const Kind& kind) const {
    return type == kind.type && curve == kind.curve && (algorithm.empty() || algorithm == kind.algorithm);
  }
  bool verifies(const TokenHead& head, std::string_view token, std::string& claims) const;
};

bool KeySet::Key::verifies(const TokenHead& head, std::string_view token, std::string& claims) const {
  cjose_err error{};
  const Jws jws(cjose_jws_import(token.data(), token.size(), &error));
  if (!jws) return false;
  // The library reads the header by itself: it must have read the same.
  const char* written = cjose_header_get(cjose_jws_get_protected(jws.get()), CJOSE_HDR_ALG, &error);
  if (written == nullptr || head.algorithm != written) return false;
  if (!cjose_jws_verify(jws.get(), jwk.get(), &error)) return false;
  std::uint8_t* bytes = nullptr;  // the library's
  std::size_t size = 0;
  if (!cjose_jws_get_plaintext(jws.get(), &bytes, &size, &error)) return false;
  claims.assign(reinterpret_cast<const char*>(bytes), size);
  return true;
}

KeySet::~KeySet() = default;

Result<std::shared_ptr<const KeySet>> KeySet::read(std::string_view json) {
  const Json set = Json::parse(json, nullptr, false);
  const auto keys = set.is_object() ? set.find("keys") : set.end();
  if (!set.is_object() || keys == set.end() || !keys->is_array())
    return fail(Errc::invalid, "OIDC_UNAVAILABLE", "what stands at the issuer's jwks_uri is no set of keys",
                "look at the issuer");
  std::shared_ptr<KeySet> made(new KeySet());
  for (const Json& each : *keys) {
    if (!each.is_object() || made->keys_.size() >= kKeysMax) continue;
    const std::string type = text_of(each, "kty"), use = text_of(each, "use");
    if ((type != "RSA" && type != "EC") || (!use.empty() && use != "sig")) continue;
    const std::string part = public_part(each);
    cjose_err error{};
    auto key = std::make_unique<Key>();
    key->jwk.reset(cjose_jwk_import(part.data(), part.size(), &error));
    key->type = type == "RSA" ? CJOSE_JWK_KTY_RSA : CJOSE_JWK_KTY_EC;
    if (!key->jwk || !usable(key->jwk.get(), key->type)) continue;
    if (key->type == CJOSE_JWK_KTY_EC) key->curve = cjose_jwk_EC_get_curve(key->jwk.get(), &error);
    key->id = text_of(each, "kid");
    key->algorithm = text_of(each, "alg");
    made->keys_.push_back(std::move(key));
  }
  if (made->keys_.empty())
    return fail(Errc::invalid, "OIDC_UNAVAILABLE",
                "the issuer publishes no key that tokens can be verified with",
                "have it sign with RS256, PS256, ES256 or ES384");
  return std::shared_ptr<const KeySet>(std::move(made));
}

std::vector<const KeySet::Key*> KeySet::find(const TokenHead& head) const {
  const Kind* kind = kind_of(head.algorithm);
  std::vector<const Key*> found;
  found.reserve(keys_.size());
  for (const auto& key : keys_) {
    if (kind == nullptr || !key->fits(*kind)) continue;
    if (head.key_id.empty() || key->id == head.key_id) found.push_back(key.get());
  }
  if (head.key_id.empty() && found.size() > 1) found.clear();  // of two nobody says which
  return found;
}

bool KeySet::knows(std::string_view key_id) const {
  return !key_id.empty() &&
         std::any_of(keys_.begin(), keys_.end(), [&](const auto& key) { return key->id == key_id; });
}

KeySet::Verdict KeySet::verify(const TokenHead& head, std::string_view token, std::string& claims) const {
  if (kind_of(head.algorithm) == nullptr) return Verdict::forged;
  const auto keys = find(head);
  if (keys.empty()) return knows(head.key_id) ? Verdict::forged : Verdict::unknown_key;
  for (const Key* key : keys)
    if (key->verifies(head, token, claims)) return Verdict::verified;
  return Verdict::forged;
}

}  // namespace postrider::oidc
