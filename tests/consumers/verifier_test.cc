#include "consumers/verifier.h"

#include <gtest/gtest.h>

#include "engine/core/bytes.h"
#include "engine/core/signature.h"
#include "engine/crypto/signer.h"

namespace {

using webhooks::Verdict;
using webhooks::Verifier;
using webhooks::Webhook;

constexpr const char* kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr const char* kOther = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
constexpr const char* kKeyPair =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
constexpr const char* kPublicKey = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
constexpr const char* kId = "msg_p5jXN8AQM9LWM0D4loKWxJek";
constexpr const char* kBody = R"({"test": 2432232314})";
constexpr const char* kV1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
constexpr const char* kV1a =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
constexpr const char* kXWebhook = "sha256=e96203c6de850e7dc1fde7489ef6140b402d3a5a64fe250cd2eef9830fac1cef";
constexpr std::int64_t kNow = 1614265330;

Webhook webhook(std::string_view signature, std::string_view x_signature = {}) {
  return {kId, "1614265330", signature, x_signature, {}, kBody};
}

Verdict verify(const std::vector<const char*>& secrets, const Webhook& given, std::int64_t now = kNow) {
  Verifier verifier;
  for (const auto* secret : secrets) EXPECT_TRUE(verifier.add_secret(secret)) << secret;
  return verifier.verify(given, now);
}

TEST(Verifier, AcceptsThePublishedVectorOfEachScheme) {
  EXPECT_EQ(verify({kSecret}, webhook(kV1)), Verdict::verified);
  EXPECT_EQ(verify({kKeyPair}, webhook(kV1a)), Verdict::verified);
  EXPECT_EQ(verify({kPublicKey}, webhook(kV1a)), Verdict::verified);
  EXPECT_EQ(verify({kSecret}, webhook("", kXWebhook)), Verdict::verified);
}

TEST(Verifier, FindsAChallengeThatTheSignedBodyHolds) {
  const std::string value = "chl_0123456789abcdefghij", body = R"({"challenge":")" + value + "\"}";
  EXPECT_EQ(webhooks::challenge(value, body), value);
  EXPECT_FALSE(webhooks::challenge("", body));
  EXPECT_FALSE(webhooks::challenge("chl_", body));
  EXPECT_FALSE(webhooks::challenge("chl_0123456789abcdefghiX", body));
  EXPECT_FALSE(webhooks::challenge("0123456789abcdefghij0000", "0123456789abcdefghij0000"));
}

TEST(Verifier, RefusesWhatWasChanged) {
  for (const char* signature : {kV1, kV1a}) {
    const std::vector<const char*> secrets{kSecret, kPublicKey};
    ASSERT_EQ(verify(secrets, webhook(signature)), Verdict::verified);
    auto changed = webhook(signature);
    changed.body = R"({"test": 2432232315})";
    EXPECT_EQ(verify(secrets, changed), Verdict::wrong_signature);
    changed = webhook(signature);
    changed.id = "msg_p5jXN8AQM9LWM0D4loKWxJeK";
    EXPECT_EQ(verify(secrets, changed), Verdict::wrong_signature);
    changed = webhook(signature);
    changed.timestamp = "1614265331";
    EXPECT_EQ(verify(secrets, changed), Verdict::wrong_signature);
  }
  auto changed = webhook("", kXWebhook);
  changed.timestamp = "1614265331";
  EXPECT_EQ(verify({kSecret}, changed), Verdict::wrong_signature);
}

TEST(Verifier, ASignatureIsOfItsOwnSecretKindAndScheme) {
  EXPECT_EQ(verify({kOther}, webhook(kV1)), Verdict::wrong_signature);
  EXPECT_EQ(verify({kSecret}, webhook(kV1a)), Verdict::wrong_signature);
  EXPECT_EQ(verify({kPublicKey}, webhook(kV1)), Verdict::wrong_signature);
  EXPECT_EQ(verify({kSecret}, webhook("v2," + std::string(kV1 + 3))), Verdict::wrong_signature);
  EXPECT_EQ(verify({kSecret}, webhook(kV1 + 3)), Verdict::wrong_signature);
  EXPECT_EQ(verify({}, webhook(kV1)), Verdict::wrong_signature);
  // A code that is cut short, or empty, equals nothing.
  EXPECT_EQ(verify({kSecret}, webhook("v1,")), Verdict::wrong_signature);
  EXPECT_EQ(verify({kSecret}, webhook("v1,g0hM9SsE+OTPJTGt")), Verdict::wrong_signature);
  EXPECT_EQ(verify({kSecret}, webhook("", "sha256=")), Verdict::wrong_signature);
  EXPECT_EQ(verify({kSecret}, webhook("", "sha256=e9")), Verdict::wrong_signature);
}

TEST(Verifier, OneOfSeveralSignaturesUnderOneOfSeveralSecretsIsEnough) {
  const std::string both = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= v9,x " + std::string(kV1);
  EXPECT_EQ(verify({kOther, kSecret}, webhook(both)), Verdict::verified);
  EXPECT_EQ(verify({kPublicKey}, webhook(std::string(kV1) + " " + kV1a)), Verdict::verified);
  auto next = webhook("", "sha256=" + std::string(64, '0'));
  EXPECT_EQ(verify({kSecret}, next), Verdict::wrong_signature);
  next.x_signature_next = kXWebhook;
  EXPECT_EQ(verify({kSecret}, next), Verdict::verified);
}

