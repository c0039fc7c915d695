// Whatever a schema and data are, they are refused or judged: nothing crashes, hangs, or is judged by chance.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/jsonschema/json_schemas.h"

namespace postrider {
namespace {

using Json = nlohmann::json;

int draw(int below) {
  return *rc::gen::inRange(0, below);
}

Json some_value(int depth) {
  static const std::vector<Json> kLeaves = {nullptr, true,         0,         1,          -1, 1.5,
                                            1e300,   1e-300,       INT64_MIN, UINT64_MAX, "", "a",
                                            "order", "2024-01-31", "ü",       "a\0b"};
  const int kind = draw(depth > 0 ? 4 : 2);
  if (kind < 2) return kLeaves[static_cast<std::size_t>(draw(static_cast<int>(kLeaves.size())))];
  Json value = kind == 2 ? Json::array() : Json::object();
  for (int i = draw(4); i > 0; --i) {
    if (kind == 2)
      value.push_back(some_value(depth - 1));
    else
      value[std::string(1, static_cast<char>('a' + draw(4)))] = some_value(depth - 1);
  }
  return value;
}

Json some_schema(int depth);

void add_keyword(Json& schema, int depth) {
  const auto sub = [&] { return some_schema(depth - 1); };
  const auto name = [] { return std::string(1, static_cast<char>('a' + draw(4))); };
  static const std::vector<std::string> kTypes = {"null",   "boolean", "object", "array",
                                                  "number", "integer", "string"};
  static const std::vector<std::string> kPatterns = {"^a", "[a-z]+$", "^(a+)+$", ".", "(", "\\d"};
  const auto pick = [](const auto& from) {
    return from[static_cast<std::size_t>(draw(static_cast<int>(from.size())))];
  };
  switch (draw(depth > 0 ? 24 : 12)) {
    case 0:
      schema["type"] = pick(kTypes);
      break;
    case 1:
      schema["enum"] = Json::array({some_value(2), some_value(1)});
      break;
    case 2:
      schema["const"] = some_value(2);
      break;
    case 3:
      schema["minLength"] = draw(4);
      break;
    case 4:
      schema["maximum"] = some_value(0);
      break;
    case 5:
      schema["multipleOf"] = some_value(0);
      break;
    case 6:
      schema["pattern"] = pick(kPatterns);
      break;
    case 7:
      schema["format"] = draw(5) ? "date-time" : "uri";
      break;
    case 8:
      schema["uniqueItems"] = true;
      break;
    case 9:
      schema["required"] = Json::array({name()});
      break;
    case 10:
      schema["maxItems"] = draw(3);
      break;
    case 11:
      schema["$ref"] = draw(3) ? "#/definitions/" + name() : "#";
      break;
    case 12:
    case 13:
      schema["properties"][name()] = sub();
      break;
    case 14:
      schema["additionalProperties"] = sub();
      break;
    case 15:
      schema["patternProperties"][pick(kPatterns)] = sub();
      break;
    case 16:
      schema["items"] = sub();
      break;
    case 17:
      schema["items"] = Json::array({sub(), sub()});
      break;
    case 18:
      schema["allOf"] = Json::array({sub(), sub()});
      break;
    case 19:
      schema["anyOf"] = Json::array({sub(), sub()});
      break;
    case 20:
      schema["oneOf"] = Json::array({sub(), sub()});
      break;
    case 21:
      schema["not"] = sub();
      break;
    case 22:
      schema["if"] = sub();
      schema["then"] = sub();
      break;
    default:
      schema["dependencies"][name()] = sub();
      break;
  }
}

Json some_schema(int depth) {
  if (draw(12) == 0) return draw(2) == 0;
  if (draw(5) == 0)
    return {{"$ref", draw(3) ? "#/definitions/" + std::string(1, static_cast<char>('a' + draw(2))) : "#"}};
  Json schema = Json::object();
  for (int i = 1 + draw(3); i > 0; --i) add_keyword(schema, depth);
  return schema;
}

// Small, so that most of them are schemas: what is refused shows little.
Json some_root() {
  Json root = some_schema(3);
  if (!root.is_object()) root = Json::object();
  for (const char* name : {"a", "b"}) root["definitions"][name] = some_schema(2);
  return root;
}

RC_GTEST_PROP(JsonSchemaProperty, SchemasAndDataAreRefusedOrJudgedAlike, ()) {
  const std::string schema = some_root().dump();
  auto first = JsonSchemas().compile(schema);
  auto second = JsonSchemas().compile(schema);
  RC_ASSERT(bool(first) == bool(second));
  RC_CLASSIFY(bool(first), "judged");
  if (!first) return;
  for (int i = 0; i < 5; ++i) {
    const std::string data = some_value(4).dump(-1, ' ', false, Json::error_handler_t::replace);
    const auto one = (*first)->judge(data), other = (*second)->judge(data);
    RC_ASSERT(one.has_value() == other.has_value());
    if (one) RC_ASSERT(one->pointer == other->pointer && one->what == other->what);
  }
}

RC_GTEST_PROP(JsonSchemaProperty, TextThatIsNearlyASchemaIsRefusedOrJudged, ()) {
  std::string schema = some_root().dump();
  for (int i = draw(4); i >= 0; --i)
    schema[static_cast<std::size_t>(draw(static_cast<int>(schema.size())))] = static_cast<char>(draw(128));
  const auto made = JsonSchemas().compile(schema);
  if (made) (*made)->judge(some_value(3).dump());
}

}  // namespace
}  // namespace postrider
