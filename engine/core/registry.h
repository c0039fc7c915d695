#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/core/endpoint.h"
#include "engine/core/event.h"
#include "engine/core/event_type.h"
#include "engine/core/health.h"
#include "engine/core/ids.h"
#include "engine/core/scope.h"
#include "engine/core/tenant.h"
#include "engine/core/time.h"

namespace postrider {

// The hash of an API token (`~tokens/<id>` facet): SHA-256 of the token's text, hex. The token is shown once.
struct TokenFact {
  std::string id;  // "tok_…"
  std::string hash;
  std::string scope;            // scopes, with blanks between (core/scope.h)
  std::int64_t created_at = 0;  // unix ms
  bool revoked = false;
  TenantId tenant = {};         // empty: the platform's
  std::string name = {};        // what it is for, as its maker says
  std::string created_by = {};  // the maker
  std::int64_t expires_at = 0;  // unix ms; 0: never
  std::int64_t review_at = 0;   // when somebody shall ask whether it is still needed; 0: never
  std::string unknown = {};

  // The platform's own, without an end: as the first start makes it.
  bool is_administrators() const { return scope == "admin" && tenant.empty(); }
  bool operator==(const TokenFact&) const = default;
};

// On which day a token was last used (`~tokens/<id>/used` facet).
struct TokenUseFact {
  std::string id;        // of the token
  std::int64_t day = 0;  // unix ms: when that day began, UTC
  std::string unknown = {};
  bool operator==(const TokenUseFact&) const = default;
};

// The log's identity (`~identity`), written once by `topics create` or by the embedded log under its lock.
struct IdentityFact {
  LogIdentity identity;
  Environment environment;
  std::string unknown;
  bool operator==(const IdentityFact&) const = default;
};

// One endpoint as the registry has it now.
struct Endpoint {
  EndpointDef def;
  std::vector<EndpointSecret> secrets;     // of this incarnation, newest first
  std::map<Partition, HealthFact> health;  // void ones left out
  std::uint64_t version = 0;               // rises with every change: caches compare it

  // The worst of tenant, def and every partition: why nothing is sent. `why` and `since` belong to it.
  struct Stopped {
    Stop stop = Stop::none;
    std::string why;
    std::int64_t since = 0;
    std::string by;
  };
  Stopped stopped() const;
  // Which of its tenant's living endpoints it was when its life began, from 1, in the order of the log as
  // this reader read it: of who declares some at once, those behind the tenant's cap see it by this.
  std::size_t place = 0;
  Stopped suspended;     // with all of its tenant's; Stop::none: it is not
  LogTime resumed_at{};  // when that was last lifted: it has failed no longer than since then
  // Whether the def names it, however far it has moved.
  bool names(const EndpointSecret& secret) const;
  // What may sign at `now`: named, active or not yet expired ones, newest first.
  std::vector<const EndpointSecret*> signing_secrets(LogTime now) const;
};

// registry = fold(facts of `endpoints` and `health`), in offset order. A value: every instance that has
// applied the same records holds the same state. Deleted endpoints stay, so that their incarnation is known
// to be gone.
class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  enum class Applied {
    yes,
    same,     // the current one again: harmless
    ignored,  // lost to the current one; see mending()
  };
  // `raw` is the record's value as it stands on the log. A def is applied when it replaces the current
  // revision, or when compaction took what it replaced (there is none, or only an older one). Revisions rise
  // through all lives of a name: a creation after a deletion replaces the deletion's revision, under a new
  // incarnation. Secrets and tokens only move forward; of identities the first one counts.
  // `restated`: the record was appended because mending() asked for it. It wins over a rival of its own
  // revision: after compaction the loser may be the first of the two that a reader meets.
  Applied apply(const EndpointDef& def, std::string_view raw, bool restated = false);
  Applied apply(const EndpointSecret& secret, std::string_view raw, bool restated = false);
  Applied apply(const TokenFact& token, std::string_view raw, bool restated = false);
  Applied apply(const TokenUseFact& use, std::string_view raw, bool restated = false);
  Applied apply(const IdentityFact& identity, std::string_view raw, bool restated = false);
  Applied apply(const EventTypeDef& type, std::string_view raw, bool restated = false);
  Applied apply(const TenantDef& tenant, std::string_view raw, bool restated = false);
  // Folded per partition: the newest enable revision counts, then the last one. So it does not matter how far
  // `endpoints` was read when it came.
  void apply(const HealthFact& health);

