#include "engine/core/tenant.h"

namespace postrider {

std::string tenant_key(const TenantId& tenant) {
  return tenant.str() + "/~tenant";  // no endpoint's id begins so
}

bool Tenants::apply(const TenantDef& def, bool restated) {
  if (def.revision <= def.replaces) return false;
  const auto [known, is_new] = defs_.try_emplace(def.id, def);
  if (is_new) return true;
  TenantDef& current = known->second;
  const bool follows = def.revision == current.revision ? restated : def.replaces >= current.revision;
  if (follows) current = def;
  return follows;
}

const TenantDef* Tenants::find(const TenantId& tenant) const {
  const auto found = defs_.find(tenant);
  return found == defs_.end() || found->second.deleted ? nullptr : &found->second;
}

std::uint64_t Tenants::revision_of(const TenantId& tenant) const {
  const auto found = defs_.find(tenant);
  return found == defs_.end() ? 0 : found->second.revision;
}

std::vector<const TenantDef*> Tenants::all() const {
  std::vector<const TenantDef*> living;
  living.reserve(defs_.size());
  for (const auto& [id, def] : defs_)
    if (!def.deleted) living.push_back(&def);
  return living;
}

}  // namespace postrider
