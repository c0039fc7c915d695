#include "engine/telemetry/redaction.h"

#include <gtest/gtest.h>

namespace postrider::telemetry {
namespace {

TEST(Redaction, CutsQueriesAndUserInfoOfUrls) {
  EXPECT_EQ(redact("https://a.example/hook?token=CANARY#x"), "https://a.example/hook?…");
  EXPECT_EQ(redact("https://a.example?CANARY"), "https://a.example?…");
  EXPECT_EQ(redact("https://a.example/#CANARY"), "https://a.example/?…");
  EXPECT_EQ(redact("https://user:CANARY@a.example/hook"), "https://a.example/hook");
  EXPECT_EQ(redact("https://user:CAN@ARY@a.example:8443"), "https://a.example:8443");
  EXPECT_EQ(redact("from https://a.example/x?CANARY to \"http://b.example/y?CANARY\", done"),
            "from https://a.example/x?… to \"http://b.example/y?…\", done");
  EXPECT_EQ(redact("kafka://user:CANARY@h:9092,g:9092"), "kafka://h:9092,g:9092");
}

TEST(Redaction, CutsSecretsInSpellingsOfOurs) {
  EXPECT_EQ(redact("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw is"), "whsec_[redacted] is");
  EXPECT_EQ(redact("whsk_6Xb/dCcHpPea21PS+a== ptk_abcdefgh-_xyz"), "whsk_[redacted] ptk_[redacted]");
  EXPECT_EQ(redact("give a whsec_ secret"), "give a whsec_ secret");
}

TEST(Redaction, LeavesOrdinaryTextAlone) {
  for (const char* text : {"", "why? because", "a:b@c", "https://a.example/path", "100 % done #1"}) {
    EXPECT_EQ(redact(text), text);
  }
}

TEST(Redaction, KnowsTheNamesThatAreNeverLogged) {
  for (const char* name : {"Authorization", "proxy-authorization", "Cookie", "Set-Cookie", "X-Api-Key",
                           "x_api_key", "client_secret", "admin-token", "PASSWORD", "private_key"}) {
    EXPECT_TRUE(is_denied_name(name)) << name;
  }
  for (const char* name :
       {"tenant", "endpoint", "content-type", "retry-after", "key_id", "idempotency_key"}) {
    EXPECT_FALSE(is_denied_name(name)) << name;
  }
}

}  // namespace
}  // namespace postrider::telemetry
