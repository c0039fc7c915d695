#include "engine/jsonschema/json_schemas.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace postrider {
namespace {

std::unique_ptr<const CompiledSchema> compiled(const std::string& schema) {
  auto made = JsonSchemas().compile(schema);
  EXPECT_TRUE(made) << schema << ": " << (made ? "" : made.error().message);
  return made ? *std::move(made) : nullptr;
}

// "": the data keep the schema; else where and how they do not.
std::string breach(const std::string& schema, const std::string& data) {
  const auto ready = compiled(schema);
  if (!ready) return "no schema";
  const auto found = ready->judge(data);
  return found ? found->pointer + " " + found->what : "";
}

std::string refusal(const std::string& schema) {
  auto made = JsonSchemas().compile(schema);
  if (made) return "";
  EXPECT_EQ(made.error().code, "INVALID_SCHEMA");
  EXPECT_FALSE(made.error().suggestion.empty());
  return made.error().message;
}

struct Case {
  const char* schema;
  const char* good;
  const char* bad;
  const char* pointer;
};

TEST(JsonSchema, HoldsDataToEachKeyword) {
  const Case cases[] = {
      {R"({"type":"object","required":["id"]})", R"({"id":1})", R"({"ID":1})", ""},
      {R"({"properties":{"a":{"type":"integer"}}})", R"({"a":1.0})", R"({"a":1.5})", "/a"},
      {R"({"properties":{"a":{"type":"number"}}})", R"({"a":18446744073709551615})", R"({"a":"1"})", "/a"},
      {R"({"properties":{"a":{}},"additionalProperties":false})", R"({"a":1})", R"({"a":1,"b":2})", ""},
      {R"({"additionalProperties":{"type":"string"}})", R"({"a":"1"})", R"({"a/b~":1})", "/a~1b~0"},
      {R"({"items":{"type":"string"}})", R"(["a"])", R"(["a",1])", "/1"},
      {R"({"items":[{"type":"string"}]})", R"(["a",1])", R"([1])", "/0"},
      {R"({"items":[{"type":"string"}],"additionalItems":false})", R"(["a"])", R"(["a",1])", ""},
      {R"({"contains":{"const":1}})", "[0,1]", "[0]", ""},
      {R"({"enum":["a",1]})", "1", "2", ""},
      {R"({"const":{"a":[1]}})", R"({"a":[1]})", R"({"a":[2]})", ""},
      {R"({"minLength":2,"maxLength":3})", R"("üü")", R"("u")", ""},
      {R"({"minimum":1,"exclusiveMaximum":3})", "1", "3", ""},
      {R"({"multipleOf":0.1})", "0.3", "0.35", ""},
      {R"({"multipleOf":2})", "1e300", "2.5", ""},
      {R"({"multipleOf":2})", R"("7")", "7", ""},
      {R"({"minItems":1,"maxItems":2,"uniqueItems":true})", R"([1,"1"])",
       R"([{"a":1,"b":2},{"b":2,"a":1.0}])", ""},
      {R"({"minProperties":1,"propertyNames":{"pattern":"^[a-z]+$"}})", R"({"a":1})", R"({"A":1})", ""},
      {R"({"dependencies":{"a":["b"]}})", R"({"a":1,"b":1})", R"({"a":1})", ""},
      {R"({"dependencies":{"a":{"required":["b"]}}})", R"({"b":1})", R"({"a":1})", ""},
      {R"({"allOf":[{"minimum":1},{"maximum":2}]})", "2", "3", ""},
      {R"({"anyOf":[{"type":"string"},{"minimum":2}]})", "2", "1", ""},
      {R"({"oneOf":[{"minimum":1},{"minimum":2}]})", "1", "2", ""},
      {R"({"not":{"type":"string"}})", "1", R"("a")", ""},
      {R"({"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}})", R"({"a":1,"b":1})",
       R"({"b":1})", ""},
      {R"({"pattern":"^[a-z]+$"})", R"("abc")", R"("abc1")", ""},
      {R"({"format":"date"})", R"("2024-02-29")", R"("2024-02-30")", ""},
      {R"({"format":"time"})", R"("23:59:60Z")", R"("24:00:00Z")", ""},
      {R"({"format":"date-time"})", R"("2024-01-31T12:00:00.5+01:00")", R"("2024-01-31 12:00:00Z")", ""},
      {R"({"patternProperties":{"^n_":{"type":"number"}}})", R"({"n_a":1,"b":"x"})", R"({"n_a":"x"})",
       "/n_a"},
      {R"({"properties":{"id":{}},"patternProperties":{"^n_":{}},"additionalProperties":false})",
       R"({"id":1,"n_a":1})", R"({"b":1})", "/b"},
      {R"({"patternProperties":{"^a":{"patternProperties":{"^b":{"type":"null"}}}}})", R"({"a":{"b":null}})",
       R"({"a":{"b":1}})", "/a/b"},
      {R"({"definitions":{"node":{"properties":{"next":{"$ref":"#/definitions/node"},"n":{"type":"integer"}}}},
           "$ref":"#/definitions/node"})",
       R"({"next":{"next":{"n":1}}})", R"({"next":{"next":{"n":"1"}}})", "/next/next/n"},
      {R"({"properties":{"child":{"$ref":"#"}},"additionalProperties":false})", R"({"child":{"child":{}}})",
       R"({"child":{"x":{}}})", "/child"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(breach(one.schema, one.good), "") << one.schema;
    const std::string found = breach(one.schema, one.bad);
    EXPECT_EQ(found.substr(0, found.find(' ')), one.pointer) << one.schema << " says " << found;
    EXPECT_NE(found, "") << one.schema;
  }
}

