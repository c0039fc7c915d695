#include "engine/embedded/record_format.h"

#include <array>
#include <cstdlib>
#include <utility>

#include "engine/embedded/crc32c.h"

namespace postrider::embedded {
namespace {

constexpr std::array<std::pair<Topic, std::uint8_t>, kStoredTopics> kNumbers{{{Topic::events, 1},
                                                                              {Topic::endpoints, 2},
                                                                              {Topic::health, 3},
                                                                              {Topic::keys, 4},
                                                                              {Topic::parked, 5},
                                                                              {Topic::attempts, 6},
                                                                              {Topic::dead_letters, 7},
                                                                              {Topic::audit, 8},
                                                                              {Topic::requests, 9},
                                                                              {Topic::replays, 10}}};
static_assert(kStoredTopics == kTopicCount, "a new topic needs a number of its own");

constexpr unsigned char kHasValue = 1, kSealed = 2;
constexpr std::size_t kCrcAt = 10, kAfterCrc = 14;

void put_big_endian(std::string& out, std::uint64_t number, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>((number >> (8 * i)) & 0xff));
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t number = 0;
  for (char c : bytes) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

void put_varint(std::string& out, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) out.push_back(static_cast<char>(number | 0x80));
  out.push_back(static_cast<char>(number));
}

// Takes what it read off the front of `bytes`.
std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t number = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return number;
  }
  return std::nullopt;
}

std::optional<std::string_view> take_text(std::string_view& bytes) {
  const auto length = take_varint(bytes);
  if (!length || *length > bytes.size()) return std::nullopt;
  const std::string_view text = bytes.substr(0, *length);
  bytes.remove_prefix(*length);
  return text;
}

void put_text(std::string& out, std::string_view text) {
  put_varint(out, text.size());
  out.append(text);
}

std::string prefix(char kind, Place place) {
  std::string key(1, kind);
  key.push_back(static_cast<char>(stored_number(place.topic)));
  put_big_endian(key, static_cast<std::uint32_t>(place.partition), 4);
  return key;
}

std::string body_of(const NewRecord& record) {
  std::string body;
  put_varint(body, record.headers.size());
  for (const Header& header : record.headers) {
    put_text(body, header.name);
    put_text(body, header.value);
  }
  if (record.value) body.append(*record.value);
  return body;
}

bool read_body(std::string_view body, bool has_value, Record& record) {
  const auto count = take_varint(body);
  if (!count || *count > body.size()) return false;
  record.headers.reserve(*count);
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto name = take_text(body);
    const auto value = name ? take_text(body) : std::nullopt;
    if (!value) return false;
    record.headers.push_back({std::string(*name), std::string(*value)});
  }
  if (has_value) record.value = std::string(body);
  return has_value || body.empty();
}

std::uint32_t crc_of(std::string_view key, std::string_view value) {
  return crc32c(value.substr(kAfterCrc), crc32c(value.substr(0, kCrcAt), crc32c(key)));
}

tl::unexpected<Error> damaged(std::string_view key, std::string_view how) {
  const auto at = parse_record_key(key);
  const std::string where = at ? "record " + std::to_string(at->offset) + " of " + describe(at->place)
                               : "a key of the embedded log";
  return fail(Errc::corrupt, "LOG_DAMAGED", where + " " + std::string(how),
              "restore the log's directory from a backup, and have the disk checked");
}

}  // namespace

std::uint8_t stored_number(Topic topic) {
  for (const auto& [each, number] : kNumbers)
    if (each == topic) return number;
  std::abort();
}

std::optional<Topic> topic_of(std::uint8_t number) {
  for (const auto& [topic, each] : kNumbers)
    if (each == number) return topic;
  return std::nullopt;
}

std::string describe(Place place) {
  return std::string(name_of(place.topic)) + "/" + std::to_string(place.partition);
}

std::string record_key(Place place, Offset offset) {
  std::string key = prefix('r', place);
  put_big_endian(key, static_cast<std::uint64_t>(offset), 8);
  return key;
}

std::string records_begin(Place place) {
  return prefix('r', place);
}

std::string records_end(Place place) {
  return prefix('r', {place.topic, place.partition + 1});
}

