#include "engine/flow/schemas.h"

#include <algorithm>
#include <string_view>

namespace postrider::flow {
namespace {

constexpr std::size_t kReadyBytesMax = std::size_t{2}
                                       << 20;  // of texts; made ready they take some 20 times that
constexpr std::size_t kBreachBytesMax = 512;

// "application/json", "application/merge-patch+json; charset=utf-8", "text/json"; absent: CloudEvents takes
// it for JSON.
bool is_json(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ')) content_type.remove_suffix(1);
  std::string lower(content_type);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower.empty() || lower.ends_with("/json") || lower.ends_with("+json");
}

}  // namespace

std::string text_of(const SchemaBreach& breach) {
  std::string text = breach.pointer.empty() ? "the data" : breach.pointer.substr(0, kBreachBytesMax / 2);
  text += ": " + breach.what;
  if (text.size() > kBreachBytesMax) text.resize(kBreachBytesMax);
  return text;
}

std::optional<SchemaBreach> Schemas::breach(const EventTypes& types, const Event& event) {
  if (!types.any_schema()) return std::nullopt;
  const EventTypeDef* type = types.in_force(event.tenant, event.type);
  if (!type || type->schema.empty()) return std::nullopt;
  if (!is_json(event.datacontenttype))
    return SchemaBreach{"", "are not declared to be JSON, and only JSON can be held to a schema"};
  const CompiledSchema* schema = ready(*type);
  return schema ? schema->judge(event.data) : std::nullopt;
}

Result<void> Schemas::check(const std::string& schema) const {
  if (schema.empty()) return {};
  if (!context_.ports.schemas)
    return fail(Errc::invalid, "INVALID_SCHEMA", "no schema is judged here", "leave it out");
  auto compiled = context_.ports.schemas->compile(schema);
  if (!compiled) return fail(compiled.error());
  return {};
}

// One that was declared under another version and means nothing to this one lets its events pass, and says
// so: they are no worse than those of a type without a schema, while a dead letter could not be replayed.
const CompiledSchema* Schemas::ready(const EventTypeDef& type) {
  if (!context_.ports.schemas) return nullptr;
  Ready& entry = ready_[{type.tenant, type.name}];
  if (entry.revision == type.revision) return entry.schema.get();
  if (bytes_ + type.schema.size() > kReadyBytesMax) {
    ready_.clear();
    bytes_ = 0;
    return ready(type);
  }
  bytes_ += type.schema.size() - entry.bytes;
  entry.bytes = type.schema.size();
  entry.revision = type.revision;
  entry.schema.reset();
  if (auto compiled = context_.ports.schemas->compile(type.schema)) {
    entry.schema = *std::move(compiled);
  } else {
    context_.ports.observer.note("error", "schema_unusable",
                                 "events of " + type.name + " pass unjudged: " + compiled.error().message,
                                 &compiled.error());
  }
  return entry.schema.get();
}

}  // namespace postrider::flow
