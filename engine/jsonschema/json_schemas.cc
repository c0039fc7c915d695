#include "engine/jsonschema/json_schemas.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>

#define VALIJSON_USE_EXCEPTIONS 1
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/constraint_builder.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_visitor.hpp>

#include "engine/jsonschema/rewrite.h"

namespace postrider {
namespace {

using jsonschema::Check;
using jsonschema::Json;
using Adapter = valijson::adapters::Adapter;
using JsonAdapter = valijson::adapters::NlohmannJsonAdapter;
using Visitor = valijson::ValidationVisitor<JsonAdapter>;
using Context = std::vector<std::string>;
using Results = valijson::ValidationResults;

// Of the data that are judged. Deeper ones would need more stack than a thread has, whatever the schema.
constexpr int kDataDepthMax = 32;
constexpr std::size_t kDataPathBytesMax = 4096;
// What may be spent on one event: half a microsecond each, about.
constexpr std::size_t kStepsMax = 200'000;
constexpr std::size_t kBytesOfAStep = 256;    // of text
constexpr std::size_t kLongTextBytes = 4096;  // shorter data hold none that would count
constexpr std::size_t kErrorsMax = 100;
constexpr std::size_t kWhatBytesMax = 200;

// Thrown within this file alone, through valijson.
struct TooCostly {};
struct FirstIsKnown {};

struct Compiled;

// One run over one document.
struct Judgement {
  const Compiled& compiled;
  std::size_t steps = 0;
  bool has_long_texts = false;
  Results* errors = nullptr;                         // of the whole; nullptr: stop at the first
  std::unordered_map<std::string, std::regex> none;  // valijson's own cache: no pattern reaches it
};
// valijson hands its constraints nothing of ours, and copies them: so the run that goes on in this thread.
thread_local Judgement* judgement = nullptr;

struct Compiled {
  jsonschema::Rewritten parts;
  valijson::Schema whole;
  std::vector<std::unique_ptr<valijson::Schema>> apart;
};

void spend(std::size_t steps) {
  judgement->steps += steps;
  if (judgement->steps > kStepsMax) throw TooCostly();
}

std::size_t text_steps(const Adapter& target) {
  return target.isString() ? target.getString().size() / kBytesOfAStep : 0;
}

// The texts that stand directly in it: whatever looks at them is part of what their holder costs.
std::size_t inner_text_steps(const Adapter& target) {
  const auto* json = dynamic_cast<const JsonAdapter*>(&target);
  std::size_t steps = 0;
  if (!json || !judgement->has_long_texts) return 0;
  if (json->isArray())
    for (const JsonAdapter element : json->getArray()) steps += text_steps(element);
  if (json->isObject())
    for (const auto member : json->getObject()) steps += text_steps(member.second);
  return steps;
}

std::size_t size_of(const Adapter& target) {
  if (target.isObject()) return target.getObjectSize();
  return target.isArray() ? target.getArraySize() : 0;
}

void append_canonical(const JsonAdapter& value, std::string& text) {
  // Whole numbers are integers already (parse.cc), so that equal ones are written alike.
  if (value.isArray()) {
    text += '[';
    for (const JsonAdapter element : value.getArray()) append_canonical(element, text);
    text += ']';
  } else if (value.isObject()) {
    text += '{';
    for (const auto member : value.getObject()) {  // by name
      text += Json(member.first).dump() + ":";
      append_canonical(member.second, text);
    }
    text += '}';
  } else if (value.isString()) {
    text += Json(value.getString()).dump();
  } else if (value.isInteger()) {
    text += std::to_string(value.getInteger());
  } else if (value.isDouble()) {
    text += Json(value.getDouble()).dump();
  } else {
    text += value.isNull() ? "null" : value.getBool() ? "true" : "false";
  }
  text += ',';
}

bool holds_one_twice(const JsonAdapter& array) {
  std::set<std::string> seen;
  for (const JsonAdapter element : array.getArray()) {
    std::string text;
    append_canonical(element, text);
    spend(2 + text.size() / 16);
    if (!seen.insert(std::move(text)).second) return true;
  }
  return false;
}

bool is_multiple(const Adapter& target, double divisor) {
  const double value = target.isInteger() ? static_cast<double>(target.getInteger()) : target.getDouble();
  const double quotient = value / divisor;
  // As exact as doubles are: 0.3 is a multiple of 0.1.
  return std::abs(quotient - std::round(quotient)) <= 1e-9 * std::max(1.0, std::abs(quotient));
}

int days_of(int month) {
  if (month == 2) return 29;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// RFC 3339's grammar; a day that its month has not is none.
bool has_format(const std::string& text, Check::Format format) {
  static const RE2 date(R"(\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))");
  static const RE2 time(R"(([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d))");
  constexpr std::size_t kDateBytes = 10;
  const auto is_date = [](re2::StringPiece part) {
    int month = 0, day = 0;
    return RE2::FullMatch(part, date, &month, &day) && day <= days_of(month);
  };
  switch (format) {
    case Check::Format::date:
      return is_date(text);
    case Check::Format::time:
      return RE2::FullMatch(text, time);
    case Check::Format::date_time:
      return text.size() > kDateBytes && (text[kDateBytes] == 'T' || text[kDateBytes] == 't') &&
             is_date({text.data(), kDateBytes}) &&
             RE2::FullMatch({text.data() + kDateBytes + 1, text.size() - kDateBytes - 1}, time);
    case Check::Format::none:
      break;
  }
  return true;
}

void spend_on(const RE2& pattern, std::size_t bytes) {
  spend(1 + bytes * static_cast<std::size_t>(4 + pattern.ProgramSize()) / (4 * kBytesOfAStep));
}

// Everything of a place in the schema that is not left to valijson. By number, since valijson copies it.
class OurConstraint : public valijson::constraints::PolyConstraint {
 public:
  explicit OurConstraint(std::size_t number) : number_(number) {}

  bool validate(const Adapter& target, const Context& context, Results* results) const override {
    stop_when_known(results);
    const Check& check = judgement->compiled.parts.checks[number_];
    spend((check.steps + 1) * (1 + text_steps(target)) + check.steps_each * size_of(target) +
          inner_text_steps(target));
    if (const char* what = broken_by(target, check)) {
      if (results) results->pushError(context, what);
      return false;
    }
    const auto* object = dynamic_cast<const JsonAdapter*>(&target);
    return check.names.empty() || !object || !object->isObject() ||
           keeps_names(*object, check, context, results);
  }

 private:
  // The first breach is enough; and what branches complain of is no more than a hint.
  static void stop_when_known(const Results* results) {
    const bool known = judgement->errors && judgement->errors->numErrors() > 0;
    if (known || (results && results->numErrors() > kErrorsMax)) throw FirstIsKnown();
  }

  static const char* broken_by(const Adapter& target, const Check& check) {
    if (target.isString()) {
      const std::string text = target.getString();
      if (check.pattern) {
        spend_on(*check.pattern, text.size());
        if (!RE2::PartialMatch(text, *check.pattern)) return "Does not match the pattern.";
      }
      if (!has_format(text, check.format)) return "Is not of the format.";
    }
    if (check.multiple_of && (target.isInteger() || target.isDouble()) &&
        !is_multiple(target, *check.multiple_of))
      return "Is no multiple of what it shall be one of.";
    const auto* json = dynamic_cast<const JsonAdapter*>(&target);
    if (check.unique_items && json && json->isArray() && holds_one_twice(*json))
      return "Holds an element twice.";
    return nullptr;
  }

  static bool keeps(const JsonAdapter& value, const std::string& name, std::size_t schema,
                    const Context& context, Results* results) {
    Context inner = context;
    inner.push_back("[" + name + "]");
    Visitor visitor(value, inner, true, results, judgement->none);
    if (visitor.validateSchema(*judgement->compiled.apart[schema])) return true;
    if (results) results->pushError(inner, "Is not as the schema wants members of such a name.");
    return false;
  }

  static bool keeps_names(const JsonAdapter& object, const Check& check, const Context& context,
                          Results* results) {
    for (const auto member : object.getObject()) {
      bool matched = check.declared.contains(member.first);
      for (const auto& pattern : check.names) {
        spend_on(*pattern.name, member.first.size());
        if (!RE2::PartialMatch(member.first, *pattern.name)) continue;
        matched = true;
        if (!keeps(member.second, member.first, pattern.schema, context, results)) return false;
      }
      if (!matched && check.additional &&
          !keeps(member.second, member.first, *check.additional, context, results))
        return false;
    }
    return true;
  }

  valijson::constraints::Constraint* cloneInto(void* place) const override {
    return new (place) OurConstraint(number_);
  }
  std::size_t sizeOf() const override { return sizeof *this; }

  std::size_t number_;
};

struct OurBuilder : valijson::ConstraintBuilder {
  valijson::constraints::Constraint* make(const Adapter& number) const override {
    return new OurConstraint(static_cast<std::size_t>(number.asInteger()));
  }
};

void populate(valijson::Schema& schema, const Json& document) {
  valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
  parser.addConstraintBuilder(jsonschema::kCheckKeyword, new OurBuilder());
  parser.populateSchema(JsonAdapter(document), schema);
}

// "[items]" and "[0]" of valijson's context as a JSON Pointer (RFC 6901).
std::string pointer_of(const Context& context) {
  std::string pointer;
  for (std::size_t i = 1; i < context.size(); ++i) {  // the first is "<root>"
    pointer += '/';
    for (std::size_t at = 1; at + 1 < context[i].size(); ++at) {
      const char c = context[i][at];
      pointer += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    }
  }
  return pointer;
}

SchemaBreach whole_breach(std::string what) {
  return {"", std::move(what)};
}

class ValijsonSchema : public CompiledSchema {
 public:
  explicit ValijsonSchema(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}

  std::optional<SchemaBreach> judge(std::string_view text) const override {
    const auto data = jsonschema::parse(text, kDataDepthMax, kDataPathBytesMax);
    if (!data) return whole_breach("is no JSON, nested more than 32 levels deep, or names a member twice");
    try {
      const bool has_long_texts = text.size() > kLongTextBytes;
      if (keeps(*data, has_long_texts, nullptr)) return std::nullopt;
      return first_breach(*data, has_long_texts);
    } catch (const TooCostly&) {
      return whole_breach("takes too long to hold to its schema");
    } catch (const std::exception&) {
      return whole_breach("cannot be held to its schema");
    }
  }

 private:
  bool keeps(const Json& data, bool has_long_texts, Results* errors) const {
    Judgement run{*compiled_, 0, has_long_texts, errors, {}};
    struct Current {
      explicit Current(Judgement& one) { judgement = &one; }
      ~Current() { judgement = nullptr; }
    } const current(run);
    Visitor visitor(JsonAdapter(data), Context{"<root>"}, true, errors, run.none);
    return visitor.validateSchema(compiled_->whole);
  }

  // Once more, and told where: rare, and dearer.
  SchemaBreach first_breach(const Json& data, bool has_long_texts) const {
    Results errors;
    try {
      keeps(data, has_long_texts, &errors);
    } catch (const FirstIsKnown&) {
    } catch (const TooCostly&) {
    }
    Results::Error first;
    if (!errors.popError(first)) return whole_breach("is not as its schema says");
    std::string what = std::move(first.description);  // valijson quotes names, never values
    what.resize(std::min(what.size(), kWhatBytesMax));
    return {pointer_of(first.context), std::move(what)};
  }

  std::unique_ptr<Compiled> compiled_;
};

}  // namespace

Result<std::unique_ptr<const CompiledSchema>> JsonSchemas::compile(std::string_view schema) {
  auto parts = jsonschema::rewrite(schema);
  if (!parts) return fail(parts.error());
  auto compiled = std::make_unique<Compiled>();
  compiled->parts = std::move(*parts);
  Json document = std::move(compiled->parts.document);
  try {
    populate(compiled->whole, document);
    for (const std::string& name : compiled->parts.apart) {
      document["allOf"][0]["$ref"] = "#/definitions/" + name;
      compiled->apart.push_back(std::make_unique<valijson::Schema>());
      populate(*compiled->apart.back(), document);
    }
  } catch (const std::exception&) {
    return fail(Errc::invalid, "INVALID_SCHEMA", "the schema is not one of JSON Schema's draft 7",
                "hold it against http://json-schema.org/draft-07/schema#");
  }
  return std::make_unique<const ValijsonSchema>(std::move(compiled));
}

}  // namespace postrider
