// CloudEvents' JSON format 1.0.2, in and out, without parsing and printing the producer's data.
#include "engine/wire/cloud_event_json.h"

#include <utility>

#include "engine/core/bytes.h"
#include "engine/core/utf8.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/event_attributes.h"
#include "engine/wire/json_text.h"

namespace postrider::wire {
namespace {

struct DataMembers {
  const JsonMember* data = nullptr;
  const JsonMember* base64 = nullptr;
};

// Attribute values are strings, booleans or whole numbers; null means absent (JSON format §2.2, §2.4).
Result<void> add_attribute(AttributeCollector& attributes, std::string_view name, const JsonMember& member) {
  switch (member.kind) {
    case JsonKind::null:
      return {};
    case JsonKind::boolean:
    case JsonKind::integer:
      return attributes.add(name, member.value);
    case JsonKind::string: {
      const auto text = unquote_json(member.value);
      if (!text) return undecodable("an attribute holds half of a surrogate pair");
      return attributes.add(name, *text);
    }
    default:
      return undecodable("an attribute is neither text, a whole number nor a boolean");
  }
}

Result<void> note_data(const JsonMember*& place, const JsonMember& member) {
  if (place) return undecodable("its data occurs twice");
  place = &member;
  return {};
}

Result<void> take_member(const JsonMember& member, AttributeCollector& attributes, DataMembers& data) {
  const auto name = unquote_json(member.name);
  if (!name) return undecodable("a member's name holds half of a surrogate pair");
  if (*name == "data") return note_data(data.data, member);
  if (*name == "data_base64") return note_data(data.base64, member);
  return add_attribute(attributes, *name, member);
}

Result<std::string> decode_base64_member(const JsonMember& member) {
  if (member.kind == JsonKind::null) return std::string();
  if (member.kind == JsonKind::string) {
    // Members hold "\/" where a producer escapes slashes.
    if (const auto text = unquote_json(member.value)) {
      if (auto bytes = base64_decode(*text)) return *std::move(bytes);
    }
  }
  return undecodable("its data_base64 is not base64");
}

// JSON data is kept as the text it was written as. Under another content type a string is that type's text
// (JSON format §3.1.1), so it is unquoted.
Result<std::string> data_text(const JsonMember& member, const std::string& content_type) {
  if (member.kind == JsonKind::null) return std::string();
  if (member.kind == JsonKind::string && !content_type.empty() && !is_json_type(content_type)) {
    auto text = unquote_json(member.value);
    if (!text) return undecodable("its data holds half of a surrogate pair");
    return *std::move(text);
  }
  return std::string(member.value);
}

Result<void> set_data(Event& event, const DataMembers& data) {
  if (data.data && data.base64) return undecodable("it has both data and data_base64");
  if (data.base64) {
    auto bytes = decode_base64_member(*data.base64);
    if (!bytes) return fail(bytes.error());
    event.data = *std::move(bytes);
  }
  if (data.data) {
    auto text = data_text(*data.data, event.datacontenttype);
    if (!text) return fail(text.error());
    event.data = *std::move(text);
    // §3.1: JSON data without a content type is application/json, and says so in every other format.
    if (event.datacontenttype.empty() && !event.data.empty()) event.datacontenttype = "application/json";
  }
  return {};
}

void append_member(std::string& out, std::string_view name) {
  if (out.size() > 1) out += ',';
  append_json_string(out, name);
  out += ':';
}

void append_data(std::string& out, const Event& event) {
  const auto& type = event.datacontenttype;
  if (event.data.empty()) return;
  const bool json = type.empty() || is_json_type(type);
  if (json && is_json(event.data)) {
    append_member(out, "data");
    out += event.data;
  } else if (!json && is_utf8_text_type(type) && is_utf8(event.data)) {  // text/json is read as JSON
    append_member(out, "data");
    append_json_string(out, event.data);
  } else {
    append_member(out, "data_base64");
    append_json_string(out, base64_encode(event.data));
  }
}

}  // namespace

Result<Event> parse_json(std::string_view text) {
  return parse_json_with_type(text, {});
}

Result<Event> parse_json_with_type(std::string_view text, std::string_view content_type) {
  JsonFlaw flaw;
  const auto members = json_members(text, flaw);
  if (!members) {
    return undecodable("it is no JSON object of a CloudEvent: " + flaw.what + " at byte " +
                       std::to_string(flaw.at));
  }
  AttributeCollector attributes;
  DataMembers data;
  for (const auto& member : *members) {
    if (auto taken = take_member(member, attributes, data); !taken) return fail(taken.error());
  }
  auto event = std::move(attributes).finish();
  if (!event) return event;
  if (event->datacontenttype.empty() && !content_type.empty()) {
    AttributeCollector header;  // judged like one that stands among the members
    if (auto added = header.add("datacontenttype", content_type); !added) return fail(added.error());
    event->datacontenttype = content_type;
  }
  if (auto set = set_data(*event, data); !set) return fail(set.error());
  return event;
}

std::string format_json(const Event& event, bool with_ours) {
  std::string out = "{";
  std::string target;
  for (const auto& [name, value] : attributes_of(event, target)) {
    if (!with_ours && is_ours(name)) continue;
    append_member(out, name);
    append_json_string(out, value);
  }
  if (!event.datacontenttype.empty()) {
    append_member(out, "datacontenttype");
    append_json_string(out, event.datacontenttype);
  }
  append_data(out, event);
  out += '}';
  return out;
}

}  // namespace postrider::wire
