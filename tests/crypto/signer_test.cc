#include "engine/crypto/signer.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "engine/core/bytes.h"
#include "engine/core/signature.h"
#include "tests/crypto/error_of.h"

namespace postrider::crypto {
namespace {

std::string unhex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

SigningSecret hmac(std::string key) {
  return {SecretKind::hmac, Secret(std::move(key))};
}
SigningSecret parsed(std::string_view text) {
  return std::move(parse_signing_secret(text).value());
}

template <class... Secrets>
std::unique_ptr<Signer> signer_of(Secrets... secrets) {
  std::vector<SigningSecret> list;
  (list.push_back(std::move(secrets)), ...);
  return make_signer(list).value();
}

std::string value_of(const Headers& headers, std::string_view name) {
  const std::string* value = find_header(headers, name);
  return value == nullptr ? "(absent)" : *value;
}

constexpr std::string_view kHmacSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr std::string_view kEdSecret =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const WebhookId kId("msg_p5jXN8AQM9LWM0D4loKWxJek");
constexpr std::int64_t kTime = 1614265330;
constexpr std::string_view kBody = R"({"test": 2432232314})";

Headers signed_headers(Scheme scheme, Signer& signer) {
  return signature_headers(scheme, kId, kTime, signer.sign(signed_prefix(scheme, kId, kTime), kBody));
}

TEST(Signer, SignsTheStandardWebhooksVectorWithHmac) {
  auto signer = signer_of(parsed(kHmacSecret));
  const Headers headers = signed_headers(Scheme::standard_webhooks, *signer);
  EXPECT_EQ(value_of(headers, "webhook-id"), kId.str());
  EXPECT_EQ(value_of(headers, "webhook-timestamp"), "1614265330");
  EXPECT_EQ(value_of(headers, "webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(Signer, SignsTheXWebhookVector) {
  auto signer = signer_of(parsed(kHmacSecret));
  const Headers headers = signed_headers(Scheme::x_webhook, *signer);
  EXPECT_EQ(value_of(headers, "X-Webhook-Timestamp"), "1614265330");
  EXPECT_EQ(value_of(headers, "X-Webhook-Signature"),
            "sha256=e96203c6de850e7dc1fde7489ef6140b402d3a5a64fe250cd2eef9830fac1cef");
}

TEST(Signer, SignsTheStandardWebhooksVectorWithEd25519) {
  auto signer = signer_of(parsed(kEdSecret));
  EXPECT_EQ(value_of(signed_headers(Scheme::standard_webhooks, *signer), "webhook-signature"),
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==");
}

TEST(Signer, GivesOneCodePerSecretInTheirOrder) {
  auto both = signer_of(hmac("the newer secret"), parsed(kEdSecret), hmac("the older secret"));
  const std::vector<Code> codes = both->sign("a.1.", "body");
  ASSERT_EQ(codes.size(), 3u);
  EXPECT_EQ(codes[0].bytes, signer_of(hmac("the newer secret"))->sign("a.1.", "body")[0].bytes);
  EXPECT_EQ(codes[1].kind, Code::Kind::ed25519);
  EXPECT_EQ(codes[2].bytes, signer_of(hmac("the older secret"))->sign("a.1.", "body")[0].bytes);
  EXPECT_NE(codes[0].bytes, codes[2].bytes);
}

TEST(Signer, IsKeyedOnceAndForgetsTheMessageBefore) {
  auto reused = signer_of(hmac("key"), parsed(kEdSecret));
  for (int i = 0; i < 50; ++i) {
    const std::string body = "body " + std::to_string(i);
    auto fresh = signer_of(hmac("key"), parsed(kEdSecret));
    const auto again = reused->sign("p.", body);
    const auto once = fresh->sign("p.", body);
    EXPECT_EQ(again[0].bytes, once[0].bytes);
    EXPECT_EQ(again[1].bytes, once[1].bytes);
  }
}

struct HmacVector {
  std::string key, data, code;
};

TEST(Signer, AgreesWithRfc4231) {
  const std::vector<HmacVector> vectors = {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {unhex("0102030405060708090a0b0c0d0e0f10111213141516171819"), std::string(50, '\xcd'),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. The key needs "
       "to "
       "be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"}};
  for (const HmacVector& vector : vectors) {
    auto signer = signer_of(hmac(vector.key));
    EXPECT_EQ(hex_encode(signer->sign("", vector.data)[0].bytes), vector.code);
    const std::string_view data = vector.data;
    EXPECT_EQ(hex_encode(signer->sign(data.substr(0, 3), data.substr(3))[0].bytes), vector.code);
  }
}

struct EdVector {
  std::string seed, public_half, message, signature;
};

TEST(Signer, AgreesWithRfc8032) {
  const std::vector<EdVector> vectors = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf"
       "5f0595"
       "bbe24655141438e7a100b"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2"
       "eaeb43"
       "02aeeb00d291612bb0c00"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c1"
       "5e9716"
       "ed28dc027beceea1ec40a"}};
  for (const EdVector& vector : vectors) {
    auto signer =
        signer_of(SigningSecret{SecretKind::ed25519, Secret(unhex(vector.seed + vector.public_half))});
    EXPECT_EQ(hex_encode(signer->sign("", unhex(vector.message))[0].bytes), vector.signature);
  }
}

TEST(Signer, RefusesToBeUnsigned) {
  const auto none = make_signer({});
  ASSERT_FALSE(none);
  EXPECT_EQ(error_of(none).code, "NO_SIGNING_SECRET");
  std::vector<SigningSecret> empty;
  empty.push_back(hmac(""));
  ASSERT_FALSE(make_signer(empty));
}

TEST(Signer, RefusesAnEd25519KeyWithAnothersPublicHalf) {
  std::string key(parsed(kEdSecret).key.reveal());
  key.back() = static_cast<char>(key.back() ^ 1);
  std::vector<SigningSecret> secrets;
  secrets.push_back({SecretKind::ed25519, Secret(key)});
  const auto refused = make_signer(secrets);
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_of(refused).errc, Errc::invalid);
  EXPECT_EQ(error_of(refused).message.find("whsk"), std::string::npos);
}

}  // namespace
}  // namespace postrider::crypto
