#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/ids.h"

// What somebody has said of a tenant. A tenant needs no such record: it exists by its endpoints and tokens.
namespace postrider {

// The facet `<tenant>/~tenant`. A value.
struct TenantDef {
  TenantId id;
  std::uint64_t revision = 0;  // of this record, 1 at creation; rises through all lives of a tenant
  std::uint64_t replaces = 0;  // the revision this record replaced; 0 at creation
  std::string name;            // for people
  std::string description;
  std::optional<std::uint32_t> endpoints_max;  // in place of guard.endpoints_per_tenant; 1 or more
  bool suspended = false;       // its endpoints take nothing, and their events are held, as while disabled
  std::int64_t resumed_at = 0;  // unix ms of log time: when it was last no longer suspended; 0: never was
  std::string changed_by;
  std::int64_t changed_at = 0;  // unix ms, the writer's wall clock: for people
  bool deleted = false;
  std::string unknown;  // protobuf fields of a newer version, kept as they came
  bool operator==(const TenantDef&) const = default;
};

std::string tenant_key(const TenantId& tenant);

// The tenants of the registry: fold of their facts, in offset order. A value.
class Tenants {
 public:
  // False: another writer was first (DESIGN §5, as of an endpoint's def). `restated`: see Registry::apply.
  bool apply(const TenantDef& def, bool restated);

  const TenantDef* find(const TenantId& tenant) const;      // nullptr: none, or deleted
  std::uint64_t revision_of(const TenantId& tenant) const;  // 0: there never was one
  std::vector<const TenantDef*> all() const;                // living, by id

 private:
  std::map<TenantId, TenantDef> defs_;
};

}  // namespace postrider
