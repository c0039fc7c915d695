#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/endpoint.h"
#include "engine/core/event.h"
#include "engine/core/result.h"

// CloudEvents 1.0 as they come and go: the Kafka binding's three modes in, HTTP's two modes in and out. Pure;
// any thread; throws nothing. Refused as Errc::invalid, UNDECODABLE_EVENT: batches, another specversion,
// attributes that occur twice, are not UTF-8 or go beyond event_attributes.h's bounds, JSON nested deeper
// than 64. JSON data without a content type becomes application/json, as the specification asks.
namespace postrider::wire {

inline constexpr std::string_view kStructuredJson = "application/cloudevents+json";
inline constexpr std::string_view kBatchJson = "application/cloudevents-batch+json";
inline constexpr std::string_view kStructuredProtobuf = "application/cloudevents+protobuf";
// A replayed dead letter: the value is its sealed payload, unopened; the attributes stand in ce_* headers.
inline constexpr std::string_view kSealedEvent = "application/vnd.postrider.sealed+protobuf";

struct DecodedEvent {
  Event event;
  bool sealed = false;  // `event.data` is the sealed payload of a dead letter: open it, then parse_protobuf()
};

// A record of `events`. `key`: taken as the tenant when `tenant_from_key` and no tenant attribute is there.
// Errc::invalid: undecodable. What is decodable and yet refused is core's check().
Result<DecodedEvent> decode_kafka(std::string_view key, const Headers& headers, std::string_view value,
                                  bool tenant_from_key);

// An HTTP request's headers and body (binary: ce-* headers, percent-decoded; structured: by Content-Type).
Result<Event> decode_http(const Headers& headers, std::string_view body);

// CloudEvents' JSON batch format (§4), each event by itself: one that is none spoils no other. Invalid as a
// whole: what is no JSON array.
bool is_batch(const Headers& headers);
Result<std::vector<Result<Event>>> decode_batch(std::string_view body);

// One structured JSON text (a line of `--file EVENTS.jsonl`).
Result<Event> parse_json(std::string_view text);

// A record of `events` in binary mode: its key is the tenant.
struct KafkaMessage {
  std::string key;
  Headers headers;
  std::string value;
};
KafkaMessage encode_kafka(const Event& event);
// A replay of a sealed dead letter: attributes in headers, value = the sealed payload.
KafkaMessage encode_sealed_replay(const Event& attributes, std::string_view sealed_payload);

// The whole event in the protobuf format: what is sealed in claim checks and dead letters.
std::string format_protobuf(const Event& event);
Result<Event> parse_protobuf(std::string_view bytes);

// What a customer receives: Content-Type and ce-* headers (values percent-encoded as the HTTP binding says)
// with the body data as it is; or one structured JSON. Attributes of ours (tenant, environment, target,
// replayjob) are left out.
struct HttpMessage {
  Headers headers;
  std::string body;
};
HttpMessage format_http(const Event& event, BodyFormat format);
// The whole event in HTTP binary mode, attributes of ours included: what a producer posts. decode_http
// reverses it.
HttpMessage encode_http(const Event& event);

}  // namespace postrider::wire
