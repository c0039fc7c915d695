#include "engine/core/scope.h"

#include <array>
#include <utility>

namespace postrider {
namespace {

constexpr std::array<std::pair<Scope, std::string_view>, kScopes> kNames = {{
    {Scope::status_read, "status:read"},
    {Scope::endpoints_read, "endpoints:read"},
    {Scope::endpoints_write, "endpoints:write"},
    {Scope::secrets_rotate, "secrets:rotate"},
    {Scope::events_publish, "events:publish"},
    {Scope::deliveries_read, "deliveries:read"},
    {Scope::payloads_read, "payloads:read"},
    {Scope::dead_letters_write, "dead-letters:write"},
    {Scope::replays_read, "replays:read"},
    {Scope::replays_write, "replays:write"},
    {Scope::audit_read, "audit:read"},
    {Scope::event_types_read, "event-types:read"},
    {Scope::event_types_write, "event-types:write"},
    {Scope::tenants_write, "tenants:write"},
    {Scope::admin, "admin"},
}};

Scopes set_of(std::initializer_list<Scope> scopes) {
  Scopes set;
  for (const Scope scope : scopes) set.add(scope);
  return set;
}

}  // namespace

std::string_view name_of(Scope scope) {
  for (const auto& [each, name] : kNames)
    if (each == scope) return name;
  return "";
}

std::optional<Scope> parse_scope(std::string_view name) {
  for (const auto& [scope, each] : kNames)
    if (each == name) return scope;
  return std::nullopt;
}

const std::vector<Scope>& all_scopes() {
  static const std::vector<Scope> all = [] {
    std::vector<Scope> scopes;
    scopes.reserve(kNames.size());
    for (const auto& [scope, name] : kNames) scopes.push_back(scope);
    return scopes;
  }();
  return all;
}

std::string format_scopes(const Scopes& scopes) {
  if (scopes.has(Scope::admin)) return std::string(name_of(Scope::admin));
  std::string text;
  for (const auto& [scope, name] : kNames)
    if (scopes.has(scope)) text += (text.empty() ? "" : " ") + std::string(name);
  return text;
}

Scopes read_scopes(std::string_view text) {
  Scopes scopes;
  while (!text.empty()) {
    const auto end = text.find(' ');
    if (const auto scope = parse_scope(text.substr(0, end))) scopes.add(*scope);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return scopes;
}

std::optional<Scopes> scopes_of_role(std::string_view role) {
  if (role == "viewer")
    return set_of({Scope::status_read, Scope::endpoints_read, Scope::deliveries_read, Scope::event_types_read,
                   Scope::replays_read});
  if (role == "publisher") return set_of({Scope::events_publish});
  if (role == "operator")
    return set_of({Scope::status_read, Scope::endpoints_read, Scope::endpoints_write, Scope::deliveries_read,
                   Scope::dead_letters_write, Scope::replays_write, Scope::replays_read,
                   Scope::event_types_read});
  if (role == "auditor")
    return set_of({Scope::status_read, Scope::endpoints_read, Scope::deliveries_read, Scope::audit_read,
                   Scope::event_types_read, Scope::replays_read});
  if (role == "admin") return set_of({Scope::admin});
  return std::nullopt;
}

}  // namespace postrider
