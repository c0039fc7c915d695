#include "engine/core/event.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

const Environment kOurs("production");

Event good_event() {
  Event event;
  event.id = "evt-1";
  event.source = "/orders";
  event.type = "order.created";
  event.tenant = TenantId("acme");
  event.data = "{}";
  return event;
}

TEST(Event, AcceptsTheLeastEvent) {
  EXPECT_EQ(check(good_event(), kOurs), std::nullopt);
}

TEST(Event, AcceptsAFullOne) {
  Event event = good_event();
  event.subject = "bestellung/ä€😀";
  event.time = "2026-01-31T12:00:00.5+01:00";
  event.datacontenttype = "application/json; charset=utf-8";
  event.dataschema = "https://example.com/order.json";
  event.environment = "production";
  event.extensions = {{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
                      {"orderingkey", ""}};
  event.data.assign(kEventDataBytesMax, 'x');
  EXPECT_EQ(check(event, kOurs), std::nullopt);
}

TEST(Event, WithoutATenantIsBad) {
  Event event = good_event();
  event.tenant = TenantId();
  EXPECT_EQ(check(event, kOurs), BadEvent::no_tenant);
}

TEST(Event, OfATenantOutsideTheGrammarIsBad) {
  for (const std::string& tenant : {std::string("a/b"), std::string(65, 'x'), std::string("acme corp")}) {
    Event event = good_event();
    event.tenant = TenantId(tenant);
    EXPECT_EQ(check(event, kOurs), BadEvent::bad_tenant) << tenant;
  }
}

TEST(Event, OfAnotherEnvironmentIsBad) {
  Event event = good_event();
  event.environment = "staging";
  EXPECT_EQ(check(event, kOurs), BadEvent::foreign_environment);
}

TEST(Event, OneByteOverTheSizeIsBad) {
  Event event = good_event();
  event.data.assign(kEventDataBytesMax + 1, 'x');
  EXPECT_EQ(check(event, kOurs), BadEvent::oversize);
}

TEST(Event, LackingARequiredAttributeIsBad) {
  for (std::string Event::*attribute : {&Event::id, &Event::source, &Event::type}) {
    Event event = good_event();
    (event.*attribute).clear();
    EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute);
  }
}

TEST(Event, WithTextThatCloudEventsForbidsIsBad) {
  const std::vector<std::string> texts{"a\r\nx-evil: 1",  // would end a header line
                                       std::string("a\0b", 3),
                                       "\x7f",
                                       "\xc2\x85",  // control characters
                                       "\x80",
                                       "\xc3",
                                       "\xc0\xaf",
                                       "\xe0\x80\xaf",
                                       "\xf8\x88\x80\x80\x80",  // no UTF-8, or overlong
                                       "\xed\xa0\x80",
                                       "\xf4\x90\x80\x80",  // a surrogate, above U+10FFFF
                                       "\xef\xbf\xbf",
                                       "\xef\xb7\x90",  // noncharacters
                                       std::string(kAttributeBytesMax + 1, 'x')};
  for (const std::string& text : texts) {
    for (std::string Event::*attribute : {&Event::id, &Event::source, &Event::type, &Event::subject,
                                          &Event::dataschema, &Event::datacontenttype}) {
      Event event = good_event();
      event.*attribute = text;
      EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute) << testing::PrintToString(text);
    }
    Event event = good_event();
    event.extensions = {{"note", text}};
    EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute) << testing::PrintToString(text);
  }
}

TEST(Event, WithAnyControlCharacterIsBad) {
  for (char c = 0; c < 0x20; ++c) {
    Event event = good_event();
    event.subject = std::string("a") + c;
    EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute) << int{c};
  }
}

TEST(Event, WithATimeThatIsNoneIsBad) {
  Event event = good_event();
  event.time = "yesterday";
  EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute);
}

TEST(Event, WithAContentTypeOutsideAsciiIsBad) {
  Event event = good_event();
  event.datacontenttype = "application/jsön";
  EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute);
}

TEST(Event, WithABadExtensionNameIsBad) {
  for (const char* name :
       {"", "Note", "no-te", "no_te", "note:", "ü", "id", "source", "specversion", "data", "tenant"}) {
    Event event = good_event();
    event.extensions = {{name, "x"}};
    EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute) << name;
  }
}

TEST(Event, WithTooManyOrRepeatedExtensionsIsBad) {
  Event event = good_event();
  event.extensions = {{"note", "1"}, {"other", "2"}, {"note", "3"}};
  EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute);
  event.extensions.clear();
  for (std::size_t i = 0; i < kExtensionsMax; ++i) event.extensions.push_back({"n" + std::to_string(i), "x"});
  EXPECT_EQ(check(event, kOurs), std::nullopt);
  event.extensions.push_back({"onemore", "x"});
  EXPECT_EQ(check(event, kOurs), BadEvent::bad_attribute);
}

// Stored in dead letters.
TEST(Event, ReasonsAreSpelledForEver) {
  EXPECT_EQ(reason_of(BadEvent::undecodable), "undecodable");
  EXPECT_EQ(reason_of(BadEvent::oversize), "oversize");
  EXPECT_EQ(reason_of(BadEvent::no_tenant), "no_tenant");
  EXPECT_EQ(reason_of(BadEvent::bad_tenant), "bad_tenant");
  EXPECT_EQ(reason_of(BadEvent::foreign_environment), "foreign_environment");
  EXPECT_EQ(reason_of(BadEvent::bad_attribute), "bad_attribute");
}

TEST(Headers, AreFoundWhateverTheirCaseAndTheFirstWins) {
  const Headers headers{{"Content-Type", "a"}, {"X-One", "1"}, {"x-one", "2"}};
  ASSERT_NE(find_header(headers, "content-type"), nullptr);
  EXPECT_EQ(*find_header(headers, "CONTENT-TYPE"), "a");
  EXPECT_EQ(*find_header(headers, "x-ONE"), "1");
  EXPECT_EQ(find_header(headers, "x-on"), nullptr);
  EXPECT_EQ(find_header({}, "x"), nullptr);
}

}  // namespace
}  // namespace postrider
