#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "engine/wire/cloud_event.h"
#include "engine/wire/json_text.h"

namespace postrider::wire {
namespace {

std::string event_with(const std::string& members) {
  return R"({"specversion":"1.0","id":"1","source":"/s","type":"t","tenant":"acme",)" + members + "}";
}

Event parsed(const std::string& members) {
  auto event = parse_json(event_with(members));
  EXPECT_TRUE(event) << members << ": " << event.error().message;
  return event ? *std::move(event) : Event{};
}

std::string refusal(const std::string& text) {
  const auto event = parse_json(text);
  return event ? "accepted" : event.error().message;
}

TEST(CloudEventInJson, DataKeepsTheProducersBytes) {
  // Numbers that doubles cannot hold, blanks, order, repeated names, escapes: all stay as they were written.
  for (const std::string data : {R"({"b" : 1.0, "a":12345678901234567890.10 , "a": "é"})", "[1,\n\t2 ]",
                                 "\"text\"", "-0.0e+7", "true", R"("\ud83d\ude00 \/")"}) {
    EXPECT_EQ(parsed("\"data\": " + data + " ").data, data);
  }
}

TEST(CloudEventInJson, DataWithoutATypeIsApplicationJson) {
  EXPECT_EQ(parsed(R"("data":1)").datacontenttype, "application/json");
  EXPECT_EQ(parsed(R"("data":1,"datacontenttype":"application/vnd.x+json")").datacontenttype,
            "application/vnd.x+json");
  EXPECT_EQ(parsed(R"("subject":"none")").datacontenttype, "");
  EXPECT_EQ(parsed(R"("data":null)").data, "");
}

TEST(CloudEventInJson, TextOfAnotherTypeIsUnquotedAndBase64Decoded) {
  EXPECT_EQ(parsed(R"("datacontenttype":"text/plain","data":"a\nb \u00fc")").data, "a\nb ü");
  EXPECT_EQ(parsed(R"("data":"<a\/>","datacontenttype":"application/xml")").data, "<a/>");
  EXPECT_EQ(parsed(R"("data_base64":"AAH\/","datacontenttype":"image/png")").data,
            std::string("\0\x01\xFF", 3));
  EXPECT_EQ(parsed(R"("data":"kept as JSON","datacontenttype":"application/json")").data, "\"kept as JSON\"");
}

TEST(CloudEventInJson, AttributesMayBeTextNumbersAndBooleansAndNullIsAbsent) {
  const auto event = parsed(R"("subject":null,"sequence":17,"urgent":true,"note":"\ud83d\ude00 \"x\"")");
  EXPECT_EQ(event.subject, "");
  EXPECT_EQ(event.extensions, (std::vector<std::pair<std::string, std::string>>{
                                  {"note", "😀 \"x\""}, {"sequence", "17"}, {"urgent", "true"}}));
}

TEST(CloudEventInJson, WhatIsMalformedOrAmbiguousIsRefused) {
  EXPECT_NE(refusal("[1]").find("it is not an object"), std::string::npos);
  EXPECT_NE(refusal("{").find("expected a member's name"), std::string::npos);
  EXPECT_EQ(refusal(event_with(R"("data":1,"data":2)")), "its data occurs twice");
  EXPECT_EQ(refusal(event_with(R"("data":1,"data_base64":"AA==")")), "it has both data and data_base64");
  EXPECT_EQ(refusal(event_with(R"("id":"2")")), "the attribute 'id' occurs twice");
  EXPECT_EQ(refusal(event_with(R"("\u0069d":"2")")), "the attribute 'id' occurs twice");
  EXPECT_EQ(refusal(event_with(R"("data_base64":"A")")), "its data_base64 is not base64");
  EXPECT_EQ(refusal(event_with(R"("data_base64":7)")), "its data_base64 is not base64");
  EXPECT_EQ(refusal(event_with(R"("subject":"\ud800")")), "an attribute holds half of a surrogate pair");
  EXPECT_EQ(refusal(event_with(R"("x":{"a":1})")),
            "an attribute is neither text, a whole number nor a boolean");
  EXPECT_EQ(refusal(event_with(R"("x":1.5)")), "an attribute is neither text, a whole number nor a boolean");
}

TEST(CloudEventInJson, DeepNestingIsRefusedAndNeverOverflowsTheStack) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(parsed("\"data\":" + nested(63)).data, nested(63));
  EXPECT_NE(refusal(event_with("\"data\":" + nested(64))).find("nested too deeply"), std::string::npos);
  EXPECT_NE(refusal(std::string(1'000'000, '[')).find("nested too deeply"), std::string::npos);
}

TEST(CloudEventInJson, CustomersGetJsonDataAsItStands) {
  auto event =
      parsed(R"("data":{"b" :1.10},"orderingkey":"7","environment":"production","replayjob":"rpl_1")");
  event.target = Target{EndpointId("orders"), Incarnation("inc_1")};
  const auto message = format_http(event, BodyFormat::structured);
  EXPECT_EQ(message.headers, (Headers{{"Content-Type", "application/cloudevents+json; charset=utf-8"}}));
  EXPECT_EQ(message.body, R"({"specversion":"1.0","id":"1","source":"/s","type":"t","orderingkey":"7",)"
                          R"("datacontenttype":"application/json","data":{"b" :1.10}})");
}

nlohmann::json structured(const std::string& type, const std::string& data) {
  Event event;
  event.id = "a\"\\\x01ü";
  event.datacontenttype = type;
  event.data = data;
  return nlohmann::json::parse(format_http(event, BodyFormat::structured).body);
}

TEST(CloudEventInJson, OtherDataBecomesTextOrBase64) {
  EXPECT_EQ(structured("text/plain", "a\"b\n")["data"], "a\"b\n");
  EXPECT_EQ(structured("text/plain; charset=\"UTF-8\"", "ü")["data"], "ü");
  EXPECT_EQ(structured("text/plain; charset=iso-8859-1", "abc")["data_base64"], "YWJj");
  EXPECT_EQ(structured("text/plain", "\xFF")["data_base64"], "/w==");
  EXPECT_EQ(structured("image/png", "abc")["data_base64"], "YWJj");
  EXPECT_EQ(structured("application/json", "{broken")["data_base64"], "e2Jyb2tlbg==");
  EXPECT_EQ(structured("text/json", "{broken")["data_base64"], "e2Jyb2tlbg==");  // text would be read as JSON
  EXPECT_EQ(structured("application/json", "1}, {\"id\":2")["data_base64"], "MX0sIHsiaWQiOjI=");
  EXPECT_EQ(structured("", "{\"a\":1}")["data"], nlohmann::json({{"a", 1}}));
  EXPECT_EQ(structured("", "abc")["data_base64"], "YWJj");
  EXPECT_FALSE(structured("application/json", "").contains("data"));
  EXPECT_EQ(structured("text/plain", "x")["id"], "a\"\\\x01ü");
}

// The scanner decides what is embedded raw: it must accept what a strict parser accepts, and nothing else.
TEST(JsonText, AgreesWithAStrictParserOnValidBrokenAndMutatedTexts) {
  std::vector<std::string> texts{"{}",
                                 "[]",
                                 "null",
                                 "0",
                                 "-0",
                                 "01",
                                 "1.",
                                 ".5",
                                 "1e5",
                                 "1E+",
                                 "-",
                                 "\"\"",
                                 "\"\\u12g4\"",
                                 "\"\\x\"",
                                 "tru",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "[1,]",
                                 "[,1]",
                                 "{a:1}",
                                 " [ 1 , {\"b\" : [ true , false , null ] } ] ",
                                 "1 2",
                                 "\"\xC3\xBC\"",
                                 "\"\xC0\x80\"",
                                 "\"\xED\xA0\x80\"",
                                 "\"\xF4\x90\x80\x80\"",
                                 "\"\xE2\x82\"",
                                 "\"a\tb\"",
                                 "",
                                 "\"\\ud83d\\ude00\"",
                                 "{\"k\":\"v\",\"k2\":[-1.5e-3,\"\\n\"]}",
                                 "nul",
                                 "[\"unclosed]",
                                 "{\"a\" 1}"};
  std::mt19937 random(20260131);
  const std::string alphabet = "{}[]\",:\\u0019eE+-.truefalsn \n\xC3\xBC\x80\x01";
  const auto seeds = texts.size();
  for (int i = 0; i < 50'000; ++i) {
    auto text = texts[random() % seeds];
    for (auto changes = random() % 3; changes > 0; --changes) {
      const auto at = random() % (text.size() + 1);
      const char c = alphabet[random() % alphabet.size()];
      if (random() % 2 == 0 || at == text.size()) {
        text.insert(at, 1, c);
      } else {
        text[at] = c;
      }
    }
    texts.push_back(text);
  }
  for (const auto& text : texts) {
    // Half a surrogate pair is grammatical (RFC 8259 §8.2); the other parser refuses it.
    if (text.find("\\ud") != std::string::npos) continue;
    ASSERT_EQ(is_json(text), nlohmann::json::accept(text)) << text;
  }
}

TEST(JsonText, QuotingIsUndoneByTheOtherParser) {
  std::string text;
  for (int c = 0; c < 128; ++c) text += static_cast<char>(c);
  text += "é€😀";
  std::string quoted;
  append_json_string(quoted, text);
  EXPECT_EQ(nlohmann::json::parse(quoted).get<std::string>(), text);
  EXPECT_EQ(unquote_json(quoted), text);
  std::string replaced;
  append_json_string(replaced, "a\xFFz");
  EXPECT_EQ(replaced, "\"a\xEF\xBF\xBDz\"");
}

}  // namespace
}  // namespace postrider::wire
