#include "engine/oidc/claims.h"

#include <cjose/cjose.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/core/bytes.h"

namespace postrider::oidc {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kNow = 1'800'000'000;

std::string base64url(std::string_view bytes) {
  std::string text = base64_encode(bytes);
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (text.ends_with('=')) text.pop_back();
  return text;
}

ClaimRules rules() {
  ClaimRules rules;
  rules.issuer = "https://idp.test";
  rules.audience = "postrider";
  rules.roles_claim = "roles";
  rules.roles["ops"] = *scopes_of_role("operator");
  rules.roles["audit"] = *scopes_of_role("auditor");
  return rules;
}

Json good_claims() {
  return {{"iss", "https://idp.test"},
          {"aud", "postrider"},
          {"sub", "ada@example.com"},
          {"exp", kNow + 300},
          {"iat", kNow - 1},
          {"nbf", kNow - 1},
          {"roles", Json::array({"ops", "cooks"})}};
}

Result<Grant> judged(const Json& claims, const ClaimRules& by = rules()) {
  return read_claims(claims.dump(), by, from_ms<WallTime>(kNow * 1000));
}

std::string why_not(const Json& claims, const ClaimRules& by = rules()) {
  const auto grant = judged(claims, by);
  if (grant) return "";
  EXPECT_EQ(grant.error().code, "AUTH_FAILED");
  return grant.error().message;
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(Claims, GiveWhatTheirRolesMeanHere) {
  const auto grant = judged(good_claims());
  ASSERT_TRUE(grant) << grant.error().message;
  EXPECT_EQ(grant->name, "ada@example.com");
  EXPECT_TRUE(grant->outside);
  EXPECT_TRUE(grant->tenant.empty());
  EXPECT_EQ(grant->scopes, *scopes_of_role("operator")) << "what is not configured means nothing";
  auto none = good_claims();
  none["roles"] = "cooks admin";
  ASSERT_TRUE(judged(none));
  EXPECT_TRUE(judged(none)->scopes.empty());
  auto words = good_claims();
  words["roles"] = "audit ops";
  EXPECT_TRUE(judged(words)->scopes.has(Scope::audit_read));
}

TEST(Claims, AreTheSameBearersWithEachToken) {
  auto later = good_claims(), other = good_claims();
  later["exp"] = kNow + 301;
  other["sub"] = "eve";
  EXPECT_EQ(judged(good_claims())->token_id, judged(later)->token_id);
  EXPECT_NE(judged(good_claims())->token_id, judged(other)->token_id);
}

TEST(Claims, AreRefusedWhereTheyAreNotForUsOrNotForNow) {
  const auto with = [](const char* name, Json value) {
    auto claims = good_claims();
    claims[name] = std::move(value);
    return why_not(claims);
  };
  const auto without = [](const char* name) {
    auto claims = good_claims();
    claims.erase(name);
    return why_not(claims);
  };
  EXPECT_SAYS(with("iss", "https://idp.test/"), "another issuer");
  EXPECT_SAYS(without("iss"), "another issuer");
  EXPECT_SAYS(with("aud", "elsewhere"), "audience");
  EXPECT_SAYS(with("aud", Json::array({"a", "b"})), "audience");
  EXPECT_SAYS(with("aud", Json::object()), "audience");
  EXPECT_SAYS(without("aud"), "audience");
  EXPECT_EQ(with("aud", Json::array({"a", "postrider"})), "");
  EXPECT_SAYS(with("exp", kNow - 60), "expired");
  EXPECT_EQ(with("exp", kNow - 59), "") << "a minute of leeway";
  EXPECT_SAYS(with("exp", "1900000000"), "ends");
  EXPECT_SAYS(with("exp", 1e300), "24 hours");
  EXPECT_SAYS(with("exp", kNow + 25 * 3600), "24 hours");
  EXPECT_SAYS(without("exp"), "ends");
  EXPECT_SAYS(with("nbf", kNow + 61), "future");
  EXPECT_SAYS(with("iat", kNow + 61), "future");
  EXPECT_SAYS(with("nbf", "now"), "future");
  EXPECT_EQ(with("nbf", kNow + 59), "");
  EXPECT_SAYS(without("sub"), "subject");
  EXPECT_SAYS(with("sub", ""), "subject");
  EXPECT_SAYS(with("sub", "a\nb"), "subject");
  EXPECT_SAYS(with("sub", std::string(129, 'a')), "subject");
  EXPECT_FALSE(read_claims("[1]", rules(), from_ms<WallTime>(kNow * 1000)));
  EXPECT_FALSE(read_claims("{", rules(), from_ms<WallTime>(kNow * 1000)));
}

TEST(Claims, BindToATenantWhereAClaimIsNamedForIt) {
  auto by = rules();
  by.tenant_claim = "org.tenant";
  auto claims = good_claims();
  EXPECT_SAYS(why_not(claims, by), "no tenant") << "missing is not the platform";
  claims["org"] = {{"tenant", "acme"}};
  EXPECT_EQ(judged(claims, by)->tenant.str(), "acme");
  claims["org"]["tenant"] = "*";
  EXPECT_TRUE(judged(claims, by)->tenant.empty());
  for (const Json& odd : {Json(""), Json("a b"), Json(7), Json("~"), Json(nullptr)}) {
    claims["org"]["tenant"] = odd;
    EXPECT_SAYS(why_not(claims, by), "no tenant") << odd;
  }
}

TEST(TokenHead, IsOfAnAlgorithmThatIsTaken) {
  const auto head = [](const Json& json) { return read_head(base64url(json.dump()) + ".e30.AA"); };
  EXPECT_EQ(head({{"alg", "RS256"}, {"kid", "1"}})->key_id, "1");
  for (const char* algorithm : {"none", "None", "HS256", "HS512", "RS1", "", "EdDSA", "rs256"})
    EXPECT_FALSE(head({{"alg", algorithm}})) << algorithm;
  EXPECT_FALSE(head({{"kid", "1"}}));
  EXPECT_FALSE(head({{"alg", "RS256"}, {"crit", Json::array({"b64"})}, {"b64", false}}));
  EXPECT_FALSE(read_head("eyJ" + std::string(kTokenBytesMax, 'A') + ".e30.AA"));
  EXPECT_FALSE(read_head("eyJ!.e30.AA"));
  EXPECT_FALSE(looks_like_jwt("ptk_abc"));
  EXPECT_FALSE(looks_like_jwt("eyJhbGciOiJub25lIn0.e30"));
  EXPECT_TRUE(looks_like_jwt("eyJhbGciOiJub25lIn0.e30."));
}

TEST(TokenHead, IsOfATokenThatIsSpelledInTheOneWay) {
  const auto head = base64url(R"({"alg":"RS256","kid":"1"})");
  const auto taken = [&](const std::string& rest) { return read_head(head + rest).has_value(); };
  EXPECT_TRUE(taken(".e30.AA"));
  EXPECT_TRUE(taken(".e30.AAA"));
  EXPECT_TRUE(taken(".e30.-_-_"));
  EXPECT_FALSE(taken(".e30.AA==")) << "padding";
  EXPECT_FALSE(taken(".e30=.AA"));
  EXPECT_FALSE(taken(".e30.AA=x")) << "what the library does not look at";
  EXPECT_FALSE(taken(".e30.AB")) << "bits to spare";
  EXPECT_FALSE(taken(".e31.AA"));
  EXPECT_FALSE(taken(".e30.AAAAA")) << "no number of bytes is that long";
  EXPECT_FALSE(taken(".e30.+/+/")) << "the other alphabet";
  EXPECT_FALSE(taken(".e30.A A"));
  EXPECT_FALSE(taken(".e30"));
  EXPECT_FALSE(taken(".e30.AA.AA"));
  EXPECT_FALSE(read_head(base64url(R"({"alg":"RS256","kid":"12"})") + "=.e30.AA"));
}

TEST(TokenHead, IsNotOfALogout) {
  for (const char* type : {"logout+jwt", "application/logout+jwt", "Logout+JWT"})
    EXPECT_FALSE(read_head(base64url(Json({{"alg", "RS256"}, {"typ", type}}).dump()) + ".e30.AA")) << type;
  for (const char* type : {"JWT", "at+jwt"})
    EXPECT_TRUE(read_head(base64url(Json({{"alg", "RS256"}, {"typ", type}}).dump()) + ".e30.AA")) << type;
}

// Keys and signatures by the library itself; tests/system has them from another's hand.
class Keys : public ::testing::Test {
 protected:
  Keys() {
    rsa_ =
        cjose_jwk_create_RSA_random(2048, reinterpret_cast<const std::uint8_t*>("\x01\x00\x01"), 3, &error_);
    ec_ = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error_);
    small_ =
        cjose_jwk_create_RSA_random(1024, reinterpret_cast<const std::uint8_t*>("\x01\x00\x01"), 3, &error_);
  }
  ~Keys() override {
    for (auto* key : {rsa_, ec_, small_}) cjose_jwk_release(key);
  }
  Json public_of(const cjose_jwk_t* key, const char* id) {
    char* text = cjose_jwk_to_json(key, false, &error_);
    Json json = Json::parse(text);
    free(text);
    json["kid"] = id;
    return json;
  }
  std::string signed_by(const cjose_jwk_t* key, const char* algorithm, const std::string& claims = "{}") {
    cjose_header_t* header = cjose_header_new(&error_);
    cjose_header_set(header, "alg", algorithm, &error_);
    cjose_jws_t* jws = cjose_jws_sign(key, header, reinterpret_cast<const std::uint8_t*>(claims.data()),
                                      claims.size(), &error_);
    const char* text = nullptr;
    std::string token = jws != nullptr && cjose_jws_export(jws, &text, &error_) ? text : "";
    cjose_jws_release(jws);
    cjose_header_release(header);
    return token;
  }
  KeySet::Verdict verdict(const Json& keys, const std::string& token, const TokenHead& head) {
    const auto set = KeySet::read(Json({{"keys", keys}}).dump());
    EXPECT_TRUE(set);
    return set ? (*set)->verify(head, token, claims_) : KeySet::Verdict::forged;
  }

  using Verdict = KeySet::Verdict;
  cjose_err error_{};
  cjose_jwk_t *rsa_ = nullptr, *ec_ = nullptr, *small_ = nullptr;
  std::string claims_;
};

TEST_F(Keys, VerifyWhatTheySigned) {
  const Json keys = Json::array({public_of(rsa_, "r"), public_of(ec_, "e")});
  EXPECT_EQ(verdict(keys, signed_by(rsa_, "RS256", R"({"a":1})"), {"RS256", "r"}), Verdict::verified);
  EXPECT_EQ(claims_, R"({"a":1})");
  EXPECT_EQ(verdict(keys, signed_by(rsa_, "PS256"), {"PS256", "r"}), Verdict::verified);
  EXPECT_EQ(verdict(keys, signed_by(ec_, "ES256"), {"ES256", "e"}), Verdict::verified);
  EXPECT_EQ(verdict(keys, signed_by(ec_, "ES256"), {"ES256", ""}), Verdict::verified)
      << "the only one of its kind";
}

TEST_F(Keys, OfOneNameAreAllTried) {
  cjose_jwk_t* older =
      cjose_jwk_create_RSA_random(2048, reinterpret_cast<const std::uint8_t*>("\x01\x00\x01"), 3, &error_);
  const Json keys = Json::array({public_of(older, "r"), public_of(rsa_, "r"), public_of(ec_, "r")});
  EXPECT_EQ(verdict(keys, signed_by(rsa_, "RS256"), {"RS256", "r"}), Verdict::verified);
  EXPECT_EQ(verdict(keys, signed_by(older, "RS256"), {"RS256", "r"}), Verdict::verified);
  EXPECT_EQ(verdict(Json::array({public_of(older, "r")}), signed_by(rsa_, "RS256"), {"RS256", "r"}),
            Verdict::forged);
  cjose_jwk_release(older);
}

TEST_F(Keys, VerifyNothingElse) {
  const Json keys = Json::array({public_of(rsa_, "r"), public_of(ec_, "e")});
  auto token = signed_by(rsa_, "RS256", R"({"sub":"ada"})");
  EXPECT_EQ(verdict(keys, token, {"RS256", "other"}), Verdict::unknown_key);
  EXPECT_EQ(verdict(keys, token, {"RS256", "e"}), Verdict::forged) << "a key of another kind";
  EXPECT_EQ(verdict(keys, token, {"PS256", "r"}), Verdict::forged) << "not what its header says";
  EXPECT_EQ(verdict(keys, token, {"HS256", "r"}), Verdict::forged);
  EXPECT_EQ(verdict(keys, token, {"none", "r"}), Verdict::forged);
  auto changed = token;
  changed[token.find('.') + 3] ^= 1;
  EXPECT_EQ(verdict(keys, changed, {"RS256", "r"}), Verdict::forged);
  EXPECT_EQ(verdict(keys, token.substr(0, token.rfind('.') + 1), {"RS256", "r"}), Verdict::forged);
  EXPECT_EQ(verdict(Json::array({public_of(rsa_, "a"), public_of(rsa_, "b")}), token, {"RS256", ""}),
            Verdict::unknown_key)
      << "of two nobody says which";
}

TEST_F(Keys, AreThoseThatAreForSignaturesAndLongEnough) {
  const auto read = [](const Json& keys) { return KeySet::read(Json({{"keys", keys}}).dump()).has_value(); };
  auto encrypting = public_of(rsa_, "r");
  encrypting["use"] = "enc";
  EXPECT_FALSE(read(Json::array({encrypting})));
  EXPECT_FALSE(read(Json::array({public_of(small_, "s")})));
  EXPECT_FALSE(read(Json::array({Json{{"kty", "oct"}, {"k", "c2VjcmV0"}, {"kid", "r"}}})));
  EXPECT_FALSE(read(Json::array()));
  EXPECT_FALSE(read(Json::array({Json{{"kty", "RSA"}, {"n", "!"}, {"e", 7}}})));
  EXPECT_TRUE(read(Json::array({encrypting, public_of(ec_, "e"), 7, nullptr})));
  EXPECT_FALSE(KeySet::read("[]"));
  auto narrow = public_of(rsa_, "r");
  narrow["alg"] = "PS256";
  EXPECT_EQ(verdict(Json::array({narrow}), signed_by(rsa_, "RS256"), {"RS256", "r"}), Verdict::forged);
}

}  // namespace
}  // namespace postrider::oidc