TEST(Verifier, TimestampsHold300SecondsBothWays) {
  EXPECT_EQ(verify({kSecret}, webhook(kV1), kNow + 300), Verdict::verified);
  EXPECT_EQ(verify({kSecret}, webhook(kV1), kNow + 301), Verdict::too_old);
  EXPECT_EQ(verify({kSecret}, webhook(kV1), kNow - 300), Verdict::verified);
  EXPECT_EQ(verify({kSecret}, webhook(kV1), kNow - 301), Verdict::too_new);
  EXPECT_EQ(verify({kSecret}, webhook("", kXWebhook), kNow + 301), Verdict::too_old);
}

TEST(Verifier, SaysWhatIsMissingOrMalformed) {
  auto given = webhook(kV1);
  given.id = "";
  EXPECT_EQ(verify({kSecret}, given), Verdict::missing_header);
  given = webhook(kV1);
  given.timestamp = "";
  EXPECT_EQ(verify({kSecret}, given), Verdict::missing_header);
  EXPECT_EQ(verify({kSecret}, webhook("")), Verdict::missing_header);
  for (const char* text :
       {"-1614265330", " 1614265330", "1614265330.0", "0x60", "99999999999999999999", "now"}) {
    given = webhook(kV1);
    given.timestamp = text;
    EXPECT_EQ(verify({kSecret}, given), Verdict::bad_timestamp) << text;
  }
}

TEST(Verifier, RefusesMalformedSecrets) {
  Verifier verifier;
  for (const char* text :
       {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_AAAA", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "whpk_AAAA", "whsk_AAAA", "whxx_AAAA",
        "whsec_AA=A"}) {
    EXPECT_FALSE(verifier.add_secret(text)) << text;
  }
  EXPECT_FALSE(verifier.add_secret(" " + std::string(kSecret)));
}

TEST(Verifier, ComputesTheCodesOfRfc4231) {
  using postrider::hex_encode;
  const auto code = [](const std::string& key, const std::string& data) {
    return hex_encode(webhooks::detail::hmac_sha256(key, data));
  };
  std::string counting;
  for (char c = 1; c <= 25; ++c) counting += c;
  EXPECT_EQ(code(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(code("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(code(std::string(20, '\xaa'), std::string(50, '\xdd')),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(code(counting, std::string(50, '\xcd')),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  EXPECT_EQ(code(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(code(std::string(131, '\xaa'),
                 "This is a test using a larger than block-size key and a larger than block-size data. The "
                 "key needs "
                 "to be hashed before being used by the HMAC algorithm."),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

// RFC 8032 §7.1, tests 1 to 3.
TEST(Verifier, AcceptsTheSignaturesOfRfc8032) {
  struct Vector {
    const char *key, *message, *signature;
  };
  const Vector vectors[] = {{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                             "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33ba"
                             "cc61e39701cf9b46bd25bf5f0595bbe"
                             "24655141438e7a100b"},
                            {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
                             "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996"
                             "e458f3613d0f11d8c387b2eaeb4302a"
                             "eeb00d291612bb0c00"},
                            {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
                             "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f29"
                             "0ae67f760984dc6594a7c15e9716ed2"
                             "8dc027beceea1ec40a"}};
  for (const auto& vector : vectors) {
    const auto raw = *webhooks::detail::hex_decode(vector.key);
    const webhooks::detail::Key key(
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, webhooks::detail::bytes_of(raw), raw.size()));
    ASSERT_TRUE(key);
    const auto message = *webhooks::detail::hex_decode(vector.message);
    auto signature = *webhooks::detail::hex_decode(vector.signature);
    EXPECT_TRUE(webhooks::detail::ed25519_verifies(key.get(), signature, message));
    signature[5] = static_cast<char>(signature[5] ^ 1);
    EXPECT_FALSE(webhooks::detail::ed25519_verifies(key.get(), signature, message));
  }
}

// What the engine signs, customers accept: two secrets, every scheme.
TEST(Verifier, AcceptsWhatTheEngineSigns) {
  using namespace postrider;
  std::vector<SigningSecret> secrets;
  secrets.push_back(*parse_signing_secret(kOther));
  secrets.push_back(*parse_signing_secret(kSecret));
  const auto signer = *crypto::make_signer(secrets);
  for (const auto scheme : {Scheme::standard_webhooks, Scheme::x_webhook}) {
    const auto message = signed_prefix(scheme, WebhookId(kId), kNow);
    const auto headers = signature_headers(scheme, WebhookId(kId), kNow, signer->sign(message, kBody));
    const auto value = [&](std::string_view name) {
      const auto* found = find_header(headers, name);
      return found ? std::string_view(*found) : std::string_view();
    };
    const bool standard = scheme == Scheme::standard_webhooks;
    const Webhook given{value("webhook-id"),
                        value(standard ? "webhook-timestamp" : "X-Webhook-Timestamp"),
                        value("webhook-signature"),
                        value("X-Webhook-Signature"),
                        value("X-Webhook-Signature-Next"),
                        kBody};
    EXPECT_EQ(verify({kSecret}, given), Verdict::verified);
    EXPECT_EQ(verify({kOther}, given), Verdict::verified);
    EXPECT_EQ(verify({kPublicKey}, given), Verdict::wrong_signature);
  }
}

}  // namespace
