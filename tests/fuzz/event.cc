// Events as they come from producers: each mode, and what becomes of an event when it is written again.
// Input: a choice of the mode, header lines, an empty line, the value.
#include <nlohmann/json.hpp>

#include "engine/wire/cloud_event.h"
#include "engine/wire/cloud_event_json.h"
#include "engine/wire/codec.h"
#include "engine/wire/event_attributes.h"
#include "engine/wire/json_text.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

void judge_refusal(const Error& error, std::string_view bytes) {
  if (error.code != "UNDECODABLE_EVENT" || error.message.empty())
    broken("an event is refused without code or message", bytes);
}

// JSON says "no data" where it has an empty string, and bytes that are no JSON have no type there.
bool may_go_as_json(const Event& event) {
  return !event.data.empty() && !event.datacontenttype.empty();
}

std::string without_blanks(const std::string& json) {
  const auto first = json.find_first_not_of(" \t\r\n");
  return json.substr(first, json.find_last_not_of(" \t\r\n") + 1 - first);
}

void judge_event(const Event& event, std::string_view bytes) {
  const auto message = wire::encode_kafka(event);
  const auto from_kafka = wire::decode_kafka(message.key, message.headers, message.value, false);
  if (!from_kafka || from_kafka->sealed || !(from_kafka->event == event))
    broken("an event on Kafka is read otherwise than it was written", bytes);
  const auto from_protobuf = wire::parse_protobuf(wire::format_protobuf(event));
  if (!from_protobuf || !(*from_protobuf == event))
    broken("a sealed event is read otherwise than it was written", bytes);
  if (may_go_as_json(event)) {
    const auto text = wire::format_json(event, true);
    const auto from_json = wire::parse_json(text);
    Event expected = event;  // blanks around JSON are no part of it
    if (from_json && from_json->data != event.data && wire::is_json(event.data))
      expected.data = without_blanks(event.data);
    if (!from_json || !(*from_json == expected))
      broken("an event in JSON is read otherwise than it was written", bytes);
    if (!wire::is_json(text)) broken("an event in JSON is no JSON", bytes);
  }
  // What a producer posts. What is set aside as bad goes no further: its content type may be no header's
  // value.
  if (!check(event, Environment("test"))) {
    const auto posted = wire::encode_http(event);
    const auto from_http = wire::decode_http(posted.headers, posted.body);
    if (!from_http || !(*from_http == event))
      broken("an event over HTTP is read otherwise than it was written", bytes);
  }
  for (const auto format : {BodyFormat::binary, BodyFormat::structured}) {
    const auto delivered = wire::format_http(event, format);
    for (const auto& header : delivered.headers)
      for (const char c : header.value)
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e)
          broken("an attribute leaves as more than a header's value", bytes);
    if (delivered.headers.empty()) broken("a delivery without a content type", bytes);
  }
}

template <class T>
void judge(const Result<T>& decoded, std::string_view bytes) {
  if (!decoded) return judge_refusal(decoded.error(), bytes);
  if constexpr (std::is_same_v<T, Event>) {
    judge_event(*decoded, bytes);
  } else if (!decoded->sealed) {
    judge_event(decoded->event, bytes);
  }
}

void judge_batch(std::string_view body, std::string_view bytes) {
  const auto batch = wire::decode_batch(body);
  if (!batch) return judge_refusal(batch.error(), bytes);
  std::string whole = "[";
  for (const auto& event : *batch) {
    judge(event, bytes);
    if (event) whole += (whole.size() > 1 ? "," : "") + wire::format_json(*event, true);
  }
  whole += "]";
  const auto again = wire::decode_batch(whole);
  const auto good =
      std::count_if(batch->begin(), batch->end(), [](const auto& event) { return event.has_value(); });
  if (!again || static_cast<std::ptrdiff_t>(again->size()) != good)
    broken("a batch that is written again holds another number of events", bytes);
}

// nlohmann's parser is as strict; it has no limit of depth, skips a byte order mark, and refuses numbers that
// no double holds and halves of surrogate pairs, which we pass on as they stand.
void judge_json(std::string_view text, std::string_view bytes) {
  const bool ours = wire::is_json(text);
  const bool marked = text.starts_with("\xEF\xBB\xBF");
  // It ends at a NUL byte, which no JSON text holds, as at the end of the text.
  const bool theirs = text.find('\0') == std::string_view::npos && nlohmann::json::accept(text);
  if (ours == theirs || marked) return;
  const bool deep = std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '{'; }) >
                    wire::kJsonDepthMax;
  if (!ours && deep) return;
  const bool passed_on = text.find("\\u") != std::string_view::npos ||
                         text.find_first_of("eE") != std::string_view::npos || text.size() > 300;
  if (ours && passed_on) return;
  broken("a JSON text is judged otherwise than by nlohmann's parser", bytes);
}

}  // namespace

void event(std::string_view bytes) {
  static const bool quiet = (wire::silence_protobuf(), true);
  (void)quiet;
  std::string_view rest = bytes;
  const auto mode = take_choice(rest, 8);
  if (mode == 0) return judge_json(rest, bytes);
  if (mode == 1) return judge_batch(rest, bytes);
  if (mode == 2) return judge(wire::parse_protobuf(rest), bytes);
  if (mode == 3) return judge(wire::parse_json(rest), bytes);
  const auto headers = take_headers(rest);
  if (mode == 4) return judge(wire::decode_http(headers, rest), bytes);
  judge(wire::decode_kafka("tenant-of-the-key", headers, rest, mode == 5), bytes);
}

}  // namespace postrider::fuzz