  // Keys whose newest record on the log was ignored, with the value that must be appended again: compaction
  // keeps the last record, even if the fold ignored it (DESIGN §5). A key leaves once its current value was
  // applied again (`same`).
  std::vector<std::pair<std::string, std::string>> mending() const;

  const Endpoint* find(const TenantId& tenant,
                       const EndpointId& endpoint) const;  // nullptr: none, or deleted
  const Endpoint* find_deleted(const TenantId& tenant, const EndpointId& endpoint) const;
  // The living endpoint of that very incarnation.
  const Endpoint* find(const TenantId& tenant, const Target& target) const;
  std::vector<const Endpoint*> endpoints_of(const TenantId& tenant) const;  // living, by id
  std::size_t names_of(const TenantId& tenant) const;  // of endpoints, those of deleted ones too
  std::vector<const Endpoint*> all() const;            // living, by tenant and id
  const std::optional<IdentityFact>& identity() const { return identity_; }
  // Living ones that must prove themselves still.
  const std::set<std::pair<TenantId, EndpointId>>& unproven() const { return unproven_; }
  // What the bearer of that token may do at `now` (unix ms). nullopt: unknown, revoked or expired. Looked up
  // by the hash: what timing may tell of that leads to no token.
  std::optional<Grant> grant_of(std::string_view token_hash_hex, std::int64_t now) const;
  const TokenFact* find_token(const std::string& id) const;
  bool has_tokens() const;
  std::int64_t last_used(const std::string& token_id) const;  // the day, unix ms; 0: never
  std::vector<TokenFact> tokens() const;                      // revoked ones included
  const EventTypes& event_types() const { return event_types_; }
  const Tenants& tenants() const { return tenant_defs_; }
  // Living, subscribed to `type`; of a replay: just its target, if it lives. Stopped ones included.
  std::vector<const Endpoint*> route(const Event& event) const;

 private:
  // What is known of one incarnation, kept apart from its def: compaction keeps no order between keys.
  struct Life {
    std::vector<EndpointSecret> secrets;
    std::map<Partition, HealthFact> health;
  };
  Applied note(std::string key, std::string_view raw, Applied applied);
  bool is_current(const std::string& key, std::string_view raw) const;
  const Endpoint* find_any(const TenantId& tenant, const EndpointId& endpoint) const;
  // The endpoint whose present incarnation that is; nullptr: its def has not come, or is of another life.
  Endpoint* endpoint_of(const TenantId& tenant, const EndpointId& endpoint, const Incarnation& incarnation);
  void put(Endpoint& endpoint, const EndpointDef& def);
  Endpoint::Stopped suspension_of(const TenantId& tenant) const;
  LogTime resumed_at(const TenantId& tenant) const;
  void suspend_or_resume(const TenantId& tenant);

  using ByEndpoint = std::map<EndpointId, std::unique_ptr<Endpoint>>;
  std::map<TenantId, ByEndpoint> tenants_;
  // Those of them that are not deleted: no event walks over the others.
  std::map<TenantId, std::map<EndpointId, const Endpoint*>> living_;
  std::map<std::string, Life>
      apart_;  // by tenant/endpoint/incarnation: def not yet seen, or another one current
  std::set<std::pair<TenantId, EndpointId>> unproven_;
  std::map<std::string, TokenFact> tokens_;
  std::unordered_multimap<std::string, const TokenFact*> by_hash_;  // into tokens_
  std::map<std::string, std::int64_t> used_;                        // by token
  std::optional<IdentityFact> identity_;
  EventTypes event_types_;
  Tenants tenant_defs_;
  std::unordered_map<std::string, std::string>
      current_;  // by key: the value that counts, as it is on the log
  std::set<std::string> mending_;
  std::uint64_t changes_ = 0;
};

// "order.created" by "order.created", "order.*" (any deeper type too) or "*".
bool matches_type(std::string_view pattern, std::string_view type);
// At most 255 visible ASCII characters; '*' alone, or last after a dot.
bool is_type_pattern(std::string_view pattern);

// Record keys of `endpoints` and `health`.
std::string def_key(const TenantId& tenant, const EndpointId& endpoint);
std::string secret_key(const EndpointSecret& secret);
std::string token_key(std::string_view id);
std::string token_use_key(std::string_view id);
std::string health_key(const HealthFact& fact);
inline constexpr std::string_view kIdentityKey = "~identity";

}  // namespace postrider