TEST(JsonSchema, RefusesWhatWouldNotBeJudged) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"properties":{"u":{"format":"uri"}}})", "#/properties/u/format"},
      {R"({"unevaluatedProperties":false})", "unevaluatedProperties"},
      {R"({"$defs":{}})", "$defs"},
      {R"({"dependentRequired":{}})", "dependentRequired"},
      {R"({"contentMediaType":"text/html"})", "contentMediaType"},
      {R"({"requried":["a"]})", "requried"},
      {R"({"$ref":"https://example.com/schema"})", "refers"},
      {R"({"$ref":"#/properties/a","properties":{"a":{}}})", "$ref"},
      {R"({"properties":{"a":{"$ref":"other.json"}}})", "refers"},
      {R"({"properties":{"a":{"$ref":"#/definitions/none"}}})", "refers"},
      {R"({"properties":{"a":{"$ref":"#","minLength":2}}})", "beside $ref"},
      {R"({"$ref":"#"})", "without going down"},
      {R"({"definitions":{"a":{"$ref":"#/definitions/b"},"b":{"allOf":[{"$ref":"#/definitions/a"}]}}})",
       "without going down"},
      {R"x({"pattern":"(?=a)"})x", "regular expression"},
      {R"({"pattern":"(a)\\1"})", "regular expression"},
      {R"({"patternProperties":{"[":{}}})", "regular expression"},
      {R"x({"pattern":"(((a{1,100}){1,100}){1,100})"})x", "regular expression"},
      {R"({"multipleOf":0})", "positive"},
      {R"({"minLength":-1})", "whole number"},
      {R"({"minLength":"1"})", "whole number"},
      {R"({"type":"text"})", "type"},
      {R"({"enum":[]})", "list of values"},
      {R"({"required":"id"})", "names"},
      {R"({"allOf":[]})", "schemas"},
      {R"({"items":3})", "no schema"},
      {R"({"then":{}})", "without an if"},
      {R"({"additionalItems":false})", "without a list"},
      {R"({"exclusiveMinimum":true})", "number"},
      {R"({"$schema":"https://json-schema.org/draft/2020-12/schema"})", "draft 7"},
      {R"({"properties":{"a":{"definitions":{}}}})", "definitions"},
      {"true", "no JSON object"},
      {"{", "no JSON object"},
      {R"({"type":"object","type":"array"})", "names a key twice"},
  };
  for (const auto& [schema, expected] : cases)
    EXPECT_NE(refusal(schema).find(expected), std::string::npos) << schema << ": " << refusal(schema);
  EXPECT_EQ(refusal(R"({"$schema":"http://json-schema.org/draft-07/schema#","$id":"urn:x","title":"t",
                        "description":"d","x-owner":"shop","default":1,"examples":[1],"$comment":"c"})"),
            "");
}

std::string nested(int levels, const std::string& before, const std::string& inmost,
                   const std::string& after) {
  std::string text;
  for (int i = 0; i < levels; ++i) text += before;
  text += inmost;
  for (int i = 0; i < levels; ++i) text += after;
  return text;
}

TEST(JsonSchema, IsBounded) {
  EXPECT_NE(refusal(R"({"title":")" + std::string(40'000, 'a') + "\"}"), "");
  EXPECT_NE(refusal(nested(100, R"({"items":)", "{}", "}")), "");
  EXPECT_NE(refusal(nested(20, R"({"allOf":[)", "{}", "]}")).find("deep"), std::string::npos);
  std::string many = R"({"properties":{)";
  for (int i = 0; i < 600; ++i) many += "\"p" + std::to_string(i) + "\":{},";
  many.back() = '}';
  EXPECT_NE(refusal(many + "}").find("too many"), std::string::npos);
  // A chain of references upon one value.
  std::string chain = R"({"$ref":"#/definitions/c0","definitions":{)";
  for (int i = 0; i < 40; ++i)
    chain += "\"c" + std::to_string(i) + R"(":{"allOf":[{"$ref":"#/definitions/c)" + std::to_string(i + 1) +
             "\"}]},";
  EXPECT_NE(refusal(chain + R"("c40":{}}})").find("too many"), std::string::npos);
}

struct Stopwatch {
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }
};
constexpr double kFast = 5;  // generous: sanitizers, and other work on the machine

TEST(JsonSchema, ARegularExpressionThatBacktracksForEverIsJudgedAtOnce) {
  const Stopwatch watch;
  EXPECT_NE(breach(R"({"pattern":"^(a+)+$"})", "\"" + std::string(100'000, 'a') + "b\""), "");
  EXPECT_EQ(breach(R"({"pattern":"^(a+)+$"})", "\"" + std::string(10'000, 'a') + "\""), "");
  EXPECT_LT(watch.seconds(), kFast);
}

TEST(JsonSchema, ALongStringNeitherOverflowsTheStackNorTakesLong) {
  const Stopwatch watch;
  const std::string long_one(200'000, 'a');
  EXPECT_EQ(breach(R"({"pattern":"^[a-z]*$"})", "\"" + long_one + "\""), "");
  EXPECT_NE(breach(R"({"pattern":"^[a-z]*$"})", "\"" + long_one + "1\""), "");
  EXPECT_NE(breach(R"({"format":"date-time"})", "\"" + long_one + "\""), "");
  EXPECT_LT(watch.seconds(), kFast);
}

TEST(JsonSchema, BranchesUponBranchesEndWhenTheyHaveCostEnough) {
  const Stopwatch watch;
  // 2 to the power of 30 ways down.
  const std::string twice =
      R"({"properties":{"a":{"anyOf":[{"$ref":"#"},{"allOf":[{"$ref":"#"}]}]},"z":false}})";
  const std::string found = breach(twice, nested(30, R"({"a":)", R"({"z":1})", "}"));
  EXPECT_NE(found.find("too long"), std::string::npos) << found;
  EXPECT_LT(watch.seconds(), kFast);
}

TEST(JsonSchema, ManyOrLongElementsEndWhenTheyHaveCostEnough) {
  const Stopwatch watch;
  std::string numbers = "[";
  for (int i = 0; i < 40'000; ++i) numbers += std::to_string(i) + ",";
  numbers.back() = ']';
  EXPECT_EQ(breach(R"({"uniqueItems":true})", numbers), "") << "not in quadratic time";
  std::string any = R"({"items":{"anyOf":[)";
  for (int i = 0; i < 200; ++i) any += R"({"maxLength":)" + std::to_string(i) + "},";
  any.back() = ']';
  EXPECT_NE(breach(any + "}}", "[\"" + std::string(250'000, 'a') + "\"]"), "");
  EXPECT_NE(breach(any + "}}", numbers.substr(0, 100) + ",\"" + std::string(250, 'a') + "\"]"), "");
  EXPECT_LT(watch.seconds(), kFast);
}

TEST(JsonSchema, TheDeepestThatIsAllowedFitsTheStack) {
  const std::string all = nested(7, R"({"allOf":[)", R"({"items":{"$ref":"#"}})", "]}");
  EXPECT_EQ(breach(all, nested(31, "[", "1", "]")), "");
  EXPECT_NE(breach(all, nested(33, "[", "1", "]")).find("32 levels"), std::string::npos);
  const std::string patterns = R"({"patternProperties":{"a":{"$ref":"#"}},"additionalProperties":false})";
  EXPECT_EQ(breach(patterns, nested(31, R"({"a":)", "{}", "}")), "");
}

TEST(JsonSchema, DataThatAreNoJsonAreABreach) {
  for (const char* data : {"", "{", "nul", "{\"a\":1,\"a\":2}", "\xff", "1 2", "\"\xc0\x80\""})
    EXPECT_NE(breach("{}", data), "") << data;
  EXPECT_EQ(breach("{}", "null"), "");
}

TEST(JsonSchema, WhatStandsBehindANulByteIsJudgedToo) {
  const std::string data = "{\"a\":1}";
  EXPECT_EQ(breach(R"({"required":["a"]})", data), "");
  EXPECT_NE(breach(R"({"required":["a"]})", data + std::string("\0{\"b\":2}", 8)), "");
  EXPECT_NE(breach(R"({"required":["a"]})", data + std::string(1, '\0')), "");
}

TEST(JsonSchema, ABreachNamesThePlaceAndNeverTheValue) {
  const std::string schema =
      R"({"properties":{"card":{"type":"string","pattern":"^[0-9]{16}$","maxLength":20},"n":{"enum":[1,2]},
          "o":{"additionalProperties":false},"m":{"maximum":5},"d":{"format":"date"},"u":{"uniqueItems":true}}})";
  for (const char* data : {R"({"card":"SECRET"})", R"({"n":"SECRET"})", R"({"card":["SECRET"]})",
                           R"({"o":{"x":"SECRET"}})", R"({"m":987654321})", R"({"d":"SECRET"})",
                           R"({"u":["SECRET","SECRET"]})", R"({"card":"SECRETSECRETSECRETSECRET"})"}) {
    const std::string found = breach(schema, data);
    EXPECT_NE(found, "");
    EXPECT_EQ(found.find("SECRET"), std::string::npos) << found;
    EXPECT_EQ(found.find("987654321"), std::string::npos) << found;
  }
}

}  // namespace
}  // namespace postrider
