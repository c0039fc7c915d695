// CloudEvents' HTTP binding 1.0.2: binary mode (ce-* headers, percent-encoded) and structured JSON.
#include <algorithm>
#include <utility>

#include "engine/wire/cloud_event.h"
#include "engine/wire/cloud_event_json.h"
#include "engine/wire/event_attributes.h"
#include "engine/wire/json_text.h"

namespace postrider::wire {
namespace {

constexpr std::string_view kPrefix = "ce-";
constexpr std::size_t kOthersMax = 3;  // that the caller may add

// §3.1.3.2: space, double quote, percent, and all outside U+0021–U+007E. CR and LF are among them: no value
// can start a header of its own.
constexpr bool stands_for_itself(char c) {
  return c > 0x20 && c < 0x7F && c != '"' && c != '%';
}

std::string percent_encoded(std::string_view value) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  if (std::ranges::all_of(value, stands_for_itself)) return std::string(value);
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (stands_for_itself(c)) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// §3.1.3.2: a quoted value is unquoted first. A percent sign that starts no escape stands for itself.
std::string unquoted(std::string_view value) {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return std::string(value);
  std::string out;
  for (std::size_t i = 1; i + 1 < value.size(); ++i) {
    if (value[i] == '\\' && i + 2 < value.size()) ++i;
    out += value[i];
  }
  return out;
}

std::string percent_decoded(std::string_view value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const bool escape = value[i] == '%' && i + 2 < value.size() && hex_digit(value[i + 1]) >= 0 &&
                        hex_digit(value[i + 2]) >= 0;
    if (escape) {
      out += static_cast<char>(hex_digit(value[i + 1]) * 16 + hex_digit(value[i + 2]));
      i += 2;
    } else {
      out += value[i];
    }
  }
  return out;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

Result<Event> decode_binary(const Headers& headers, std::string_view body, std::string_view content_type) {
  AttributeCollector attributes;
  for (const auto& header : headers) {
    if (!starts_with_ignoring_case(header.name, kPrefix)) continue;
    const auto name = lowered(std::string_view(header.name).substr(kPrefix.size()));
    if (auto added = attributes.add(name, percent_decoded(unquoted(header.value))); !added) {
      return fail(added.error());
    }
  }
  if (!content_type.empty()) {
    if (auto added = attributes.add("datacontenttype", content_type); !added) return fail(added.error());
  }
  auto event = std::move(attributes).finish();
  if (event) event->data = body;
  return event;
}

// Without a type libcurl would claim a form. A type that is no header value is not passed on (decoding
// refuses one; an event may have come by another way).
std::string body_type(const Event& event) {
  const auto& type = event.datacontenttype;
  const bool sendable = std::all_of(type.begin(), type.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
  return type.empty() || !sendable ? "application/octet-stream" : type;
}

void add_attribute_headers(Headers& headers, const Event& event, bool with_ours) {
  std::string target;
  const auto attributes = attributes_of(event, target);
  headers.reserve(headers.size() + attributes.size() + kOthersMax);
  for (const auto& [name, value] : attributes) {
    if (!with_ours && is_ours(name)) continue;
    headers.push_back({std::string(kPrefix).append(name), percent_encoded(value)});
  }
}

}  // namespace

Result<Event> decode_http(const Headers& headers, std::string_view body) {
  const auto* header = find_header(headers, "content-type");
  const std::string content_type = header ? *header : std::string();
  const auto media = media_type(content_type);
  if (media == kStructuredJson) return parse_json(body);
  if (media == kStructuredProtobuf) return parse_protobuf(body);
  if (media.starts_with("application/cloudevents-batch")) {
    return undecodable("a batch of CloudEvents is taken as application/cloudevents-batch+json",
                       "POST it to /v1/events");
  }
  if (media.starts_with("application/cloudevents")) {
    return undecodable("structured mode in a format that is neither JSON nor protobuf");
  }
  return decode_binary(headers, body, content_type);
}

bool is_batch(const Headers& headers) {
  const auto* type = find_header(headers, "content-type");
  return type != nullptr && media_type(*type) == kBatchJson;
}

Result<std::vector<Result<Event>>> decode_batch(std::string_view body) {
  JsonFlaw flaw;
  const auto elements = json_elements(body, flaw);
  if (!elements)
    return undecodable("it is no JSON array of CloudEvents: " + flaw.what + " at byte " +
                       std::to_string(flaw.at));
  std::vector<Result<Event>> events;
  events.reserve(elements->size());
  for (const auto element : *elements) events.push_back(parse_json(element));
  return events;
}

HttpMessage format_http(const Event& event, BodyFormat format) {
  HttpMessage message;
  if (format == BodyFormat::structured) {
    message.headers.push_back({"Content-Type", std::string(kStructuredJson) + "; charset=utf-8"});
    message.body = format_json(event, false);
    return message;
  }
  message.headers.push_back({"Content-Type", body_type(event)});
  add_attribute_headers(message.headers, event, false);
  message.body = event.data;
  return message;
}

HttpMessage encode_http(const Event& event) {
  HttpMessage message;
  if (!event.datacontenttype.empty()) message.headers.push_back({"Content-Type", body_type(event)});
  add_attribute_headers(message.headers, event, true);
  message.body = event.data;
  return message;
}

}  // namespace postrider::wire
