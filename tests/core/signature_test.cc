#include "engine/core/signature.h"

#include <gtest/gtest.h>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

const WebhookId kId("msg_p5jXN8AQM9LWM0D4loKWxJek");
constexpr std::int64_t kTime = 1614265330;

Code hmac(std::string_view base64) {
  return {Code::Kind::hmac_sha256, base64_decode(base64).value_or("")};
}
Code ed25519(std::string_view base64) {
  return {Code::Kind::ed25519, base64_decode(base64).value_or("")};
}

const Code kHmac = hmac("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
const Code kEd25519 =
    ed25519("hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==");
const Code kOlder{Code::Kind::hmac_sha256, std::string(32, '\x01')};
const Code kOldest{Code::Kind::hmac_sha256, std::string(32, '\x02')};

TEST(SignedPrefix, IsIdTimeAndDotsInStandardWebhooks) {
  EXPECT_EQ(signed_prefix(Scheme::standard_webhooks, kId, kTime), "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.");
}

TEST(SignedPrefix, IsTimeAndADotInXWebhook) {
  EXPECT_EQ(signed_prefix(Scheme::x_webhook, kId, kTime), "1614265330.");
}

TEST(SignatureHeaders, OfStandardWebhooks) {
  EXPECT_EQ(signature_headers(Scheme::standard_webhooks, kId, kTime, {kHmac}),
            (Headers{{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
                     {"webhook-timestamp", "1614265330"},
                     {"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}}));
}

TEST(SignatureHeaders, OfStandardWebhooksWithAnEd25519Key) {
  const Headers headers = signature_headers(Scheme::standard_webhooks, kId, kTime, {kEd25519});
  EXPECT_EQ(*find_header(headers, "webhook-signature"),
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==");
}

TEST(SignatureHeaders, OfARotationInStandardWebhooksAreOneLineNewestFirst) {
  const Headers headers = signature_headers(Scheme::standard_webhooks, kId, kTime, {kEd25519, kHmac, kOlder});
  EXPECT_EQ(*find_header(headers, "webhook-signature"),
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== "
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= "
            "v1,AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
}

TEST(SignatureHeaders, OfXWebhook) {
  const Code code{Code::Kind::hmac_sha256, std::string("\xe9\x62\x03\xc6", 4)};
  EXPECT_EQ(signature_headers(Scheme::x_webhook, kId, kTime, {code}),
            (Headers{{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
                     {"X-Webhook-Timestamp", "1614265330"},
                     {"X-Webhook-Signature", "sha256=e96203c6"}}));
}

TEST(SignatureHeaders, OfARotationInXWebhookKeepTheOldSecretsUntilTheOverlapEnds) {
  const Headers headers = signature_headers(Scheme::x_webhook, kId, kTime, {kHmac, kOlder});
  EXPECT_EQ(*find_header(headers, "X-Webhook-Signature"), "sha256=" + hex_encode(kOlder.bytes));
  EXPECT_EQ(*find_header(headers, "X-Webhook-Signature-Next"), "sha256=" + hex_encode(kHmac.bytes));
  EXPECT_EQ(headers.size(), 4u);
}

TEST(SignatureHeaders, OfXWebhookCarryTheOldestAndTheNewestOfMany) {
  const Headers headers =
      signature_headers(Scheme::x_webhook, kId, kTime, {kEd25519, kHmac, kOlder, kOldest});
  EXPECT_EQ(*find_header(headers, "X-Webhook-Signature"), "sha256=" + hex_encode(kOldest.bytes));
  EXPECT_EQ(*find_header(headers, "X-Webhook-Signature-Next"), "sha256=" + hex_encode(kHmac.bytes));
}

TEST(SignatureHeadersDeathTest, ThereIsNoUnsignedMode) {
  EXPECT_DEATH(signature_headers(Scheme::standard_webhooks, kId, kTime, {}), "");
  EXPECT_DEATH(signature_headers(Scheme::x_webhook, kId, kTime, {kEd25519}), "");
}

}  // namespace
}  // namespace postrider
