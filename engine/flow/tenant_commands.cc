// The part of Commands that says something of a tenant: its name, how many endpoints it may have, whether it
// is suspended. Two who change one at once end in one state, as with an endpoint's def. Nobody needs such a
// record: a tenant is there by its endpoints and tokens, and is listed with them.
#include <algorithm>
#include <utility>

#include "engine/flow/commands.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::size_t kTenantNameBytesMax = 255, kTenantDescriptionBytesMax = 2048;

Error no_such_tenant() {
  return {Errc::not_found, "NOT_FOUND", "there is no such tenant, or nothing was said of it",
          "list what there is with `postrider-ops tenants list`"};
}

Error tenant_changed_meanwhile() {
  return {Errc::conflict, "CONFLICT", "somebody changed this tenant at the same time",
          "look at it again with `postrider-ops tenants show`, then repeat the command"};
}

Error tenant_not_as_demanded() {
  return {Errc::conflict, "PRECONDITION_FAILED", "the tenant is not what If-Match or If-None-Match demands",
          "read it again and look at what has changed; then repeat the change with its ETag"};
}

Result<void> check_tenant(const TenantSpec& spec) {
  const auto wrong = [](std::string message, std::string suggestion) {
    return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
  };
  if (!is_tenant_or_endpoint_id(spec.id.str()))
    return wrong("the tenant is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  if (spec.name.size() > kTenantNameBytesMax || spec.description.size() > kTenantDescriptionBytesMax)
    return wrong("the name or the description is too long", "at most 255 and 2048 bytes");
  if (spec.endpoints_max == 0u) return wrong("endpoints_max is 0", "suspend the tenant, or give 1 or more");
  return {};
}

// Only who says so lifts a suspension: a record that is put for its name's sake does not.
bool suspends(const TenantSpec& spec, const TenantDef* current) {
  return spec.suspended.value_or(current && current->suspended);
}

bool is_same(const TenantSpec& spec, const TenantDef& def) {
  return spec.name == def.name && spec.description == def.description &&
         spec.endpoints_max == def.endpoints_max && suspends(spec, &def) == def.suspended;
}

// What an administrator allowed once may stay as it is, or become less.
bool raises(const TenantSpec& spec, const TenantDef* current, std::uint32_t configured) {
  if (!spec.endpoints_max || configured == 0 || *spec.endpoints_max <= configured) return false;
  return !current || !current->endpoints_max || *spec.endpoints_max > *current->endpoints_max;
}

}  // namespace

std::uint32_t Commands::endpoints_max_of(const TenantId& tenant) const {
  const TenantDef* def = registry_.registry().tenants().find(tenant);
  return def && def->endpoints_max ? *def->endpoints_max : context_.config.endpoints_per_tenant;
}

void Commands::put_tenant(TenantSpec spec, Answer<TenantAnswer> answer) {
  if (auto good = check_tenant(spec); !good) return answer(fail(good.error()));
  const Tenants& known = registry_.registry().tenants();
  const TenantDef* current = known.find(spec.id);
  if (!spec.only_if.met(current)) return answer(fail(tenant_not_as_demanded()));
  if (current && is_same(spec, *current) && knows_now())
    return answer(
        TenantAnswer{ApplyAnswer::Change::unchanged, tenants(spec.id)[spec.id], current->suspended});
  if (!spec.may_raise && raises(spec, current, context_.config.endpoints_per_tenant))
    return answer(fail(Errc::denied, "PERMISSION_DENIED",
                       "endpoints_max is above guard.endpoints_per_tenant, which needs the scope admin",
                       "give less, or ask an administrator"));
  TenantDef def = current ? *current : TenantDef{};
  def.id = spec.id;
  def.replaces = known.revision_of(spec.id);
  def.revision = def.replaces + 1;
  def.name = std::move(spec.name);
  def.description = std::move(spec.description);
  def.endpoints_max = spec.endpoints_max;
  def.suspended = suspends(spec, current);
  const bool was_suspended = current && current->suspended;
  if (was_suspended && !def.suspended) def.resumed_at = to_ms(context_.log_now());
  def.changed_by = std::move(spec.actor);
  const auto change = current ? ApplyAnswer::Change::updated : ApplyAnswer::Change::created;
  write_tenant(std::move(def), spec.wait, [this, change, was_suspended, answer](Result<TenantDef> written) {
    if (!written) return answer(fail(written.error()));
    TenantView view = tenants(written->id)[written->id];
    view.id = written->id;
    view.def = *std::move(written);
    answer(TenantAnswer{change, std::move(view), was_suspended});
  });
}

