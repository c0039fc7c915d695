#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace postrider {

// Where data breaks its schema. Names of members may stand in it, values never do.
struct SchemaBreach {
  std::string pointer;  // JSON Pointer into the data: "/items/0/price"; "": the whole of it
  std::string what;     // "is of a type that the schema does not allow", a part of a sentence
};

// A JSON Schema made ready. Judging is bounded in time and memory whatever schema and data are: what takes
// too long to judge is a breach that says so. The same data is judged alike wherever it is. One thread.
class CompiledSchema {
 public:
  virtual ~CompiledSchema() = default;
  virtual std::optional<SchemaBreach> judge(std::string_view json) const = 0;
};

class SchemaCompiler {
 public:
  virtual ~SchemaCompiler() = default;
  // Errc::invalid, INVALID_SCHEMA: it is none, is too large, or asks for what would not be judged.
  virtual Result<std::unique_ptr<const CompiledSchema>> compile(std::string_view schema) = 0;
};

}  // namespace postrider
