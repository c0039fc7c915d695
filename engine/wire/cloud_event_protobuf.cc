// CloudEvents' protobuf format 1.0.2 (schemas/cloudevents.proto).
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "engine/core/bytes.h"
#include "engine/core/time.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/event_attributes.h"
#include "schemas/cloudevents.pb.h"

namespace postrider::wire {
namespace {

namespace pb = cloudevents::v1;
using Value = pb::CloudEvent::CloudEventAttributeValue;

// RFC 3339 with as many fraction digits as are needed; nullopt: outside the years 1 to 9999.
std::optional<std::string> timestamp_text(const google::protobuf::Timestamp& time) {
  if (time.seconds() < -62135596800 || time.seconds() > 253402300799) return std::nullopt;
  if (time.nanos() < 0 || time.nanos() > 999999999) return std::nullopt;
  auto text = rfc3339(time.seconds() * 1000);
  text = text.substr(0, text.find_first_of(".Z"));
  if (time.nanos() != 0) {
    auto digits = std::to_string(time.nanos());
    digits.insert(0, 9 - digits.size(), '0');
    digits.erase(digits.find_last_not_of('0') + 1);
    text += "." + digits;
  }
  return text + "Z";
}

// CloudEvents' canonical text of each type (core specification §3.1).
std::optional<std::string> text_of(const Value& value) {
  switch (value.attr_case()) {
    case Value::kCeBoolean:
      return std::string(value.ce_boolean() ? "true" : "false");
    case Value::kCeInteger:
      return std::to_string(value.ce_integer());
    case Value::kCeString:
      return value.ce_string();
    case Value::kCeBytes:
      return base64_encode(value.ce_bytes());
    case Value::kCeUri:
      return value.ce_uri();
    case Value::kCeUriRef:
      return value.ce_uri_ref();
    case Value::kCeTimestamp:
      return timestamp_text(value.ce_timestamp());
    case Value::ATTR_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

Result<void> add_attributes(AttributeCollector& attributes, const pb::CloudEvent& message) {
  // In a set order, so that what is refused does not depend on a hash.
  std::map<std::string_view, const Value*> sorted;
  for (const auto& [name, value] : message.attributes()) sorted.emplace(name, &value);
  for (const auto& [name, value] : sorted) {
    const auto text = text_of(*value);
    if (!text) return undecodable("an attribute has no value, or a time out of range");
    if (auto added = attributes.add(name, *text); !added) return added;
  }
  return {};
}

void set_data(Event& event, const pb::CloudEvent& message) {
  switch (message.data_case()) {
    case pb::CloudEvent::kBinaryData:
      event.data = message.binary_data();
      break;
    case pb::CloudEvent::kTextData:
      event.data = message.text_data();
      break;
    case pb::CloudEvent::kProtoData:
      // The receiver gets the message itself; its name moves into dataschema, as the format has it.
      event.data = message.proto_data().value();
      if (event.datacontenttype.empty()) event.datacontenttype = "application/protobuf";
      if (event.dataschema.empty()) event.dataschema = message.proto_data().type_url();
      break;
    case pb::CloudEvent::DATA_NOT_SET:
      break;
  }
}

void set(pb::CloudEvent& message, std::string_view name, std::string_view value) {
  // Text as the producer wrote it, time included: the typed forms would lose its spelling.
  (*message.mutable_attributes())[std::string(name)].set_ce_string(std::string(value));
}

void set_attribute(pb::CloudEvent& message, std::string_view name, std::string_view value) {
  if (name == "specversion") {
    message.set_spec_version(std::string(value));
  } else if (name == "id") {
    message.set_id(std::string(value));
  } else if (name == "source") {
    message.set_source(std::string(value));
  } else if (name == "type") {
    message.set_type(std::string(value));
  } else {
    set(message, name, value);
  }
}

// Maps in key order: the same event gives the same bytes.
std::string serialized(const pb::CloudEvent& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

std::string format_protobuf(const Event& event) {
  pb::CloudEvent message;
  std::string target;
  for (const auto& [name, value] : attributes_of(event, target)) set_attribute(message, name, value);
  if (!event.datacontenttype.empty()) set(message, "datacontenttype", event.datacontenttype);
  message.set_binary_data(event.data);
  return serialized(message);
}

Result<Event> parse_protobuf(std::string_view bytes) {
  pb::CloudEvent message;
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return undecodable("it is no CloudEvent in protobuf format");
  }
  AttributeCollector attributes;
  const std::pair<std::string_view, const std::string*> required[] = {
      {"specversion", &message.spec_version()},
      {"id", &message.id()},
      {"source", &message.source()},
      {"type", &message.type()}};
  for (const auto& [name, value] : required) {
    if (auto added = attributes.add(name, *value); !added) return fail(added.error());
  }
  if (auto added = add_attributes(attributes, message); !added) return fail(added.error());
  auto event = std::move(attributes).finish();
  if (event) set_data(*event, message);
  return event;
}

}  // namespace postrider::wire
