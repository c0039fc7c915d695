#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/core/event.h"
#include "engine/core/event_type.h"
#include "engine/flow/context.h"
#include "engine/ports/schemas.h"

namespace postrider::flow {

// Holds events to the schemas of their types. Each schema is made ready once a revision, when the first event
// of its type comes. Owned by the shard.
class Schemas {
 public:
  explicit Schemas(Context& context) : context_(context) {}

  // nullopt: the event keeps its type's schema, or its type has none.
  std::optional<SchemaBreach> breach(const EventTypes& types, const Event& event);
  // Whether a schema can be judged at all: asked when it is declared.
  Result<void> check(const std::string& schema) const;

 private:
  struct Ready {
    std::uint64_t revision = 0;
    std::unique_ptr<const CompiledSchema> schema;  // nullptr: it could not be made ready
    std::size_t bytes = 0;
  };
  const CompiledSchema* ready(const EventTypeDef& type);

  Context& context_;
  std::map<std::pair<TenantId, std::string>, Ready> ready_;
  std::size_t bytes_ = 0;  // of the schemas' texts in ready_
};

// "/items/0/price: is of a type …"
std::string text_of(const SchemaBreach& breach);

}  // namespace postrider::flow
