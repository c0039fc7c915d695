#include "engine/core/event_type.h"

#include <algorithm>
#include <array>
#include <utility>

namespace postrider {
namespace {

constexpr std::size_t kTypeNameBytesMax = 255;
constexpr std::array<std::pair<Classification, std::string_view>, 4> kClassifications = {{
    {Classification::open, "public"},
    {Classification::internal, "internal"},
    {Classification::confidential, "confidential"},
    {Classification::restricted, "restricted"},
}};

bool holds_schema(const EventTypeDef& def) {
  return !def.deleted && !def.schema.empty();
}

}  // namespace

std::string_view name_of(Classification classification) {
  for (const auto& [each, name] : kClassifications)
    if (each == classification) return name;
  return "restricted";  // of a newer version: rather too careful
}

std::optional<Classification> parse_classification(std::string_view name) {
  for (const auto& [classification, each] : kClassifications)
    if (each == name) return classification;
  return std::nullopt;
}

bool is_event_type_name(std::string_view name) {
  if (name.empty() || name.size() > kTypeNameBytesMax || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '*'; });
}

std::string event_type_key(const TenantId& tenant, std::string_view name) {
  return (tenant.empty() ? "" : tenant.str() + "/") + "~types/" + std::string(name);
}

bool EventTypes::apply(const EventTypeDef& def, bool restated) {
  if (def.revision <= def.replaces) return false;
  auto [known, is_new] = tenants_[def.tenant].try_emplace(def.name, def);
  EventTypeDef& current = known->second;
  if (!is_new) {
    const bool follows = def.revision == current.revision ? restated : def.replaces >= current.revision;
    if (!follows) return false;
    if (holds_schema(current)) --schemas_;
    current = def;
  }
  if (holds_schema(current)) ++schemas_;
  return true;
}

const EventTypeDef* EventTypes::find_any(const TenantId& tenant, std::string_view name) const {
  const auto types = tenants_.find(tenant);
  if (types == tenants_.end()) return nullptr;
  const auto found = types->second.find(name);
  return found == types->second.end() ? nullptr : &found->second;
}

const EventTypeDef* EventTypes::find(const TenantId& tenant, std::string_view name) const {
  const EventTypeDef* found = find_any(tenant, name);
  return found != nullptr && !found->deleted ? found : nullptr;
}

std::uint64_t EventTypes::revision_of(const TenantId& tenant, std::string_view name) const {
  const EventTypeDef* found = find_any(tenant, name);
  return found != nullptr ? found->revision : 0;
}

const EventTypeDef* EventTypes::in_force(const TenantId& tenant, std::string_view name) const {
  const EventTypeDef* own = find(tenant, name);
  return own != nullptr ? own : find(TenantId(), name);
}

std::vector<const EventTypeDef*> EventTypes::all_of(const TenantId& tenant) const {
  std::vector<const EventTypeDef*> living;
  if (tenant.empty()) {
    for (const auto& [owner, types] : tenants_)
      for (const auto& [name, def] : types)
        if (!def.deleted) living.push_back(&def);
    return living;
  }
  std::map<std::string_view, const EventTypeDef*> by_name;
  for (const TenantId& owner : {TenantId(), tenant}) {
    const auto types = tenants_.find(owner);
    if (types == tenants_.end()) continue;
    for (const auto& [name, def] : types->second)
      if (!def.deleted) by_name[name] = &def;
  }
  living.reserve(by_name.size());
  for (const auto& [name, def] : by_name) living.push_back(def);
  return living;
}

std::size_t EventTypes::count_of(const TenantId& tenant) const {
  const auto types = tenants_.find(tenant);
  if (types == tenants_.end()) return 0;
  return static_cast<std::size_t>(std::count_if(types->second.begin(), types->second.end(),
                                                [](const auto& one) { return !one.second.deleted; }));
}

}  // namespace postrider
