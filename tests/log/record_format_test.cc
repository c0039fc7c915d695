#include "engine/embedded/record_format.h"

#include <gtest/gtest.h>

#include "engine/core/bytes.h"
#include "engine/embedded/crc32c.h"
#include "tests/log/embedded_fixture.h"

namespace postrider::embedded {
namespace {

NewRecord sample() {
  NewRecord record;
  record.key = "acme";
  record.value = "{\"n\":1}";
  record.headers = {{"ce_id", "1"}, {"ce_type", "order.created"}};
  return record;
}

TEST(EmbeddedFormat, Crc32cHasItsPublishedValues) {  // RFC 3720, appendix B.4
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c("6789", crc32c("12345")), 0xe3069283u);
}

// STORED BYTES: a log written by any earlier version must be read by this one. Do not mend these by copying
// what the code gives now.
TEST(EmbeddedFormat, KeysArePinned) {
  EXPECT_EQ(hex_encode(record_key({Topic::events, 3}, 258)), "7201000000030000000000000102");
  EXPECT_EQ(hex_encode(record_key({Topic::endpoints, 0}, 0)), "7202000000000000000000000000");
  EXPECT_EQ(hex_encode(begin_key({Topic::health, 0})), "620300000000");
  EXPECT_EQ(hex_encode(end_key({Topic::keys, 0})), "650400000000");
  EXPECT_EQ(hex_encode(end_key({Topic::parked, 1})), "650500000001");
  EXPECT_EQ(hex_encode(end_key({Topic::attempts, 1})), "650600000001");
  EXPECT_EQ(hex_encode(end_key({Topic::dead_letters, 0})), "650700000000");
  EXPECT_EQ(hex_encode(end_key({Topic::audit, 0})), "650800000000");
  EXPECT_EQ(hex_encode(end_key({Topic::requests, 0})), "650900000000");
  EXPECT_EQ(hex_encode(end_key({Topic::replays, 0})), "650a00000000");
  EXPECT_EQ(hex_encode(commit_key(2)), "6300000002");
  EXPECT_EQ(hex_encode(encode_number(-2)), "fffffffffffffffe");
}

TEST(EmbeddedFormat, RecordsArePinned) {
  const std::string key = record_key({Topic::events, 3}, 258);
  const auto at = from_ms<LogTime>(1'750'000'000'000);
  const auto open = encode_record(key, sample(), at, nullptr);
  ASSERT_TRUE(open);
  EXPECT_EQ(
      hex_encode(*open),
      "0101000001977420dc00389d5e0a0461636d65020563655f696401310763655f747970650d6f726465722e63726561746564"
      "7b226e223a317d");
  NewRecord tombstone;
  tombstone.key = "k";
  const auto empty = encode_record(key, tombstone, at, nullptr);
  ASSERT_TRUE(empty);
  EXPECT_EQ(hex_encode(*empty), "0100000001977420dc0089a20d9d016b00");
}

TEST(EmbeddedFormat, ARecordComesBackWhole) {
  log_test::FlippingCipher cipher;
  const std::string key = record_key({Topic::events, 3}, 258);
  for (RecordCipher* each : {static_cast<RecordCipher*>(nullptr), static_cast<RecordCipher*>(&cipher)}) {
    const auto value = encode_record(key, sample(), from_ms<LogTime>(7), each);
    const auto record = decode_record(key, *value, each);
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ(record->topic, Topic::events);
    EXPECT_EQ(record->partition, 3);
    EXPECT_EQ(record->offset, 258);
    EXPECT_EQ(to_ms(record->appended), 7);
    EXPECT_EQ(record->key, "acme");
    EXPECT_EQ(record->value, sample().value);
    EXPECT_EQ(record->headers, sample().headers);
  }
}

TEST(EmbeddedFormat, EveryFlippedBitIsNoticedAndNamed) {
  const std::string key = record_key({Topic::events, 3}, 258);
  const std::string value = *encode_record(key, sample(), from_ms<LogTime>(7), nullptr);
  for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string broken = value;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
    const auto record = decode_record(key, broken, nullptr);
    ASSERT_FALSE(record) << bit;
    EXPECT_EQ(record.error().errc, Errc::corrupt);
    EXPECT_NE(record.error().message.find("record 258 of events/3"), std::string::npos)
        << record.error().message;
  }
  for (std::size_t size = 0; size < value.size(); ++size)
    EXPECT_FALSE(decode_record(key, value.substr(0, size), nullptr)) << size;
}

TEST(EmbeddedFormat, ARecordInAnotherPlaceIsDamage) {
  const std::string value =
      *encode_record(record_key({Topic::events, 3}, 258), sample(), from_ms<LogTime>(7), nullptr);
  EXPECT_FALSE(decode_record(record_key({Topic::events, 3}, 259), value, nullptr));
  EXPECT_FALSE(decode_record(record_key({Topic::parked, 3}, 258), value, nullptr));
}

TEST(EmbeddedFormat, ASealedRecordNeedsItsCipher) {
  log_test::FlippingCipher cipher;
  const std::string key = record_key({Topic::events, 0}, 1);
  const std::string value = *encode_record(key, sample(), from_ms<LogTime>(7), &cipher);
  EXPECT_EQ(value.find("order.created"), std::string::npos);
  const auto record = decode_record(key, value, nullptr);
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code, "LOG_SEALED");
}

}  // namespace
}  // namespace postrider::embedded
