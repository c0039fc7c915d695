#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/registry.h"
#include "engine/ports/log.h"

namespace postrider {

// The registry as it was at any of its versions, as far back as `endpoints` still tells: its compaction lag
// is no shorter than the retention of `attempts`, whose facts name versions.
class RegistryHistory {
 public:
  // Records of `endpoints`, in order. What cannot be read is left out, as the engine does.
  void apply(const Environment& environment, const Record& record);

  // The endpoints that an event owed when it was routed under `version` (records below that offset): of a
  // replay its target, if it lived; else the tenant's living ones that subscribe to its type. Into `targets`,
  // by endpoint.
  void route(const Event& event, Offset version, std::vector<const Target*>& targets) const;

  // Every incarnation that the tenant's endpoints ever had.
  std::vector<const Target*> ever(const TenantId& tenant) const;

  LogIdentity identity() const;  // empty: none yet

 private:
  struct Def {
    Offset at = 0;
    bool deleted = false;
    Target target;
    std::vector<std::string> types;
  };
  using Defs = std::vector<Def>;  // of one endpoint's name, all its lives, by offset
  static const Def* living(const Defs& defs, Offset version);

  Registry registry_;
  std::map<TenantId, std::map<EndpointId, Defs>> tenants_;
};

}  // namespace postrider
