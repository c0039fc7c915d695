#include <gtest/gtest.h>

#include "engine/wire/cloud_event.h"

namespace postrider::wire {
namespace {

Event event() {
  Event made;
  made.id = "order-7";
  made.source = "/shop";
  made.type = "order.created";
  made.subject = "Euro € 100% \"now\"";
  made.datacontenttype = "application/json; charset=utf-8";
  made.tenant = TenantId("acme");
  made.environment = "production";
  made.target = Target{EndpointId("orders"), Incarnation("inc_1")};
  made.replay_job = ReplayJobId("rpl_1");
  made.extensions = {{"orderingkey", "7"}, {"traceparent", "00-aa-bb-01"}};
  made.data = "{\"order\": 7 }\n";
  return made;
}

TEST(CloudEventOverHttp, BinaryModeSendsDataByteForByteAndAttributesPercentEncoded) {
  const auto message = format_http(event(), BodyFormat::binary);
  EXPECT_EQ(message.body, event().data);
  EXPECT_EQ(message.headers, (Headers{{"Content-Type", "application/json; charset=utf-8"},
                                      {"ce-specversion", "1.0"},
                                      {"ce-id", "order-7"},
                                      {"ce-source", "/shop"},
                                      {"ce-type", "order.created"},
                                      // The example of the HTTP binding, §3.1.3.2, and a quote besides.
                                      {"ce-subject", "Euro%20%E2%82%AC%20100%25%20%22now%22"},
                                      {"ce-orderingkey", "7"},
                                      {"ce-traceparent", "00-aa-bb-01"}}));
}

TEST(CloudEventOverHttp, AttributesOfOursNeverLeave) {
  for (const auto format : {BodyFormat::binary, BodyFormat::structured}) {
    const auto message = format_http(event(), format);
    for (const auto& [name, value] : message.headers) {
      for (const auto* ours : {"tenant", "environment", "target", "replayjob"}) {
        EXPECT_EQ(name.find(ours), std::string::npos);
      }
    }
    for (const auto* ours : {"acme", "production", "inc_1", "rpl_1"}) {
      EXPECT_EQ(message.body.find(ours), std::string::npos);
    }
  }
}

TEST(CloudEventOverHttp, NoAttributeCanStartAHeaderOfItsOwn) {
  auto evil = event();
  evil.id = "1\r\nX-Admin: yes";
  evil.type = "a\nb";
  evil.datacontenttype = "text/plain\r\nX-Admin: yes";
  evil.extensions = {{"x", std::string("a\0b", 3)}};
  for (const auto& [name, value] : format_http(evil, BodyFormat::binary).headers) {
    EXPECT_EQ(value.find_first_of(std::string_view("\r\n\0", 3)), std::string::npos) << name;
  }
}

TEST(CloudEventOverHttp, DataWithoutATypeIsCalledBytes) {
  auto untyped = event();
  untyped.datacontenttype.clear();
  EXPECT_EQ(*find_header(format_http(untyped, BodyFormat::binary).headers, "Content-Type"),
            "application/octet-stream");
}

TEST(CloudEventOverHttp, WhatAProducerPostsIsDecodedToTheSameEvent) {
  const auto message = encode_http(event());
  const auto decoded = decode_http(message.headers, message.body);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, event());
  auto untyped = event();
  untyped.datacontenttype.clear();
  EXPECT_EQ(decode_http(encode_http(untyped).headers, untyped.data), untyped);
}

TEST(CloudEventOverHttp, WhatACustomerReceivesIsACloudEventAgain) {
  auto expected = event();
  expected.tenant = {};
  expected.environment.clear();
  expected.target.reset();
  expected.replay_job = {};
  const auto binary = format_http(event(), BodyFormat::binary);
  EXPECT_EQ(decode_http(binary.headers, binary.body), expected);
  expected.data = "{\"order\": 7 }";  // blanks around a value are not part of it
  const auto structured = format_http(event(), BodyFormat::structured);
  EXPECT_EQ(decode_http(structured.headers, structured.body), expected);
}

Result<Event> decode_subject(std::string value) {
  return decode_http({{"CE-SpecVersion", "1.0"}, {"Ce-Id", "1"}, {"ce-subject", std::move(value)}}, "");
}

TEST(CloudEventOverHttp, HeaderValuesAreUnquotedAndPercentDecoded) {
  EXPECT_EQ(decode_subject("Euro%20%e2%82%AC")->subject, "Euro €");
  EXPECT_EQ(decode_subject("\"a \\\"b\\\\\"")->subject, "a \"b\\");
  EXPECT_EQ(decode_subject("100% %zz %4")->subject, "100% %zz %4");
  EXPECT_EQ(decode_subject("%41%2")->subject, "A%2");
  EXPECT_EQ(decode_subject("%42")->subject, "B");
  EXPECT_FALSE(decode_subject("%C3%28"));
}

TEST(CloudEventOverHttp, StructuredAndUnknownModes) {
  const std::string json = R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a": 1}})";
  EXPECT_EQ(decode_http({{"content-type", "application/cloudevents+json"}}, json)->data, "{\"a\": 1}");
  EXPECT_EQ(decode_http({{"Content-Type", "application/cloudevents+protobuf"}}, format_protobuf(event())),
            event());
  EXPECT_FALSE(decode_http({{"Content-Type", "application/cloudevents-batch+json"}}, "[]"));
  EXPECT_FALSE(decode_http({{"Content-Type", "application/cloudevents+xml"}}, "<event/>"));
  EXPECT_FALSE(decode_http({{"Content-Type", "application/json"}}, json));  // no ce-specversion
  EXPECT_FALSE(decode_http({{"ce-specversion", "1.0"}, {"CE-ID", "1"}, {"ce-id", "2"}}, ""));
  EXPECT_FALSE(decode_http({{"ce-specversion", "1.0"}, {"content-type", std::string(kSealedEvent)}}, "x"));
}

}  // namespace
}  // namespace postrider::wire
