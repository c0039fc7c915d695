#pragma once
#include "engine/ports/schemas.h"

// JSON Schema, draft 7, by valijson. A schema is a customer's or a colleague's text, and data are anybody's,
// so neither reaches valijson as it came:
//
// - A schema is looked through first (rewrite.cc). What valijson would pass over in silence (an unknown
// keyword,
//   a format, what stands beside $ref) is refused, and so are references that lead out of it, and ones that
//   lead back to themselves without going down into the data. Its size is bounded in every way that costs.
// - What valijson would judge by std::regex (exponential on `^(a+)+$`, and it overflows the stack on a long
//   string), in quadratic time (uniqueItems) or wrongly (multipleOf) is taken out of it and judged by us,
//   regular expressions by RE2.
// - Each schema that holds others counts its steps before it goes on: data that take more than so many are
//   refused, whatever branches upon branches the schema holds.
namespace postrider {

class JsonSchemas : public SchemaCompiler {
 public:
  Result<std::unique_ptr<const CompiledSchema>> compile(std::string_view schema) override;
};

}  // namespace postrider
