#include "engine/jsonschema/rewrite.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <utility>

namespace postrider::jsonschema {
namespace {

constexpr int kSchemaDepthMax = 64;
constexpr std::size_t kPathBytesMax = 16 * 1024;
constexpr std::int64_t kRegexMemory = 256 * 1024;
constexpr std::size_t kValueBytesMax = 8 * 1024;  // of one enum or const

constexpr std::array<std::string_view, 8> kAnnotations = {
    "title", "description", "default", "examples", "$comment", "readOnly", "writeOnly", "definitions"};
constexpr std::array<std::string_view, 6> kCounts = {"maxLength", "minLength",     "maxItems",
                                                     "minItems",  "maxProperties", "minProperties"};
constexpr std::array<std::string_view, 4> kBounds = {"maximum", "minimum", "exclusiveMaximum",
                                                     "exclusiveMinimum"};
constexpr std::array<std::string_view, 7> kTypes = {"null",   "boolean", "object", "array",
                                                    "number", "integer", "string"};
constexpr std::array<std::string_view, 3> kLists = {"allOf", "anyOf", "oneOf"};
constexpr std::array<std::string_view, 4> kInPlace = {"not", "if", "then", "else"};
constexpr std::array<std::string_view, 3> kEach = {"additionalItems", "contains", "propertyNames"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Thrown within this file alone: a schema is walked deeply, and the first thing that is wrong ends the walk.
struct Refusal {
  std::string message, suggestion;
};

class Rewriter {
 public:
  explicit Rewriter(const Json& schema) : schema_(schema) {}

  Rewritten run() {
    name_definitions();
    out_.document = {{"allOf", Json::array({reference("root")})}, {"definitions", Json::object()}};
    walk_into("root", schema_, "#");
    for (std::size_t i = 0; i < names_.size(); ++i) {  // names_ in its order: what is apart may add to it
      walk_into("d" + std::to_string(i), *names_[i].second, "#/definitions/" + names_[i].first);
    }
    check_in_place();
    return std::move(out_);
  }

 private:
  [[noreturn]] static void refuse(const std::string& where, const std::string& what,
                                  const std::string& suggestion) {
    throw Refusal{"the schema's " + where.substr(0, 200) + " " + what, suggestion};
  }

  static Json reference(const std::string& name) { return {{"$ref", "#/definitions/" + name}}; }

  void name_definitions() {
    const auto found = schema_.find("definitions");
    if (found == schema_.end()) return;
    if (!found->is_object()) refuse("definitions", "is no object", "write {\"name\": {…}}");
    for (const auto& [name, definition] : found->items()) names_.emplace_back(name, &definition);
  }

  void walk_into(const std::string& name, const Json& schema, const std::string& where) {
    current_ = name;
    depth_ = 0;
    edges_[name];
    out_.document["definitions"][name] = walk(schema, where);
  }

  // What valijson sees in place of `schema`.
  Json walk(const Json& schema, const std::string& where) {
    if (++subschemas_ > kSubschemasMax)
      refuse(where, "is one schema too many", "at most " + std::to_string(kSubschemasMax) + " in all");
    if (schema.is_boolean()) return schema;
    if (!schema.is_object()) refuse(where, "is no schema", "write an object, true or false");
    if (schema.contains("$ref")) return follow(schema, where);
    Json seen = Json::object();
    Check check;
    check.steps = 1;
    bool holds_others = false;
    for (const auto& [keyword, value] : schema.items())
      take(schema, keyword, value, where, seen, check, holds_others);
    take_properties(schema, where, seen, check, holds_others);
    return finish(std::move(seen), std::move(check), holds_others);
  }

  static bool is_asked(const Check& check) {
    return check.pattern || check.format != Check::Format::none || check.unique_items || check.multiple_of ||
           !check.names.empty();
  }

  // One that holds others is counted before they are looked at; else it is part of what its holder costs.
  Json finish(Json seen, Check check, bool holds_others) {
    const bool counts_itself = holds_others || is_asked(check);
    last_steps_ = counts_itself ? 0 : check.steps;
    if (!counts_itself) return seen;
    const auto number = out_.checks.size();
    out_.checks.push_back(std::move(check));
    Json ours = {{kCheckKeyword, number}};
    return {{"allOf", Json::array({std::move(ours), std::move(seen)})}};
  }

  Json follow(const Json& schema, const std::string& where) {
    for (const auto& [keyword, value] : schema.items())
      if (!keyword.starts_with('$') && !is_one_of(kAnnotations, keyword))
        refuse(where, "has " + keyword + " beside $ref, where it counts for nothing",
               "put both into an allOf");
    const auto* target = schema["$ref"].get_ptr<const std::string*>();
    const std::string name = target ? name_of(*target) : std::string();
    if (name.empty())
      refuse(where, "refers to something that is not in it", R"(write "#" or "#/definitions/NAME")");
    if (in_place_) edges_[current_].insert(name);
    last_steps_ = 1;
    return reference(name);
  }

  // Of "#" and "#/definitions/NAME"; empty: neither.
  std::string name_of(const std::string& target) const {
    if (target == "#") return "root";
    constexpr std::string_view kPrefix = "#/definitions/";
    if (!target.starts_with(kPrefix)) return {};
    const auto name = target.substr(kPrefix.size());
    const auto found =
        std::find_if(names_.begin(), names_.end(), [&](const auto& one) { return one.first == name; });
    return found == names_.end() ? std::string() : "d" + std::to_string(std::distance(names_.begin(), found));
  }

  // A schema within this one, upon the same value (`down` false) or upon its members.
  Json within(const Json& schema, const std::string& where, bool down, Check& check) {
    const bool outer = std::exchange(in_place_, in_place_ && !down);
    const int depth = std::exchange(depth_, down ? 0 : depth_ + 1);
    if (depth_ > kInPlaceMax)
      refuse(where, "lies too deep within others", "at most " + std::to_string(kInPlaceMax) + " levels");
    deepest_[current_] = std::max(deepest_[current_], in_place_ ? depth_ : 0);
    Json seen = walk(schema, where);
    in_place_ = outer;
    depth_ = depth;
    check.steps += 1 + last_steps_;
    return seen;
  }
  Json within_each(const Json& schema, const std::string& where, Check& check) {
    const auto steps = check.steps;
    Json seen = within(schema, where, true, check);
    check.steps_each += std::exchange(check.steps, steps) - steps;
    return seen;
  }

  void take(const Json& schema, const std::string& keyword, const Json& value, const std::string& where,
            Json& seen, Check& check, bool& holds_others) {
    const std::string here = where + "/" + keyword;
    if (keyword == "definitions" && &schema != &schema_)
      refuse(here, "stands within another schema", "move it to the top");
    if (is_one_of(kAnnotations, keyword) || keyword.starts_with("x-")) return;
    if (keyword == "$schema" || keyword == "$id") return take_head(schema, keyword, value, here);
    if (is_one_of(kCounts, keyword)) return take_count(keyword, value, here, seen);
    if (is_one_of(kBounds, keyword)) return take_bound(keyword, value, here, seen);
    if (keyword == "type") return take_type(value, here, seen);
    if (keyword == "enum" || keyword == "const") return take_values(keyword, value, here, seen, check);
    if (keyword == "required") return take_required(value, here, seen, check);
    if (keyword == "pattern") {
      check.pattern = regex(value, here);
      return;
    }
    if (keyword == "format") return take_format(value, here, check);
    if (keyword == "uniqueItems") {
      if (!value.is_boolean()) refuse(here, "is neither true nor false", "write true or false");
      check.unique_items = value.get<bool>();
      return;
    }
    if (keyword == "multipleOf") {
      if (!value.is_number() || value.get<double>() <= 0) refuse(here, "is no positive number", "write one");
      check.multiple_of = value.get<double>();
      return;
    }
    if (keyword == "properties" || keyword == "patternProperties" || keyword == "additionalProperties")
      return;
    take_schemas(schema, keyword, value, here, seen, check);
    holds_others = true;
  }

  void take_schemas(const Json& schema, const std::string& keyword, const Json& value,
                    const std::string& here, Json& seen, Check& check) {
    if (is_one_of(kLists, keyword)) {
      if (!value.is_array() || value.empty()) refuse(here, "is no list of schemas", "write [{…}, …]");
      for (std::size_t i = 0; i < value.size(); ++i)
        seen[keyword].push_back(within(value[i], here + "/" + std::to_string(i), false, check));
    } else if (is_one_of(kInPlace, keyword)) {
      if ((keyword == "then" || keyword == "else") && !schema.contains("if"))
        refuse(here, "stands without an if, where it counts for nothing", "add the if, or leave it out");
      seen[keyword] = within(value, here, false, check);
    } else if (is_one_of(kEach, keyword)) {
      if (keyword == "additionalItems" && (!schema.contains("items") || !schema["items"].is_array()))
        refuse(here, "stands without a list of items, where it counts for nothing", "leave it out");
      seen[keyword] = within_each(value, here, check);
    } else if (keyword == "items") {
      if (!value.is_array()) {
        seen[keyword] = within_each(value, here, check);
        return;
      }
      seen[keyword] = Json::array();
      for (std::size_t i = 0; i < value.size(); ++i)
        seen[keyword].push_back(within(value[i], here + "/" + std::to_string(i), true, check));
      // Without it valijson takes no further item; draft 7 takes any.
      if (!schema.contains("additionalItems")) seen["additionalItems"] = true;
    } else if (keyword == "dependencies") {
      take_dependencies(value, here, seen, check);
    } else {
      refuse(here.substr(0, here.size() - keyword.size() - 1),
             "has a keyword that is not judged here: " + keyword.substr(0, 64),
             "JSON Schema draft 7 is; leave it out, or name what only informs x-…");
    }
  }

  void take_dependencies(const Json& value, const std::string& here, Json& seen, Check& check) {
    if (!value.is_object()) refuse(here, "is no object", "write {\"name\": [\"other\"]}");
    seen["dependencies"] = Json::object();
    for (const auto& [name, needs] : value.items()) {
      Json& made = seen["dependencies"][name];
      if (!needs.is_array()) {
        made = within(needs, here + "/" + name, false, check);
        continue;
      }
      if (!std::all_of(needs.begin(), needs.end(), [](const Json& one) { return one.is_string(); }))
        refuse(here, "holds something that is no name", "write {\"name\": [\"other\"]}");
      made = needs;
      check.steps += needs.size();
    }
  }

  // patternProperties, and then additionalProperties too, are ours: valijson would ask std::regex.
  void take_properties(const Json& schema, const std::string& where, Json& seen, Check& check,
                       bool& holds_others) {
    const auto properties = schema.find("properties"), patterns = schema.find("patternProperties"),
               additional = schema.find("additionalProperties");
    if (properties != schema.end()) {
      if (!properties->is_object()) refuse(where + "/properties", "is no object", "write {\"name\": {…}}");
      holds_others = true;
      seen["properties"] = Json::object();
      for (const auto& [name, one] : properties->items()) {
        if (name.find('\0') != std::string::npos)
          refuse(where, "names a property with a NUL", "leave it out");
        seen["properties"][name] = within(one, where + "/properties/" + name, true, check);
        check.declared.insert(name);
      }
    }
    if (patterns == schema.end()) {
      if (additional == schema.end()) return;
      holds_others = true;
      seen["additionalProperties"] = within_each(*additional, where + "/additionalProperties", check);
      return;
    }
    if (!patterns->is_object()) refuse(where + "/patternProperties", "is no object", "write {\"^a\": {…}}");
    holds_others = true;
    for (const auto& [pattern, one] : patterns->items()) {
      const std::string here = where + "/patternProperties";
      auto name = regex(pattern, here);
      check.names.push_back({std::move(name), set_apart(one, here + "/" + pattern, check)});
    }
    if (additional != schema.end())
      check.additional = set_apart(*additional, where + "/additionalProperties", check);
  }

  std::size_t set_apart(const Json& schema, const std::string& where, Check& check) {
    if (out_.apart.size() >= kNamePatternsMax)
      refuse(where, "is one pattern of names too many", "at most " + std::to_string(kNamePatternsMax));
    const std::string name = "a" + std::to_string(out_.apart.size());
    out_.apart.push_back(name);
    Json seen = within_each(schema, where, check);
    out_.document["definitions"][name] = std::move(seen);
    return std::stoul(name.substr(1));
  }

  void take_head(const Json& schema, const std::string& keyword, const Json& value, const std::string& here) {
    const auto* text = value.get_ptr<const std::string*>();
    if (&schema != &schema_ || !text)
      refuse(here, "stands within another schema, or is no string", "leave it out");
    if (keyword == "$schema" && text->find("json-schema.org/draft-07/schema") == std::string::npos)
      refuse(here, "is not draft 7's", "write http://json-schema.org/draft-07/schema#, or leave it out");
  }

  static void take_count(const std::string& keyword, const Json& value, const std::string& here, Json& seen) {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
        value.get<std::int64_t>() > 1'000'000'000)
      refuse(here, "is no whole number from 0 to 1000000000", "write one");
    seen[keyword] = value;
  }

  static void take_bound(const std::string& keyword, const Json& value, const std::string& here, Json& seen) {
    if (!value.is_number()) refuse(here, "is no number", "write one");
    seen[keyword] = value;
  }

  static void take_type(const Json& value, const std::string& here, Json& seen) {
    const Json types = value.is_array() ? value : Json::array({value});
    const bool good = !types.empty() && std::all_of(types.begin(), types.end(), [](const Json& type) {
      return type.is_string() && is_one_of(kTypes, type.get_ref<const std::string&>());
    });
    if (!good) refuse(here, "is no type", "there are: null, boolean, object, array, number, integer, string");
    seen["type"] = value;
  }

  static void take_values(const std::string& keyword, const Json& value, const std::string& here, Json& seen,
                          Check& check) {
    if (keyword == "enum" && (!value.is_array() || value.empty()))
      refuse(here, "is no list of values", "write [1, 2]");
    const auto bytes = value.dump().size();
    if (bytes > kValueBytesMax)
      refuse(here, "is too long", "at most " + std::to_string(kValueBytesMax) + " bytes of values");
    seen[keyword] = value;
    check.steps += (keyword == "enum" ? value.size() : 1) + bytes / 64;
  }

  static void take_required(const Json& value, const std::string& here, Json& seen, Check& check) {
    if (!value.is_array() ||
        !std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_string(); }))
      refuse(here, "is no list of names", "write [\"id\"]");
    seen["required"] = value;
    check.steps += value.size();
  }

  static void take_format(const Json& value, const std::string& here, Check& check) {
    using Format = Check::Format;
    constexpr std::array<std::pair<std::string_view, Format>, 3> kFormats = {
        {{"date", Format::date}, {"time", Format::time}, {"date-time", Format::date_time}}};
    for (const auto& [name, format] : kFormats)
      if (value == std::string(name)) check.format = format;
    if (check.format == Format::none)
      refuse(here, "is not judged here", "date, time and date-time are; of others write a pattern");
  }

  std::unique_ptr<RE2> regex(const Json& value, const std::string& here) {
    const auto* text = value.get_ptr<const std::string*>();
    if (!text || text->size() > kPatternBytesMax)
      refuse(here, "is no text, or longer than " + std::to_string(kPatternBytesMax) + " bytes", "shorten it");
    if (++patterns_ > kPatternsMax)
      refuse(here, "is one pattern too many", "at most " + std::to_string(kPatternsMax));
    RE2::Options options;
    options.set_log_errors(false);
    options.set_never_capture(true);
    options.set_max_mem(kRegexMemory);
    auto made = std::make_unique<RE2>(*text, options);
    if (!made->ok())
      refuse(here, "is no regular expression that RE2 knows, or too large a one",
             "RE2 has no look-ahead and no references back: say it without them");
    return made;
  }

  // A reference that comes back to itself upon one value would be followed for ever; and how deep schemas lie
  // upon one value bounds the stack.
  void check_in_place() {
    std::map<std::string, int> depth;  // -1: on the way
    const std::function<int(const std::string&)> visit = [&](const std::string& name) {
      const auto [known, is_new] = depth.try_emplace(name, -1);
      if (!is_new && known->second < 0)
        throw Refusal{"the schema refers to itself without going down into the data",
                      "such a reference has no end: let it pass through properties or items"};
      if (!is_new) return known->second;
      int below = 0;
      for (const auto& next : edges_[name]) below = std::max(below, visit(next));
      return depth[name] = below + 1 + deepest_[name];
    };
    for (const auto& [name, next] : std::map(edges_))
      if (visit(name) > 2 * kInPlaceMax)
        throw Refusal{"too many schemas lie one within the other upon one value",
                      "at most " + std::to_string(kInPlaceMax) + " levels"};
  }

  const Json& schema_;
  Rewritten out_;
  std::vector<std::pair<std::string, const Json*>> names_;  // of definitions
  std::map<std::string, std::set<std::string>> edges_;      // references upon the same value
  std::map<std::string, int> deepest_;
  std::string current_;
  bool in_place_ = true;  // still upon the value that `current_` is asked about
  int depth_ = 0;
  std::size_t subschemas_ = 0, patterns_ = 0;
  std::size_t last_steps_ = 0;  // of the schema that was walked last
};

tl::unexpected<Error> invalid(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_SCHEMA", std::move(message), std::move(suggestion));
}

}  // namespace

Result<Rewritten> rewrite(std::string_view schema) {
  if (schema.size() > kSchemaBytesMax)
    return invalid("the schema is too long", "at most " + std::to_string(kSchemaBytesMax) + " bytes");
  const auto parsed = parse(schema, kSchemaDepthMax, kPathBytesMax);
  if (!parsed || !parsed->is_object())
    return invalid("the schema is no JSON object, is nested too deeply, or names a key twice",
                   "write one object, at most " + std::to_string(kSchemaDepthMax) + " levels deep");
  try {
    return Rewriter(*parsed).run();
  } catch (const Refusal& refusal) {
    return invalid(refusal.message, refusal.suggestion);
  }
}

}  // namespace postrider::jsonschema
