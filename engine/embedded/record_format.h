#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "engine/ports/log.h"
#include "engine/ports/record_cipher.h"

// The bytes of the embedded log's RocksDB. STORED: tests/log/record_format_test.cc pins them; a change needs
// a new kFormatVersion and code that reads the old one.
//
// Keys, whose order is the log's order (numbers big-endian):
//   'r' topic(1) partition(4) offset(8)   a record
//   'b' topic(1) partition(4)             first offset that retention left (8); absent: 0
//   'e' topic(1) partition(4)             one above the last offset ever given (8); absent: 0
//   'c' partition(4)                      the group's commit on that partition of `events`
//   't'                                   the newest append time (8): the clock never falls below it
//   'i'                                   the log's identity, as in the file `about`
//
// Value of a record, version 1:
//   version(1)=1  flags(1)  append time, unix ms(8)  CRC-32C(4)  key length(varint)  key  body
//   flags: 1 = has a value (else a tombstone), 2 = the body is sealed
//   body: count of headers(varint), each: name length, name, value length, value (lengths varint); then the
//   value The CRC covers the RocksDB key and the value without these four bytes: a record in a wrong place is
//   damage too.
// Value of a commit: offset(8) metadata.
namespace postrider::embedded {

inline constexpr int kFormatVersion = 1;
inline constexpr int kStoredTopics = 10;

// A topic's number on disk: for ever, whatever the enumeration's order.
std::uint8_t stored_number(Topic topic);
std::optional<Topic> topic_of(std::uint8_t number);

struct Place {
  Topic topic = Topic::events;
  Partition partition = 0;
  auto operator<=>(const Place&) const = default;
};
// "events/3", for messages.
std::string describe(Place place);

std::string record_key(Place place, Offset offset);
std::string records_begin(Place place);  // at or below every record's key
std::string records_end(Place place);    // above every record's key
std::string begin_key(Place place);
std::string end_key(Place place);
std::string commit_key(Partition partition);
inline constexpr std::string_view kClockKey = "t";
inline constexpr std::string_view kIdentityRow = "i";
inline constexpr std::string_view kAllRecordsBegin = "r", kAllRecordsEnd = "s";

struct RecordKey {
  Place place;
  Offset offset = 0;
};
std::optional<RecordKey> parse_record_key(std::string_view key);

std::string encode_number(std::int64_t number);
std::optional<std::int64_t> decode_number(std::string_view bytes);

// `cipher` seals the body; nullptr: it stays open. Fails only as the cipher does.
Result<std::string> encode_record(std::string_view key, const NewRecord& record, LogTime appended,
                                  RecordCipher* cipher);

// What can be read without the cipher, with the CRC checked. Views into `value`.
struct RecordView {
  LogTime appended{};
  bool has_value = false, sealed = false;
  std::string_view key, body;
};
// Errc::corrupt with the place in its message.
Result<RecordView> read_record(std::string_view key, std::string_view value);
// The whole record. A body that is sealed needs the cipher; its failure is passed on.
Result<Record> decode_record(std::string_view key, std::string_view value, RecordCipher* cipher);

}  // namespace postrider::embedded
