// CloudEvents' Kafka binding 1.0.2: binary mode (ce_* headers, content-type, value = data), and structured
// mode in JSON or protobuf, told apart by the content-type header.
#include <algorithm>
#include <utility>

#include "engine/wire/cloud_event.h"
#include "engine/wire/cloud_event_json.h"
#include "engine/wire/event_attributes.h"

namespace postrider::wire {
namespace {

constexpr std::string_view kPrefix = "ce_";

Result<Event> decode_binary(const Headers& headers, std::string_view value, std::string_view content_type) {
  AttributeCollector attributes;
  for (const auto& header : headers) {
    if (!std::string_view(header.name).starts_with(kPrefix)) continue;  // the transport's own, or tracing's
    if (auto added = attributes.add(std::string_view(header.name).substr(kPrefix.size()), header.value);
        !added) {
      return fail(added.error());
    }
  }
  if (!content_type.empty()) {
    if (auto added = attributes.add("datacontenttype", content_type); !added) return fail(added.error());
  }
  auto event = std::move(attributes).finish();
  if (event) event->data = value;
  return event;
}

// The Python SDK (cloudevents 1.x and 2.x, kafka.to_structured) writes structured JSON under the content type
// of the data, and takes that out of the event. Without a ce_ header an object can be nothing else.
bool is_unmarked_json(const Headers& headers, std::string_view value) {
  const auto first = value.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && value[first] == '{' &&
         std::none_of(headers.begin(), headers.end(), [](const Header& header) {
           return std::string_view(header.name).starts_with(kPrefix);
         });
}

Result<DecodedEvent> decode_by_content_type(const Headers& headers, std::string_view value) {
  const auto* header = find_header(headers, "content-type");
  const std::string content_type = header ? *header : std::string();
  const auto media = media_type(content_type);
  const auto plain = [](Result<Event> event) {
    return std::move(event).map([](Event&& inner) { return DecodedEvent{std::move(inner), false}; });
  };
  if (media == kSealedEvent) {
    return decode_binary(headers, value, {}).map([](Event&& inner) {
      return DecodedEvent{std::move(inner), true};
    });
  }
  if (media == kStructuredJson) return plain(parse_json(value));
  if (media == kStructuredProtobuf) return plain(parse_protobuf(value));
  if (starts_with_ignoring_case(media, "application/cloudevents-batch")) {
    return undecodable("a batch of CloudEvents in one record is not supported",
                       "publish each event as a record of its own");
  }
  if (starts_with_ignoring_case(media, "application/cloudevents")) {
    return undecodable("structured mode in a format that is neither JSON nor protobuf");
  }
  if (is_unmarked_json(headers, value)) return plain(parse_json_with_type(value, content_type));
  return plain(decode_binary(headers, value, content_type));
}

Headers attribute_headers(const Event& event) {
  Headers headers;
  std::string target;
  for (const auto& [name, value] : attributes_of(event, target)) {
    headers.push_back({std::string(kPrefix) + std::string(name), std::string(value)});
  }
  return headers;
}

}  // namespace

Result<DecodedEvent> decode_kafka(std::string_view key, const Headers& headers, std::string_view value,
                                  bool tenant_from_key) {
  auto decoded = decode_by_content_type(headers, value);
  if (decoded && tenant_from_key && decoded->event.tenant.empty()) {
    decoded->event.tenant = TenantId(std::string(key));
  }
  return decoded;
}

KafkaMessage encode_kafka(const Event& event) {
  KafkaMessage message{event.tenant.str(), attribute_headers(event), event.data};
  if (!event.datacontenttype.empty()) message.headers.push_back({"content-type", event.datacontenttype});
  return message;
}

KafkaMessage encode_sealed_replay(const Event& attributes, std::string_view sealed_payload) {
  KafkaMessage message{attributes.tenant.str(), attribute_headers(attributes), std::string(sealed_payload)};
  message.headers.push_back({"content-type", std::string(kSealedEvent)});
  return message;
}

}  // namespace postrider::wire
