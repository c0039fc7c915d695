#include "engine/core/bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>
#include <vector>

namespace postrider {
namespace {

std::string hex(const Digest& digest) {
  return hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}
Hash128 hash_of(std::vector<std::string_view> parts) {
  return hash128(parts);
}

TEST(Base64, WritesTheVectorsOfRfc4648) {
  const std::vector<std::pair<std::string, std::string>> vectors{{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
}

TEST(Base64, RefusesBadPaddingAlphabetAndTrailingBits) {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Z===", "Zm9v=", "Zm9v====", "Zg==Zg==", "Zm=v", "Zm9-",
        "Zm9_", "Zm 9", "Zm9v\n", "Zh==", "Zm9=", "\xff\xff\xff\xff"}) {
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(Base64, EveryTextOfBytesComesBack, (const std::string& bytes)) {
  RC_ASSERT(base64_decode(base64_encode(bytes)) == std::optional(bytes));
}

RC_GTEST_PROP(Base64, WhatIsReadIsTheOnlySpelling, ()) {
  const auto text =
      *rc::gen::container<std::string>(8, rc::gen::element('A', 'B', 'Q', 'g', '=', '+', '/', '9'));
  if (const auto bytes = base64_decode(text)) RC_ASSERT(base64_encode(*bytes) == text);
}

TEST(Hex, IsLowerCase) {
  EXPECT_EQ(hex_encode(""), "");
  EXPECT_EQ(hex_encode(std::string_view("\x00\x7f\x80\xff", 4)), "007f80ff");
}

TEST(Base36, HasNoPaddingAndOneSpelling) {
  EXPECT_EQ(base36(0), "0");
  EXPECT_EQ(base36(35), "z");
  EXPECT_EQ(base36(36), "10");
  EXPECT_EQ(base36(std::numeric_limits<std::uint64_t>::max()), "3w5e11264sgsf");
  for (const char* text : {"", "00", "01", "Z", "-1", " 1", "3w5e11264sgsg", "zzzzzzzzzzzzzzz"}) {
    EXPECT_EQ(parse_base36(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(Base36, EveryNumberComesBack, ()) {
  const auto number = *rc::gen::arbitrary<std::uint64_t>();
  RC_ASSERT(parse_base36(base36(number)) == std::optional(number));
}

TEST(Sha256, GivesTheVectorsOfFips180) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abc")), hex(sha256("abc")));  // the kept context starts anew each time
}

// Stored and sent: these bytes must never change.
TEST(Hash128, IsPinned) {
  EXPECT_EQ(hex_encode(hash_of({}).view()), "e3b0c44298fc1c149afbf4c8996fb924");
  EXPECT_EQ(hex_encode(hash_of({"ab", "c"}).view()), "601d5476e2ccfe2c87a2bba7a3226597");
  EXPECT_EQ(hex_encode(hash_of({"a", "bc"}).view()), "3fafa1cf2f19a7c1129beb20cf0983f7");
}

TEST(Hash128, PartsCannotRunIntoEachOther) {
  EXPECT_NE(hash_of({"ab", "c"}), hash_of({"a", "bc"}));
  EXPECT_NE(hash_of({"a", ""}), hash_of({"a"}));
  EXPECT_NE(hash_of({"", "a"}), hash_of({"a", ""}));
}

TEST(Base62, IsPinned) {
  Hash128 hash;
  EXPECT_EQ(base62(hash), "0000000000000000000000");
  hash.bytes.back() = 62;
  EXPECT_EQ(base62(hash), "0000000000000000000010");
  hash.bytes.fill(0xff);
  EXPECT_EQ(base62(hash), "7n42DGM5Tflk9n8mt7Fhc7");
  std::iota(hash.bytes.begin(), hash.bytes.end(), static_cast<unsigned char>(0));
  EXPECT_EQ(base62(hash), "000SYW7RiJxkEgOGusQGwp");
}

TEST(Base62, IsReadBackOnlyWhenItIsOne) {
  EXPECT_TRUE(parse_base62("7n42DGM5Tflk9n8mt7Fhc7"));
  EXPECT_FALSE(parse_base62("7n42DGM5Tflk9n8mt7Fhc8")) << "2^128";
  EXPECT_FALSE(parse_base62("zzzzzzzzzzzzzzzzzzzzzz"));
  EXPECT_FALSE(parse_base62("7n42DGM5Tflk9n8mt7Fhc"));
  EXPECT_FALSE(parse_base62("7n42DGM5Tflk9n8mt7Fhc-"));
  EXPECT_FALSE(parse_base62(""));
}

RC_GTEST_PROP(Base62, KeepsTheOrderOfTheHashes, ()) {
  Hash128 left, right;
  for (auto& byte : left.bytes) byte = *rc::gen::arbitrary<unsigned char>();
  for (auto& byte : right.bytes) byte = *rc::gen::arbitrary<unsigned char>();
  RC_ASSERT((left < right) == (base62(left) < base62(right)));
  RC_ASSERT(base62(left).size() == 22u);
  RC_ASSERT(parse_base62(base62(left)) == left);
}

}  // namespace
}  // namespace postrider
