#include <gtest/gtest.h>

#include "engine/wire/cloud_event.h"

namespace postrider::wire {
namespace {

Headers binary_headers() {
  return {{"ce_specversion", "1.0"},
          {"ce_id", "order-7"},
          {"ce_source", "/shop"},
          {"ce_type", "order.created"},
          {"ce_tenant", "acme"},
          {"content-type", "application/json"},
          {"traceparent", "the transport's own header, not an attribute"}};
}

Event full_event() {
  Event event;
  event.id = "order-7";
  event.source = "/shop/münchen";
  event.type = "order.created";
  event.subject = "orders/7";
  event.time = "2026-01-31T12:00:00.5+01:00";
  event.datacontenttype = "application/json";
  event.dataschema = "https://example.com/order.json";
  event.tenant = TenantId("acme");
  event.environment = "production";
  event.target = Target{EndpointId("orders"), Incarnation("inc_1")};
  event.replay_job = ReplayJobId("rpl_1");
  event.extensions = {{"orderingkey", "7"}, {"traceparent", "00-aa-bb-01"}};
  event.data = "{\"order\": 7 }\n";
  return event;
}

TEST(CloudEventOverKafka, BinaryModeTakesAttributesFromHeadersAndDataByteForByte) {
  const std::string data("\x00\xFF {\"order\":7} ", 15);
  const auto decoded = decode_kafka("key", binary_headers(), data, false);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_FALSE(decoded->sealed);
  EXPECT_EQ(decoded->event.id, "order-7");
  EXPECT_EQ(decoded->event.source, "/shop");
  EXPECT_EQ(decoded->event.type, "order.created");
  EXPECT_EQ(decoded->event.tenant, TenantId("acme"));
  EXPECT_EQ(decoded->event.datacontenttype, "application/json");
  EXPECT_EQ(decoded->event.data, data);
  EXPECT_TRUE(decoded->event.extensions.empty());
}

TEST(CloudEventOverKafka, EncodeAndDecodeGiveTheSameEvent) {
  const auto message = encode_kafka(full_event());
  EXPECT_EQ(message.key, "acme");
  EXPECT_EQ(message.value, full_event().data);
  const auto decoded = decode_kafka(message.key, message.headers, message.value, false);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(decoded->event, full_event());
}

TEST(CloudEventOverKafka, TheKeyIsTheTenantOnlyWhenAskedForAndOnlyWhenNoneIsNamed) {
  auto headers = binary_headers();
  EXPECT_EQ(decode_kafka("key", headers, "", true)->event.tenant, TenantId("acme"));
  std::erase_if(headers, [](const Header& header) { return header.name == "ce_tenant"; });
  EXPECT_EQ(decode_kafka("key", headers, "", true)->event.tenant, TenantId("key"));
  EXPECT_TRUE(decode_kafka("key", headers, "", false)->event.tenant.empty());
}

TEST(CloudEventOverKafka, StructuredModesAreToldByTheContentType) {
  const std::string json =
      R"({"specversion":"1.0","id":"1","source":"/s","type":"t","tenant":"acme","data":[1, 2]})";
  const auto structured =
      decode_kafka("", {{"Content-Type", "Application/CloudEvents+JSON; charset=UTF-8"}}, json, false);
  ASSERT_TRUE(structured) << structured.error().message;
  EXPECT_EQ(structured->event.data, "[1, 2]");

  const auto protobuf = decode_kafka("", {{"content-type", "application/cloudevents+protobuf"}},
                                     format_protobuf(full_event()), false);
  ASSERT_TRUE(protobuf) << protobuf.error().message;
  EXPECT_EQ(protobuf->event, full_event());
}

// As cloudevents 2.2.0 for Python writes them: kafka.to_structured().
TEST(CloudEventOverKafka, ThePythonSdksStructuredEventsArriveThoughTheirContentTypeIsThatOfTheData) {
  const auto decode = [](Headers headers, std::string_view value) {
    auto decoded = decode_kafka("acme", headers, value, false);
    EXPECT_TRUE(decoded) << decoded.error().message;
    return decoded ? decoded->event : Event{};
  };
  const std::string head =
      R"({"type": "t", "source": "/s", "tenant": "acme", "specversion": "1.0", "id": "1", )"
      R"("time": "2026-11-22T08:13:48.686428+00:00", )";
  auto event = decode({{"content-type", "application/json"}}, head + R"("data": {"a": 1}})");
  EXPECT_EQ(event.data, "{\"a\": 1}");
  EXPECT_EQ(event.datacontenttype, "application/json");
  EXPECT_EQ(event.tenant, TenantId("acme"));
  event = decode({}, head + R"("data": {"a": 1}})");
  EXPECT_EQ(event.datacontenttype, "application/json");
  event = decode({{"content-type", "text/xml"}}, head + R"("data": "<a/>"})");
  EXPECT_EQ(event.data, "<a/>");
  EXPECT_EQ(event.datacontenttype, "text/xml");
  event = decode({{"content-type", "text/xml"}}, head + R"("data_base64": "PGEvPg=="})");
  EXPECT_EQ(event.data, "<a/>");
  EXPECT_EQ(event.datacontenttype, "text/xml");
}

TEST(CloudEventOverKafka, TheContentTypeOfAnUnmarkedStructuredEventIsJudgedLikeAnAttribute) {
  const std::string value =
      R"({"specversion":"1.0","id":"1","source":"/shop","type":"order.created","tenant":"acme","data":7})";
  ASSERT_TRUE(decode_kafka("key", {{"content-type", "application/json"}}, value, false));
  for (const std::string type : {"text/pl\xF5in", "application/vnd.postrider.other"}) {
    const auto decoded = decode_kafka("key", {{"content-type", type}}, value, false);
    ASSERT_FALSE(decoded) << type;
    EXPECT_EQ(decoded.error().code, "UNDECODABLE_EVENT");
  }
}

TEST(CloudEventOverKafka, ASealedReplayKeepsItsAttributesAndItsPayloadUnopened) {
  auto attributes = full_event();
  attributes.data.clear();
  attributes.datacontenttype.clear();
  const auto message = encode_sealed_replay(attributes, "sealed bytes");
  EXPECT_EQ(message.key, "acme");
  const auto decoded = decode_kafka(message.key, message.headers, message.value, false);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_TRUE(decoded->sealed);
  EXPECT_EQ(decoded->event.data, "sealed bytes");
  EXPECT_EQ(decoded->event.target, attributes.target);
  EXPECT_EQ(decoded->event.replay_job, attributes.replay_job);
  EXPECT_EQ(decoded->event.id, attributes.id);
}

std::string refusal(const Headers& headers, std::string_view value = "") {
  const auto decoded = decode_kafka("acme", headers, value, true);
  if (decoded) return "accepted";
  EXPECT_EQ(decoded.error().errc, Errc::invalid);
  EXPECT_EQ(decoded.error().code, "UNDECODABLE_EVENT");
  EXPECT_FALSE(decoded.error().suggestion.empty());
  return decoded.error().message;
}

Headers with(Header header) {
  auto headers = binary_headers();
  headers.push_back(std::move(header));
  return headers;
}

TEST(CloudEventOverKafka, WhatIsNoCloudEventIsRefusedWithItsReason) {
  EXPECT_EQ(refusal({}, "{}"), "it names no specversion, so it is no CloudEvent");
  EXPECT_EQ(refusal({{"ce_specversion", "0.3"}}), "its specversion is '0.3', not '1.0'");
  EXPECT_EQ(refusal(with({"ce_id", "again"})), "the attribute 'id' occurs twice");
  EXPECT_EQ(refusal(with({"ce_My-Name", "x"})), "'My-Name' is no name of an attribute");
  EXPECT_EQ(refusal(with({"ce_data", "x"})), "'data' is no name of an attribute");
  EXPECT_EQ(refusal(with({"ce_a\r\nb", "x"})), "'a??b' is no name of an attribute");
  EXPECT_EQ(refusal(with({"ce_subject", "\xC3("})), "the attribute 'subject' is not UTF-8");
  EXPECT_EQ(refusal(with({"ce_target", "nobody"})), "its target is not endpoint:incarnation");
  EXPECT_EQ(refusal({{"content-type", "application/cloudevents-batch+json"}}, "[]"),
            "a batch of CloudEvents in one record is not supported");
  EXPECT_EQ(refusal({{"content-type", "application/cloudevents+avro"}}),
            "structured mode in a format that is neither JSON nor protobuf");
  EXPECT_EQ(refusal({{"content-type", "application/cloudevents+protobuf"}}, "\xFF\xFF"),
            "it is no CloudEvent in protobuf format");
}

TEST(CloudEventOverKafka, AttributesAreBoundedInNumberNameAndSize) {
  auto headers = binary_headers();
  for (int i = 0; i < 200; ++i) headers.push_back({"ce_x" + std::to_string(i), "v"});
  EXPECT_EQ(refusal(headers), "more than 128 attributes");
  EXPECT_EQ(refusal(with({"ce_subject", std::string(70'000, 'x')})),
            "the attributes are longer than 65536 bytes together");
  EXPECT_EQ(refusal(with({"ce_" + std::string(65, 'x'), "v"})),
            "'" + std::string(40, 'x') + "' is no name of an attribute");
}

// A structured event may claim any type for its data. Ours would be read as another mode when it is written
// again.
TEST(CloudEventOverKafka, DataMayNotClaimATypeOfOurOwn) {
  for (const std::string type :
       {"application/cloudevents+json", "APPLICATION/vnd.postrider.sealed+protobuf"}) {
    const auto json = R"({"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":")" + type +
                      R"(","data":1})";
    EXPECT_EQ(refusal({{"content-type", "application/cloudevents+json"}}, json),
              "its datacontenttype is no media type of data");
  }
}

}  // namespace
}  // namespace postrider::wire
