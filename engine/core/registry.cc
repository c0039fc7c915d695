#include "engine/core/registry.h"

#include <algorithm>
#include <tuple>

namespace postrider {
namespace {

std::string life_key(const TenantId& tenant, const EndpointId& endpoint, const Incarnation& incarnation) {
  return tenant.str() + "/" + endpoint.str() + "/" + incarnation.str();
}

// Whether `next` takes the place of `current` (DESIGN §5). Revisions rise through all lives of a name, so
// they alone decide. A honest loser replaces less than the current revision; whoever replaces more has seen
// what compaction has taken from us.
bool supersedes(const EndpointDef& next, const EndpointDef& current, bool restated) {
  if (next.revision <= next.replaces) return false;
  if (next.revision == current.revision) return restated;
  return next.replaces >= current.revision;
}

// Secrets only move forward: active, expiring (and then ever sooner), revoked. An equal one may be sealed
// anew.
bool moves_back(const EndpointSecret& next, const EndpointSecret& current) {
  if (next.state != current.state) return next.state < current.state;
  return next.state == SecretState::expiring && next.expires_at > current.expires_at;
}

bool is_newer(const EndpointSecret& one, const EndpointSecret& other) {
  return std::tie(other.created_at, one.id) < std::tie(one.created_at, other.id);
}

// False: it would move back.
bool fold(std::vector<EndpointSecret>& secrets, const EndpointSecret& secret) {
  const auto known = std::find_if(secrets.begin(), secrets.end(),
                                  [&](const EndpointSecret& one) { return one.id == secret.id; });
  if (known != secrets.end()) {
    if (moves_back(secret, *known)) return false;
    secrets.erase(known);
  }
  secrets.insert(std::upper_bound(secrets.begin(), secrets.end(), secret, is_newer), secret);
  return true;
}

// False: nothing changed.
bool fold(std::map<Partition, HealthFact>& health, const HealthFact& fact) {
  const auto [known, is_new] = health.try_emplace(fact.partition, fact);
  if (is_new) return true;
  if (fact.enable_revision < known->second.enable_revision || fact == known->second) return false;
  known->second = fact;
  return true;
}

void drop_void(std::map<Partition, HealthFact>& health, std::uint64_t enable_revision) {
  std::erase_if(health, [&](const auto& one) { return one.second.enable_revision < enable_revision; });
}

// A disable weighs more than a quarantine; of equals the earlier one tells since when.
bool is_worse(const HealthFact& one, const HealthFact* other) {
  if (one.stop == Stop::none) return false;
  if (other == nullptr) return true;
  const auto weight = [](Stop stop) { return stop == Stop::quarantined ? 1 : 2; };
  if (weight(one.stop) != weight(other->stop)) return weight(one.stop) > weight(other->stop);
  return one.since < other->since;
}

}  // namespace

Endpoint::Stopped Endpoint::stopped() const {
  if (suspended.stop != Stop::none) return suspended;
  if (def.disabled) return {Stop::disabled, def.disabled_why, def.changed_at, def.changed_by};
  if (!def.sealed_challenge.empty())
    return {Stop::unverified, "its receiver has not given back the challenge", def.challenged_at,
            def.changed_by};
  const HealthFact* worst = nullptr;
  for (const auto& [partition, fact] : health) {
    if (is_worse(fact, worst)) worst = &fact;
  }
  if (worst == nullptr) return {};
  return {worst->stop, worst->why, worst->since, "postrider"};
}

bool Endpoint::names(const EndpointSecret& secret) const {
  return def.secret_ids.empty() ||
         std::find(def.secret_ids.begin(), def.secret_ids.end(), secret.id) != def.secret_ids.end();
}

std::vector<const EndpointSecret*> Endpoint::signing_secrets(LogTime now) const {
  std::vector<const EndpointSecret*> signing;
  for (const EndpointSecret& secret : secrets) {
    const bool expiring = secret.state == SecretState::expiring && to_ms(now) < secret.expires_at;
    if ((secret.state == SecretState::active || expiring) && names(secret)) signing.push_back(&secret);
  }
  return signing;
}

Registry::Applied Registry::apply(const EndpointDef& def, std::string_view raw, bool restated) {
  std::string key = def_key(def.tenant, def.id);
  if (is_current(key, raw)) return note(std::move(key), raw, Applied::same);
  std::unique_ptr<Endpoint>& endpoint = tenants_[def.tenant][def.id];
  if (endpoint && !supersedes(def, endpoint->def, restated)) {
    return note(std::move(key), raw, Applied::ignored);
  }
  if (!endpoint) endpoint = std::make_unique<Endpoint>();
  put(*endpoint, def);
  return note(std::move(key), raw, Applied::yes);
}

void Registry::put(Endpoint& endpoint, const EndpointDef& def) {
  const bool begins = endpoint.def.incarnation != def.incarnation;
  if (begins) {
    // The former life's secrets and health stay behind, the new one's may be here already.
    if (!endpoint.def.incarnation.empty()) {
      apart_[life_key(def.tenant, def.id, endpoint.def.incarnation)] = {std::move(endpoint.secrets),
                                                                        std::move(endpoint.health)};
    }
    Life life;
    if (auto waiting = apart_.extract(life_key(def.tenant, def.id, def.incarnation))) {
      life = std::move(waiting.mapped());
    }
    endpoint.secrets = std::move(life.secrets);
    endpoint.health = std::move(life.health);
  }
  endpoint.def = def;
  if (def.deleted) {
    living_[def.tenant].erase(def.id);
  } else {
    auto& living = living_[def.tenant];
    living[def.id] = &endpoint;
    if (begins) endpoint.place = living.size();
  }
  if (def.deleted || def.sealed_challenge.empty()) {
    unproven_.erase({def.tenant, def.id});
  } else {
    unproven_.insert({def.tenant, def.id});
  }
  drop_void(endpoint.health, def.enable_revision);
  endpoint.suspended = suspension_of(def.tenant);
  endpoint.resumed_at = resumed_at(def.tenant);
  endpoint.version = ++changes_;
}

Endpoint::Stopped Registry::suspension_of(const TenantId& tenant) const {
  const TenantDef* def = tenant_defs_.find(tenant);
  if (def == nullptr || !def->suspended) return {};
  return {Stop::disabled, "its tenant is suspended", def->changed_at, def->changed_by};
}

LogTime Registry::resumed_at(const TenantId& tenant) const {
  const TenantDef* def = tenant_defs_.find(tenant);
  return from_ms<LogTime>(def == nullptr ? 0 : def->resumed_at);
}

void Registry::suspend_or_resume(const TenantId& tenant) {
  const auto endpoints = tenants_.find(tenant);
  if (endpoints == tenants_.end()) return;
  const Endpoint::Stopped suspension = suspension_of(tenant);
  const LogTime resumed = resumed_at(tenant);
  for (const auto& [id, endpoint] : endpoints->second) {
    endpoint->resumed_at = resumed;
    if (endpoint->suspended.stop == suspension.stop) continue;
    endpoint->suspended = suspension;
    endpoint->version = ++changes_;
  }
}

Registry::Applied Registry::apply(const EndpointSecret& secret, std::string_view raw, bool /*restated*/) {
  std::string key = secret_key(secret);
  if (is_current(key, raw)) return note(std::move(key), raw, Applied::same);
  Endpoint* endpoint = endpoint_of(secret.tenant, secret.endpoint, secret.incarnation);
  std::vector<EndpointSecret>& secrets =
      endpoint ? endpoint->secrets
               : apart_[life_key(secret.tenant, secret.endpoint, secret.incarnation)].secrets;
  if (!fold(secrets, secret)) return note(std::move(key), raw, Applied::ignored);
  if (endpoint) endpoint->version = ++changes_;
  return note(std::move(key), raw, Applied::yes);
}

Registry::Applied Registry::apply(const TokenFact& token, std::string_view raw, bool /*restated*/) {
  std::string key = token_key(token.id);
  if (is_current(key, raw)) return note(std::move(key), raw, Applied::same);
  const auto [known, is_new] = tokens_.try_emplace(token.id, token);
  if (!is_new && known->second.revoked && !token.revoked) return note(std::move(key), raw, Applied::ignored);
  TokenFact& held = known->second;
  if (!is_new && held.hash != token.hash)
    std::erase_if(by_hash_, [&held](const auto& one) { return one.second == &held; });
  if (is_new || held.hash != token.hash) by_hash_.emplace(token.hash, &held);
  held = token;
  return note(std::move(key), raw, Applied::yes);
}

Registry::Applied Registry::apply(const TokenUseFact& use, std::string_view raw, bool /*restated*/) {
  std::string key = token_use_key(use.id);
  if (is_current(key, raw)) return note(std::move(key), raw, Applied::same);
  std::int64_t& day = used_[use.id];
  if (use.day < day) return note(std::move(key), raw, Applied::ignored);
  day = use.day;
  return note(std::move(key), raw, Applied::yes);
}

Registry::Applied Registry::apply(const IdentityFact& identity, std::string_view raw, bool restated) {
  std::string key(kIdentityKey);
  if (is_current(key, raw)) return note(std::move(key), raw, Applied::same);
  if (identity_ && !restated) return note(std::move(key), raw, Applied::ignored);
  identity_ = identity;
  return note(std::move(key), raw, Applied::yes);
}

Registry::Applied Registry::apply(const EventTypeDef& type, std::string_view raw, bool restated) {
  std::string key = event_type_key(type.tenant, type.name);
  if (is_current(key, raw)) return note(std::move(key), raw, Applied::same);
  const bool applied = event_types_.apply(type, restated);
  return note(std::move(key), raw, applied ? Applied::yes : Applied::ignored);
}

Registry::Applied Registry::apply(const TenantDef& tenant, std::string_view raw, bool restated) {
  std::string key = tenant_key(tenant.id);
  if (is_current(key, raw)) return note(std::move(key), raw, Applied::same);
  const bool applied = tenant_defs_.apply(tenant, restated);
  if (applied) suspend_or_resume(tenant.id);
  return note(std::move(key), raw, applied ? Applied::yes : Applied::ignored);
}

void Registry::apply(const HealthFact& fact) {
  Endpoint* endpoint = endpoint_of(fact.tenant, fact.endpoint, fact.incarnation);
  if (endpoint == nullptr) {
    fold(apart_[life_key(fact.tenant, fact.endpoint, fact.incarnation)].health, fact);
    return;
  }
  if (fact.enable_revision < endpoint->def.enable_revision) return;
  if (fold(endpoint->health, fact)) endpoint->version = ++changes_;
}

Registry::Applied Registry::note(std::string key, std::string_view raw, Applied applied) {
  if (applied == Applied::ignored) {
    // A first record that contradicts itself has nothing to be restated with.
    if (current_.contains(key)) mending_.insert(std::move(key));
    return applied;
  }
  mending_.erase(key);
  if (applied == Applied::yes) current_[std::move(key)] = raw;
  return applied;
}

bool Registry::is_current(const std::string& key, std::string_view raw) const {
  const auto current = current_.find(key);
  return current != current_.end() && current->second == raw;
}

std::vector<std::pair<std::string, std::string>> Registry::mending() const {
  std::vector<std::pair<std::string, std::string>> wanted;
  wanted.reserve(mending_.size());
  for (const std::string& key : mending_) wanted.emplace_back(key, current_.at(key));
  return wanted;
}

const Endpoint* Registry::find_any(const TenantId& tenant, const EndpointId& endpoint) const {
  const auto endpoints = tenants_.find(tenant);
  if (endpoints == tenants_.end()) return nullptr;
  const auto found = endpoints->second.find(endpoint);
  return found == endpoints->second.end() ? nullptr : found->second.get();
}

Endpoint* Registry::endpoint_of(const TenantId& tenant, const EndpointId& endpoint,
                                const Incarnation& incarnation) {
  const auto endpoints = tenants_.find(tenant);
  if (endpoints == tenants_.end()) return nullptr;
  const auto found = endpoints->second.find(endpoint);
  if (found == endpoints->second.end() || found->second->def.incarnation != incarnation) return nullptr;
  return found->second.get();
}

const Endpoint* Registry::find(const TenantId& tenant, const EndpointId& endpoint) const {
  const Endpoint* found = find_any(tenant, endpoint);
  return found != nullptr && !found->def.deleted ? found : nullptr;
}

const Endpoint* Registry::find_deleted(const TenantId& tenant, const EndpointId& endpoint) const {
  const Endpoint* found = find_any(tenant, endpoint);
  return found != nullptr && found->def.deleted ? found : nullptr;
}

const Endpoint* Registry::find(const TenantId& tenant, const Target& target) const {
  const Endpoint* found = find(tenant, target.endpoint);
  return found != nullptr && found->def.incarnation == target.incarnation ? found : nullptr;
}

std::vector<const Endpoint*> Registry::endpoints_of(const TenantId& tenant) const {
  std::vector<const Endpoint*> living;
  const auto endpoints = living_.find(tenant);
  if (endpoints == living_.end()) return living;
  living.reserve(endpoints->second.size());
  for (const auto& [id, endpoint] : endpoints->second) living.push_back(endpoint);
  return living;
}

std::size_t Registry::names_of(const TenantId& tenant) const {
  const auto endpoints = tenants_.find(tenant);
  return endpoints == tenants_.end() ? 0 : endpoints->second.size();
}

std::vector<const Endpoint*> Registry::all() const {
  std::vector<const Endpoint*> living;
  std::size_t count = 0;
  for (const auto& [tenant, endpoints] : living_) count += endpoints.size();
  living.reserve(count);
  for (const auto& [tenant, endpoints] : living_)
    for (const auto& [id, endpoint] : endpoints) living.push_back(endpoint);
  return living;
}

std::optional<Grant> Registry::grant_of(std::string_view token_hash_hex, std::int64_t now) const {
  const TokenFact* found = nullptr;
  const auto [begin, end] = by_hash_.equal_range(std::string(token_hash_hex));
  for (auto one = begin; one != end; ++one) {
    const TokenFact& token = *one->second;
    const bool expired = token.expires_at != 0 && token.expires_at <= now;
    if (!token.revoked && !expired) found = &token;
  }
  if (found == nullptr) return std::nullopt;
  return Grant{found->id, found->name, found->tenant, read_scopes(found->scope)};
}

const TokenFact* Registry::find_token(const std::string& id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second;
}

std::vector<TokenFact> Registry::tokens() const {
  std::vector<TokenFact> all;
  for (const auto& [id, token] : tokens_) all.push_back(token);
  return all;
}

std::int64_t Registry::last_used(const std::string& token_id) const {
  const auto found = used_.find(token_id);
  return found == used_.end() ? 0 : found->second;
}

bool Registry::has_tokens() const {
  return std::any_of(tokens_.begin(), tokens_.end(), [](const auto& one) { return !one.second.revoked; });
}

std::vector<const Endpoint*> Registry::route(const Event& event) const {
  if (event.target) {
    const Endpoint* target = find(event.tenant, *event.target);
    return target != nullptr ? std::vector<const Endpoint*>{target} : std::vector<const Endpoint*>{};
  }
  std::vector<const Endpoint*> subscribed;
  const auto endpoints = living_.find(event.tenant);
  if (endpoints == living_.end()) return subscribed;
  for (const auto& [id, endpoint] : endpoints->second) {
    const auto& types = endpoint->def.types;
    if (std::ranges::any_of(types, [&](const auto& pattern) { return matches_type(pattern, event.type); }))
      subscribed.push_back(endpoint);
  }
  return subscribed;
}

bool matches_type(std::string_view pattern, std::string_view type) {
  if (pattern == "*") return true;
  if (!pattern.ends_with(".*")) return pattern == type;
  pattern.remove_suffix(1);  // "order."
  return type.size() > pattern.size() && type.starts_with(pattern);
}

bool is_type_pattern(std::string_view pattern) {
  if (pattern == "*") return true;
  if (pattern.empty() || pattern.size() > 255) return false;
  if (pattern.ends_with(".*")) pattern.remove_suffix(2);
  if (pattern.empty() || pattern.front() == '.') return false;
  return std::all_of(pattern.begin(), pattern.end(), [](char c) { return c > ' ' && c < 0x7f && c != '*'; });
}

std::string def_key(const TenantId& tenant, const EndpointId& endpoint) {
  return tenant.str() + "/" + endpoint.str() + "/def";
}

std::string secret_key(const EndpointSecret& secret) {
  return life_key(secret.tenant, secret.endpoint, secret.incarnation) + "/secret/" + secret.id;
}

std::string token_key(std::string_view id) {
  return "~tokens/" + std::string(id);
}

std::string token_use_key(std::string_view id) {
  return token_key(id) + "/used";
}

std::string health_key(const HealthFact& fact) {
  return life_key(fact.tenant, fact.endpoint, fact.incarnation) + "/" + std::to_string(fact.partition);
}

}  // namespace postrider
