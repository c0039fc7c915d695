// JSON Schemas and data of anybody's. Input: the schema, a line of three dashes, the data.
#include <chrono>
#include <nlohmann/json.hpp>

#include "engine/jsonschema/json_schemas.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

// Far more than the steps that are allowed take, under sanitizers and beside other processes too.
constexpr auto kLongest = std::chrono::seconds(20);

struct Halves {
  std::string_view schema, data;
};
Halves halves_of(std::string_view bytes) {
  constexpr std::string_view kBetween = "\n---\n";
  const auto at = bytes.find(kBetween);
  if (at == std::string_view::npos) return {bytes, "{}"};
  return {bytes.substr(0, at), bytes.substr(at + kBetween.size())};
}

bool same(const std::optional<SchemaBreach>& one, const std::optional<SchemaBreach>& other) {
  if (!one || !other) return !one && !other;
  return one->pointer == other->pointer && one->what == other->what;
}

void judge(std::string_view bytes) {
  const auto [schema, data] = halves_of(bytes);
  JsonSchemas schemas;
  const auto compiled = schemas.compile(schema);
  if (!compiled) {
    const auto& error = compiled.error();
    if (error.code != "INVALID_SCHEMA" || error.message.empty() || error.suggestion.empty())
      broken("a schema is refused without code, message or suggestion", bytes);
    return;
  }
  const auto breach = (*compiled)->judge(data);
  if (breach && breach->what.empty()) broken("a breach without words", bytes);
  const auto again = schemas.compile(schema);
  if (!again || !same(breach, (*again)->judge(data))) broken("the same data are judged otherwise", bytes);
  if (!breach && data.find('\0') != std::string_view::npos)
    broken("what stands behind a NUL byte is not judged", bytes);
  // Blanks and escapes are the writer's own: what was kept stays kept.
  const auto json = nlohmann::json::parse(data, nullptr, false);
  if (json.is_discarded()) return;
  if (!breach && (*compiled)->judge(json.dump(1)) && data.find_first_of(".eE") == std::string_view::npos)
    broken("data are judged by how they are written", bytes);
}

}  // namespace

void schema(std::string_view bytes) {
  const auto begin = std::chrono::steady_clock::now();
  judge(bytes);
  if (std::chrono::steady_clock::now() - begin > kLongest) broken("a schema takes long to judge", bytes);
}

}  // namespace postrider::fuzz
