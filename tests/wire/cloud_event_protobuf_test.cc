#include <gtest/gtest.h>

#include "engine/core/bytes.h"
#include "engine/wire/cloud_event.h"
#include "schemas/cloudevents.pb.h"

namespace postrider::wire {
namespace {

namespace pb = cloudevents::v1;

pb::CloudEvent message() {
  pb::CloudEvent made;
  made.set_spec_version("1.0");
  made.set_id("1");
  made.set_source("/s");
  made.set_type("t");
  return made;
}

// STORED BYTES: dead letters and claim checks hold them. They may only change by addition.
TEST(CloudEventInProtobuf, BytesAreThoseOfTheSpecification) {
  Event event;
  event.id = "1";
  event.source = "/s";
  event.type = "t";
  event.tenant = TenantId("acme");
  event.time = "2026-01-31T12:00:00Z";
  event.datacontenttype = "application/json";
  event.data = "{}";
  const auto bytes = format_protobuf(event);
  EXPECT_EQ(hex_encode(bytes),
            "0a0131"      // id = 1
            "12022f73"    // source = 2
            "1a03312e30"  // spec_version = 3
            "220174"      // type = 4
            "2a250a0f64617461636f6e74656e747479706512121a106170706c69636174696f6e2f6a736f6e"
            "2a100a0674656e616e7412061a0461636d65"  // attributes = 5: by name; ce_string = 3
            "2a1e0a0474696d6512161a14323032362d30312d33315431323a30303a30305a"
            "32027b7d");  // binary_data = 6
  EXPECT_EQ(parse_protobuf(bytes), event);
}

TEST(CloudEventInProtobuf, EveryTypeOfAttributeHasItsCanonicalText) {
  auto made = message();
  auto& attributes = *made.mutable_attributes();
  attributes["subject"].set_ce_string("ü");
  attributes["bool"].set_ce_boolean(true);
  attributes["number"].set_ce_integer(-7);
  attributes["bytes"].set_ce_bytes(std::string("\0\xFF", 2));
  attributes["dataschema"].set_ce_uri("https://example.com/s");
  attributes["ref"].set_ce_uri_ref("/r");
  attributes["time"].mutable_ce_timestamp()->set_seconds(1769860800);
  attributes["later"].mutable_ce_timestamp()->set_seconds(1769860800);
  attributes["later"].mutable_ce_timestamp()->set_nanos(120000000);
  made.set_text_data("text ü");
  const auto event = parse_protobuf(made.SerializeAsString());
  ASSERT_TRUE(event) << event.error().message;
  EXPECT_EQ(event->subject, "ü");
  EXPECT_EQ(event->dataschema, "https://example.com/s");
  EXPECT_EQ(event->time, "2026-01-31T12:00:00Z");
  EXPECT_EQ(event->data, "text ü");
  EXPECT_EQ(event->extensions,
            (std::vector<std::pair<std::string, std::string>>{{"bool", "true"},
                                                              {"bytes", "AP8="},
                                                              {"later", "2026-01-31T12:00:00.12Z"},
                                                              {"number", "-7"},
                                                              {"ref", "/r"}}));
}

TEST(CloudEventInProtobuf, AnEmbeddedMessageKeepsItsBytesAndItsName) {
  auto made = message();
  made.mutable_proto_data()->set_type_url("type.googleapis.com/shop.Order");
  made.mutable_proto_data()->set_value("\x08\x07");
  const auto event = parse_protobuf(made.SerializeAsString());
  ASSERT_TRUE(event);
  EXPECT_EQ(event->data, "\x08\x07");
  EXPECT_EQ(event->datacontenttype, "application/protobuf");
  EXPECT_EQ(event->dataschema, "type.googleapis.com/shop.Order");
}

TEST(CloudEventInProtobuf, WhatIsAmbiguousOrImpossibleIsRefused) {
  const auto refused = [](const pb::CloudEvent& made) { return !parse_protobuf(made.SerializeAsString()); };
  auto twice = message();
  (*twice.mutable_attributes())["id"].set_ce_string("2");
  EXPECT_TRUE(refused(twice));
  auto unset = message();
  (*unset.mutable_attributes())["x"];
  EXPECT_TRUE(refused(unset));
  auto impossible = message();
  (*impossible.mutable_attributes())["time"].mutable_ce_timestamp()->set_seconds(999'999'999'999);
  EXPECT_TRUE(refused(impossible));
  auto old = message();
  old.set_spec_version("0.3");
  EXPECT_TRUE(refused(old));
  EXPECT_FALSE(refused(message()));
  EXPECT_FALSE(parse_protobuf(""));
}

}  // namespace
}  // namespace postrider::wire
