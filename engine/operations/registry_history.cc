#include "engine/operations/registry_history.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "engine/wire/codec.h"

namespace postrider {

void RegistryHistory::apply(const Environment& environment, const Record& record) {
  if (!record.value) return;
  const auto fact = wire::decode_registry(environment, *record.value);
  if (!fact) return;
  std::visit(
      [&](const auto& value) {
        using Value = std::decay_t<decltype(value)>;
        if constexpr (!std::is_same_v<Value, std::monostate>) {
          const auto applied = registry_.apply(value, *record.value, wire::is_restated(record.headers));
          if constexpr (std::is_same_v<Value, EndpointDef>) {
            if (applied == Registry::Applied::yes)
              tenants_[value.tenant][value.id].push_back(
                  {record.offset, value.deleted, {value.id, value.incarnation}, value.types});
          }
        }
      },
      *fact);
}

const RegistryHistory::Def* RegistryHistory::living(const Defs& defs, Offset version) {
  const auto above =
      std::partition_point(defs.begin(), defs.end(), [version](const Def& def) { return def.at < version; });
  if (above == defs.begin()) return nullptr;
  const Def& def = *std::prev(above);
  return def.deleted ? nullptr : &def;
}

void RegistryHistory::route(const Event& event, Offset version, std::vector<const Target*>& targets) const {
  targets.clear();
  const auto tenant = tenants_.find(event.tenant);
  if (tenant == tenants_.end()) return;
  for (const auto& [id, defs] : tenant->second) {
    if (event.target && event.target->endpoint != id) continue;
    const Def* def = living(defs, version);
    if (def == nullptr) continue;
    const bool owed =
        event.target ? event.target->incarnation == def->target.incarnation
                     : std::any_of(def->types.begin(), def->types.end(),
                                   [&](const auto& pattern) { return matches_type(pattern, event.type); });
    if (owed) targets.push_back(&def->target);
  }
}

std::vector<const Target*> RegistryHistory::ever(const TenantId& tenant) const {
  std::vector<const Target*> targets;
  if (const auto known = tenants_.find(tenant); known != tenants_.end())
    for (const auto& [id, defs] : known->second)
      for (const Def& def : defs) targets.push_back(&def.target);
  return targets;
}

LogIdentity RegistryHistory::identity() const {
  return registry_.identity() ? registry_.identity()->identity : LogIdentity();
}

}  // namespace postrider
