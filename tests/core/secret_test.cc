#include "engine/core/secret.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <new>
#include <type_traits>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

constexpr std::string_view kHmac = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr std::string_view kEd25519 =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(!Printable<Secret>);
static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(!std::equality_comparable<Secret>);

TEST(Secret, MovesAndLeavesNothingBehind) {
  Secret first(std::string("0123456789abcdef0123456789abcdef"));
  Secret second(std::move(first));
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is the question
  EXPECT_EQ(second.reveal(), "0123456789abcdef0123456789abcdef");
  Secret third(std::string("other"));
  third = std::move(second);
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(third.reveal(), "0123456789abcdef0123456789abcdef");
  Secret& itself = third;
  third = std::move(itself);
  EXPECT_EQ(third.reveal(), "0123456789abcdef0123456789abcdef");
}

TEST(Secret, ShortOnesAreWipedFromTheBufferTheyLeave) {
  Secret first(std::string("short-key"));  // lies inside the object itself
  const char* const bytes = first.reveal().data();
  const Secret second(std::move(first));
  EXPECT_EQ(std::string(bytes, 9), std::string(9, '\0'));
  EXPECT_EQ(second.reveal(), "short-key");
}

TEST(Secret, IsWipedWhenItGoes) {
  alignas(Secret) std::array<char, sizeof(Secret)> memory{};
  auto* const secret = new (memory.data()) Secret(std::string("short-key"));
  ASSERT_NE(std::string_view(memory.data(), memory.size()).find("short-key"), std::string_view::npos);
  secret->~Secret();
  EXPECT_EQ(std::string_view(memory.data(), memory.size()).find("key"), std::string_view::npos);
}

TEST(Secret, ClonesByItsNameOnly) {
  const Secret first(std::string("0123456789abcdef0123456789abcdef"));
  const Secret second = first.clone();
  EXPECT_EQ(first.reveal(), second.reveal());
  EXPECT_NE(first.reveal().data(), second.reveal().data());
}

TEST(SigningSecret, ReadsBothKinds) {
  const auto hmac = parse_signing_secret(kHmac);
  ASSERT_TRUE(hmac.has_value());
  EXPECT_EQ(hmac->kind, SecretKind::hmac);
  EXPECT_EQ(hex_encode(hmac->key.reveal()), "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0");
  const auto ed25519 = parse_signing_secret(kEd25519);
  ASSERT_TRUE(ed25519.has_value());
  EXPECT_EQ(ed25519->kind, SecretKind::ed25519);
  EXPECT_EQ(ed25519->key.reveal().size(), 64u);
  EXPECT_EQ(format_signing_secret(*hmac).reveal(), kHmac);
  EXPECT_EQ(format_signing_secret(*ed25519).reveal(), kEd25519);
}

RC_GTEST_PROP(SigningSecret, EveryKeyOf24To64BytesComesBack, ()) {
  const auto size = *rc::gen::inRange<std::size_t>(24, 65);
  const auto bytes = *rc::gen::container<std::string>(size, rc::gen::arbitrary<char>());
  const auto read = parse_signing_secret("whsec_" + base64_encode(bytes));
  RC_ASSERT(read.has_value());
  RC_ASSERT(read->key.reveal() == bytes);
}

TEST(SigningSecret, RefusesOtherSizes) {
  for (const std::size_t size : {0u, 23u, 65u}) {
    EXPECT_FALSE(parse_signing_secret("whsec_" + base64_encode(std::string(size, 'k')))) << size;
  }
  for (const std::size_t size : {0u, 32u, 63u, 65u}) {
    EXPECT_FALSE(parse_signing_secret("whsk_" + base64_encode(std::string(size, 'k')))) << size;
  }
}

TEST(SigningSecret, NeverEchoesWhatItRefuses) {
  const std::string canary = "CANARYcanaryCANARYcanaryCANARYca";
  for (const std::string& text :
       {canary, "whsec_" + canary + "\n", "whsec_" + canary + "!", "whsec_" + canary.substr(0, 8),
        "whsk_" + canary, "WHSEC_" + canary, "whpk_" + canary, " whsec_" + canary,
        "whsec_" + canary + canary + canary}) {
    const auto refused = parse_signing_secret(text);
    ASSERT_FALSE(refused.has_value()) << text;
    EXPECT_EQ(refused.error().code, "INVALID_SECRET");
    EXPECT_EQ(refused.error().errc, Errc::invalid);
    EXPECT_FALSE(refused.error().suggestion.empty());
    for (const std::string& said : {refused.error().message, refused.error().suggestion}) {
      EXPECT_EQ(said.find("CANARY"), std::string::npos) << said;
    }
  }
}

}  // namespace
}  // namespace postrider