void Commands::write_tenant(TenantDef def, bool wait, std::function<void(Result<TenantDef>)> answer) {
  def.changed_at = to_ms(context_.ports.clock.wall());
  std::string value = wire::encode(context_.config.environment, def);
  std::string key = tenant_key(def.id);
  registry_.write(std::move(key), std::move(value),
                  [this, wait, def = std::move(def), answer = std::move(answer)](Result<bool> applied) {
                    if (!applied) return answer(fail(applied.error()));
                    if (!*applied) return answer(fail(tenant_changed_meanwhile()));
                    after_everywhere(wait, [def, answer] { answer(def); });
                  });
}

std::map<TenantId, TenantView> Commands::tenants(const TenantId& only) const {
  const Registry& registry = registry_.registry();
  std::map<TenantId, TenantView> views;
  for (const TenantDef* def : registry.tenants().all())
    if (only.empty() || def->id == only) views[def->id].def = *def;
  for (const Endpoint* endpoint : only.empty() ? registry.all() : registry.endpoints_of(only)) {
    TenantView& view = views[endpoint->def.tenant];
    ++view.endpoints;
    if (endpoint->stopped().stop != Stop::none) ++view.stopped;
  }
  const std::int64_t now = to_ms(context_.ports.clock.wall());
  for (const TokenFact& token : registry.tokens()) {
    const bool active = !token.revoked && (token.expires_at == 0 || token.expires_at > now);
    if (active && !token.tenant.empty() && (only.empty() || token.tenant == only))
      ++views[token.tenant].tokens;
  }
  for (auto& [id, view] : views) view.id = id;
  return views;
}

void Commands::show_tenant(TenantId tenant, Answer<TenantView> answer) {
  auto found = tenants(tenant);
  const auto view = found.find(tenant);
  if (view == found.end()) return answer(fail(no_such_tenant()));
  answer(std::move(view->second));
}

void Commands::list_tenants(PageAsk page, Answer<std::vector<TenantView>> answer) {
  auto all = tenants(TenantId());
  std::vector<TenantView> part;
  part.reserve(std::min(all.size(), page.limit + 1));
  for (auto at = all.upper_bound(TenantId(page.after)); at != all.end() && part.size() <= page.limit; ++at)
    part.push_back(std::move(at->second));
  answer(std::move(part));
}

// An endpoint that another instance declares meanwhile stays, and its tenant with it.
void Commands::delete_tenant(TenantId tenant, std::string actor, Terms terms, Answer<bool> answer) {
  const TenantDef* found = registry_.registry().tenants().find(tenant);
  if (!found) return answer(fail(no_such_tenant()));
  if (!terms.only_if.met(found)) return answer(fail(tenant_not_as_demanded()));
  if (found->suspended)  // else it would be lifted, and its tokens still live
    return answer(fail(Errc::conflict, "TENANT_IN_USE", "the tenant is suspended",
                       "lift the suspension first: put it with \"suspended\": false"));
  if (!registry_.registry().endpoints_of(tenant).empty())
    return answer(fail(Errc::conflict, "TENANT_IN_USE", "the tenant has endpoints",
                       "delete them first; to stop what it is sent, suspend it"));
  TenantDef def;
  def.id = std::move(tenant);
  def.replaces = found->revision;
  def.revision = found->revision + 1;
  def.changed_by = std::move(actor);
  def.deleted = true;
  write_tenant(std::move(def), terms.wait, [answer](Result<TenantDef> written) {
    if (!written) return answer(fail(written.error()));
    answer(true);
  });
}

}  // namespace postrider::flow
