#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/ids.h"

// What kinds of events there are, as somebody has described them. An event needs none: a type that nobody
// described is delivered as it comes. One with a schema is held to it (flow/intake.cc).
namespace postrider {

// How delicate its data is. Closed list; stored as a number.
enum class Classification { internal = 0, open = 1, confidential = 2, restricted = 3 };
std::string_view name_of(Classification classification);  // "internal", "public", …
std::optional<Classification> parse_classification(std::string_view name);

// The facet `~types/<name>` of a tenant, or without one, of the platform: then for every tenant that has no
// type of its own under that name. A value.
struct EventTypeDef {
  TenantId tenant;             // empty: the platform's
  std::string name;            // an event's `type`
  std::uint64_t revision = 0;  // of this record, 1 at creation; rises through all lives of a name
  std::uint64_t replaces = 0;  // the revision this record replaced; 0 at creation
  std::string description;
  std::string version;  // the describer's own: "1.4"
  std::string schema;   // JSON Schema, draft 7; empty: none
  Classification classification = Classification::internal;
  bool deprecated = false;
  std::string changed_by;
  std::int64_t changed_at = 0;  // unix ms, the writer's wall clock: for people
  bool deleted = false;
  std::string unknown;  // protobuf fields of a newer version, kept as they came
  bool operator==(const EventTypeDef&) const = default;
};

// 1 to 255 visible ASCII characters without '*': what a subscription can name.
bool is_event_type_name(std::string_view name);
std::string event_type_key(const TenantId& tenant, std::string_view name);

// The event types of the registry: fold of their facts, in offset order. A value.
class EventTypes {
 public:
  // False: another writer was first (DESIGN §5, as of an endpoint's def). `restated`: see Registry::apply.
  bool apply(const EventTypeDef& def, bool restated);

  const EventTypeDef* find(const TenantId& tenant, std::string_view name) const;   // living; its own alone
  std::uint64_t revision_of(const TenantId& tenant, std::string_view name) const;  // 0: there never was one
  // What holds for an event: the tenant's own, else the platform's. nullptr: nobody described it.
  const EventTypeDef* in_force(const TenantId& tenant, std::string_view name) const;
  // The same for all of a tenant's types, by name. Empty tenant: all that live, by tenant and name.
  std::vector<const EventTypeDef*> all_of(const TenantId& tenant) const;
  std::size_t count_of(const TenantId& tenant) const;  // its own
  bool any_schema() const { return schemas_ > 0; }

 private:
  using ByName = std::map<std::string, EventTypeDef, std::less<>>;
  const EventTypeDef* find_any(const TenantId& tenant, std::string_view name) const;
  std::map<TenantId, ByName> tenants_;
  std::size_t schemas_ = 0;  // living types with one
};

}  // namespace postrider