std::string begin_key(Place place) {
  return prefix('b', place);
}

std::string end_key(Place place) {
  return prefix('e', place);
}

std::string commit_key(Partition partition) {
  std::string key(1, 'c');
  put_big_endian(key, static_cast<std::uint32_t>(partition), 4);
  return key;
}

std::optional<RecordKey> parse_record_key(std::string_view key) {
  if (key.size() != 14 || key[0] != 'r') return std::nullopt;
  const auto topic = topic_of(static_cast<std::uint8_t>(key[1]));
  if (!topic) return std::nullopt;
  return RecordKey{{*topic, static_cast<Partition>(big_endian(key.substr(2, 4)))},
                   static_cast<Offset>(big_endian(key.substr(6)))};
}

std::string encode_number(std::int64_t number) {
  std::string out;
  put_big_endian(out, static_cast<std::uint64_t>(number), 8);
  return out;
}

std::optional<std::int64_t> decode_number(std::string_view bytes) {
  if (bytes.size() != 8) return std::nullopt;
  return static_cast<std::int64_t>(big_endian(bytes));
}

Result<std::string> encode_record(std::string_view key, const NewRecord& record, LogTime appended,
                                  RecordCipher* cipher) {
  std::string body = body_of(record);
  if (cipher) {
    auto sealed = cipher->seal(body);
    if (!sealed) return fail(std::move(sealed.error()));
    body = std::move(*sealed);
  }
  std::string value;
  value.reserve(kAfterCrc + 5 + record.key.size() + body.size());
  value.push_back(static_cast<char>(kFormatVersion));
  value.push_back(static_cast<char>((record.value ? kHasValue : 0) | (cipher ? kSealed : 0)));
  put_big_endian(value, static_cast<std::uint64_t>(to_ms(appended)), 8);
  value.append(4, '\0');
  put_text(value, record.key);
  value.append(body);
  std::string crc;
  put_big_endian(crc, crc_of(key, value), 4);
  value.replace(kCrcAt, 4, crc);
  return value;
}

Result<RecordView> read_record(std::string_view key, std::string_view value) {
  if (value.size() < kAfterCrc) return damaged(key, "is too short");
  if (big_endian(value.substr(kCrcAt, 4)) != crc_of(key, value))
    return damaged(key, "does not match its checksum");
  if (value[0] != static_cast<char>(kFormatVersion))
    return fail(
        Errc::invalid, "LOG_VERSION_UNKNOWN",
        "a record of the embedded log has format version " + std::to_string(static_cast<int>(value[0])),
        "start the version of postriderd that wrote it, or a newer one");
  RecordView view;
  view.has_value = (value[1] & kHasValue) != 0;
  view.sealed = (value[1] & kSealed) != 0;
  view.appended = from_ms<LogTime>(static_cast<std::int64_t>(big_endian(value.substr(2, 8))));
  std::string_view rest = value.substr(kAfterCrc);
  const auto text = take_text(rest);
  if (!text) return damaged(key, "has a key longer than itself");
  view.key = *text;
  view.body = rest;
  return view;
}

Result<Record> decode_record(std::string_view key, std::string_view value, RecordCipher* cipher) {
  const auto at = parse_record_key(key);
  if (!at) return damaged(key, "is none of ours");
  auto view = read_record(key, value);
  if (!view) return fail(std::move(view.error()));
  Record record;
  record.topic = at->place.topic;
  record.partition = at->place.partition;
  record.offset = at->offset;
  record.appended = view->appended;
  record.key = std::string(view->key);
  std::string opened;
  std::string_view body = view->body;
  if (view->sealed) {
    if (!cipher)
      return fail(Errc::unavailable, "LOG_SEALED",
                  "record " + std::to_string(at->offset) + " of " + describe(at->place) + " is sealed",
                  "give the key service that sealed it ([keys] service)");
    auto plain = cipher->open(body);
    if (!plain) return fail(std::move(plain.error()));
    opened = std::move(*plain);
    body = opened;
  }
  if (!read_body(body, view->has_value, record)) return damaged(key, "has a body that is none of ours");
  return record;
}

}  // namespace postrider::embedded
