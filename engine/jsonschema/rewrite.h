#pragma once
#include <re2/re2.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/result.h"

// A schema taken apart: what valijson may see, and what is judged beside it. Included by this room's .cc
// files.
namespace postrider::jsonschema {

using Json = nlohmann::json;

inline constexpr std::size_t kSchemaBytesMax = 32 * 1024;
inline constexpr std::size_t kSubschemasMax = 500;
inline constexpr std::size_t kPatternsMax = 64, kPatternBytesMax = 512;
inline constexpr std::size_t kNamePatternsMax = 16;  // of patternProperties, all together
inline constexpr int kInPlaceMax = 8;                // schemas upon one value, one within the other

// What is judged at one place of the schema by us.
struct Check {
  // What going on from here costs: once, and again for each member or element.
  std::size_t steps = 0, steps_each = 0;
  std::unique_ptr<RE2> pattern;
  enum class Format { none, date, time, date_time } format = Format::none;
  bool unique_items = false;
  std::optional<double> multiple_of;
  // Of patternProperties, and then of additionalProperties too. Numbers are of Rewritten::apart.
  struct NamePattern {
    std::unique_ptr<RE2> name;
    std::size_t schema = 0;
  };
  std::vector<NamePattern> names;
  std::set<std::string> declared;         // by `properties`
  std::optional<std::size_t> additional;  // those that match nothing; nullopt: whatever they are
};

struct Rewritten {
  Json document;                   // {"allOf": [{"$ref": "#/definitions/root"}], "definitions": {…}}
  std::vector<Check> checks;       // by the number under kCheckKeyword
  std::vector<std::string> apart;  // definitions that are judged on their own: their names
};
inline constexpr const char* kCheckKeyword = "postrider";

// INVALID_SCHEMA.
Result<Rewritten> rewrite(std::string_view schema);

// Parses JSON of at most that depth whose objects name no key twice. nullopt: it is none. Whole numbers
// written as 1.0 become 1, as draft 7 takes them. `path_bytes_max`: of the names on the way to any value.
std::optional<Json> parse(std::string_view text, int depth_max, std::size_t path_bytes_max);

}  // namespace postrider::jsonschema
