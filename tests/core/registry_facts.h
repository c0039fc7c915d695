#pragma once
// Facts of one endpoint, "hook" of the tenant "acme".
#include <string>
#include <utility>

#include "engine/core/registry.h"

namespace postrider {

inline EndpointDef def(std::uint64_t revision, std::uint64_t replaces, std::string incarnation,
                       std::string url = "https://example.com/hook") {
  EndpointDef fact;
  fact.tenant = TenantId("acme");
  fact.id = EndpointId("hook");
  fact.incarnation = Incarnation(std::move(incarnation));
  fact.revision = revision;
  fact.replaces = replaces;
  fact.url = std::move(url);
  fact.types = {"*"};
  return fact;
}

inline EndpointDef deleted(std::uint64_t revision, std::uint64_t replaces, std::string incarnation) {
  EndpointDef fact = def(revision, replaces, std::move(incarnation));
  fact.deleted = true;
  return fact;
}

inline EndpointSecret secret(std::string id, SecretState state, std::int64_t created_at,
                             std::string incarnation, std::int64_t expires_at = 0) {
  EndpointSecret fact;
  fact.tenant = TenantId("acme");
  fact.endpoint = EndpointId("hook");
  fact.incarnation = Incarnation(std::move(incarnation));
  fact.id = std::move(id);
  fact.state = state;
  fact.created_at = created_at;
  fact.expires_at = expires_at;
  return fact;
}

inline HealthFact health(std::string incarnation, Partition partition, std::uint64_t enable_revision,
                         Stop stop, std::int64_t since = 1, std::string why = "why") {
  HealthFact fact;
  fact.tenant = TenantId("acme");
  fact.endpoint = EndpointId("hook");
  fact.incarnation = Incarnation(std::move(incarnation));
  fact.partition = partition;
  fact.enable_revision = enable_revision;
  fact.stop = stop;
  fact.failing = stop != Stop::none;
  fact.since = since;
  fact.why = std::move(why);
  return fact;
}

}  // namespace postrider
