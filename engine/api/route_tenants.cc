#include "engine/api/cursor.h"
#include "engine/api/json_text.h"
#include "engine/api/precondition.h"
#include "engine/api/routes.h"
#include "engine/operations/audit.h"

// Tenants exist by what is declared for them: endpoints, tokens that are bound to them, or a record that says
// who they are, how many endpoints they may have, and whether they are suspended. Only the platform writes
// that one.
namespace postrider {
namespace {

constexpr std::size_t kTenantNameMax = 255, kTenantDescriptionMax = 2048;
constexpr std::uint32_t kEndpointsMost = 1'000'000;
constexpr std::size_t kTenantsListed = 100, kTenantsListedMax = 1000;

Result<TenantId> tenant_in(const Call& call) {
  if (!is_tenant_or_endpoint_id(call.path[0]))
    return fail(Errc::invalid, "INVALID_REQUEST", "the path names no tenant id",
                "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  return call.as_seen(TenantId(call.path[0]));
}

Result<TenantSpec> read_tenant(const Call& call) {
  auto body = parse_body(call.request);
  if (!body) return fail(body.error());
  Fields fields(*body);
  TenantSpec spec;
  spec.name = fields.text("name", kTenantNameMax).value_or("");
  spec.description = fields.text("description", kTenantDescriptionMax).value_or("");
  spec.endpoints_max = fields.count("endpoints_max", 1, kEndpointsMost);
  spec.suspended = fields.flag("suspended");
  if (auto done = fields.done(); !done) return fail(done.error());
  spec.may_raise = call.grant.scopes.has(Scope::admin);
  spec.actor = call.actor.name;
  return spec;
}

Json view_of(const TenantView& view) {
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  const TenantDef def = view.def.value_or(TenantDef());
  return {{"id", view.id.str()},
          {"name", text_or_null(def.name)},
          {"description", text_or_null(def.description)},
          {"endpoints_max", def.endpoints_max ? Json(*def.endpoints_max) : Json(nullptr)},
          {"suspended", def.suspended},
          {"endpoints", view.endpoints},
          {"endpoints_stopped", view.stopped},
          {"tokens", view.tokens},
          {"revision", def.revision},
          {"changed_by", text_or_null(def.changed_by)},
          {"changed_at", time_or_null(def.changed_at)}};
}

// Without a record there is nothing that If-Match could name.
ApiResponse shown(int status, const TenantView& view) {
  auto answer = json_answer(status, view_of(view));
  return view.def ? tagged(std::move(answer), view.def->revision) : answer;
}

AuditFact audit_of_tenant(const Call& call, const char* action, const TenantId& tenant) {
  auto fact = audit_of(call.actor, action, "tenants/" + tenant.str());
  fact.tenant = tenant;
  return fact;
}

// That a tenant was suspended, or is no longer, is a deed of its own.
AuditFact told_apart(AuditFact fact, const TenantAnswer& answer) {
  const bool created = answer.change == ApplyAnswer::Change::created;
  if (created) fact.action = "tenant_created";
  const bool suspended = answer.view.def && answer.view.def->suspended;
  if (suspended == answer.was_suspended) return fact;
  if (!created) fact.action = suspended ? "tenant_suspended" : "tenant_resumed";
  fact.scope = suspended ? "suspended" : "resumed";
  return fact;
}

bool tried_nothing(const Error& error) {
  return error.errc == Errc::not_found || error.errc == Errc::unavailable;
}

}  // namespace

void Routes::list_tenants(CallPtr call) {
  if (auto fine = call->only({"limit", "cursor"}); !fine) return call->refuse(fine.error());
  const auto limit = call->limit(kTenantsListed, kTenantsListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto after = Cursor(*call).place();
  if (!after) return call->refuse(after.error());
  service.list_tenants(
      {.after = after->value_or(""), .limit = *limit},
      [call, limit = *limit](Result<std::vector<TenantView>> views) {
        if (!views) return call->refuse(views.error());
        Json next = nullptr;
        if (views->size() > limit) {
          views->resize(limit);
          next = Cursor(*call).next(views->back().id.str());
        }
        Json list = Json::array();
        for (const auto& view : *views) list.push_back(view_of(view));
        call->answer(json_answer(200, {{"tenants", std::move(list)}, {"next_cursor", std::move(next)}}));
      });
}

void Routes::get_tenant(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  const auto tenant = tenant_in(*call);
  if (!tenant) return call->refuse(tenant.error());
  service.show_tenant(*tenant, [call](const Result<TenantView>& view) {
    if (!view) return call->refuse(view.error());
    call->answer(shown(200, *view));
  });
}

void Routes::put_tenant(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto tenant = tenant_in(*call);
  const auto wait = call->flag("wait", true);
  if (!tenant) return call->refuse(tenant.error());
  if (!wait) return call->refuse(wait.error());
  auto spec = read_tenant(*call);
  if (!spec) return call->refuse(spec.error());
  auto only_if = precondition_of(*call);
  if (!only_if) return call->refuse(only_if.error());
  spec->only_if = std::move(*only_if);
  spec->id = *tenant;
  spec->wait = *wait;
  service.put_tenant(std::move(*spec), [self = shared_from_this(), call,
                                        fact = audit_of_tenant(*call, "tenant_updated", *tenant)](
                                           const Result<TenantAnswer>& answer) mutable {
    if (!answer && tried_nothing(answer.error())) return call->refuse(answer.error());
    if (!answer) return self->tell_outcome(call, fact, &answer.error(), {});
    const bool created = answer->change == ApplyAnswer::Change::created;
    auto response = shown(created ? 201 : 200, answer->view);
    if (answer->change == ApplyAnswer::Change::unchanged) return call->answer(std::move(response));
    self->tell_outcome(call, told_apart(std::move(fact), *answer), nullptr,
                       [call, response] { call->answer(response); });
  });
}

void Routes::delete_tenant(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto tenant = tenant_in(*call);
  const auto wait = call->flag("wait", true);
  if (!tenant) return call->refuse(tenant.error());
  if (!wait) return call->refuse(wait.error());
  auto only_if = precondition_of(*call);
  if (!only_if) return call->refuse(only_if.error());
  service.delete_tenant(*tenant, call->actor.name, Terms(*wait, std::move(*only_if)),
                        [self = shared_from_this(), call,
                         fact = audit_of_tenant(*call, "tenant_deleted", *tenant)](Result<bool> deleted) {
                          if (!deleted && tried_nothing(deleted.error()))
                            return call->refuse(deleted.error());
                          if (!deleted) return self->tell_outcome(call, fact, &deleted.error(), {});
                          self->tell_outcome(call, fact, nullptr, [call] {
                            call->answer(json_answer(200, {{"deleted", true}}));
                          });
                        });
}

}  // namespace postrider
