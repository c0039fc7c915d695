#include "engine/api/cursor.h"
#include "engine/api/endpoint_body.h"
#include "engine/api/json_text.h"
#include "engine/api/precondition.h"
#include "engine/api/routes.h"
#include "engine/api/shown_once.h"
#include "engine/api/views.h"
#include "engine/operations/audit.h"

namespace postrider {
namespace {

constexpr std::size_t kWhyBytesMax = 512;
constexpr std::size_t kEndpointsListed = 100, kEndpointsListedMax = 1000;

struct Place {
  TenantId tenant;
  EndpointId id;
};

Result<Place> place_of(const Call& call) {
  for (const auto& part : call.path)
    if (!is_tenant_or_endpoint_id(part))
      return fail(Errc::invalid, "INVALID_REQUEST", "the path names no tenant or endpoint id",
                  "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  return Place{call.as_seen(TenantId(call.path[0])), EndpointId(call.path[1])};
}

Result<Terms> terms_of(const Call& call) {
  const auto wait = call.flag("wait", true);
  if (!wait) return fail(wait.error());
  auto only_if = precondition_of(call);
  if (!only_if) return fail(only_if.error());
  return Terms(*wait, std::move(*only_if));
}

std::string_view name_of(ApplyAnswer::Change change) {
  switch (change) {
    case ApplyAnswer::Change::created:
      return "created";
    case ApplyAnswer::Change::updated:
      return "updated";
    case ApplyAnswer::Change::unchanged:
      break;
  }
  return "unchanged";
}

ApiResponse applied(const ApplyAnswer& answer, bool dry_run) {
  const Json body = {{"change", name_of(answer.change)},
                     {"differences", answer.differences},
                     {"incarnation", answer.incarnation.str()},
                     {"revision", answer.revision},
                     {"dry_run", dry_run}};
  const bool created = answer.change == ApplyAnswer::Change::created && !dry_run;
  auto response = json_answer(created ? 201 : 200, body);
  if (!dry_run) response = tagged(std::move(response), answer.revision);
  if (answer.new_secret.empty()) return response;
  return with_secret(std::move(response), "secret", answer.new_secret);
}

AuditFact audit_of_endpoint(const Call& call, const char* action, const Place& place) {
  auto fact = audit_of(call.actor, action, "endpoints/" + place.id.str());
  fact.tenant = place.tenant;
  fact.target = place.id.str();
  return fact;
}

// What came to nothing because there is no such thing, or because the log is away, is no deed.
bool is_told(const Error& error) {
  return error.errc == Errc::conflict || error.errc == Errc::denied || error.errc == Errc::invalid;
}

std::string sentence_of(const std::vector<std::string>& differences) {
  constexpr std::size_t kBytesMax = 1024;
  std::string text;
  for (const auto& difference : differences) text += (text.empty() ? "" : "; ") + difference;
  return text.substr(0, kBytesMax);
}

}  // namespace

Service::Answer<EndpointView> Routes::tell_and_show_endpoint(const CallPtr& call, AuditFact fact) {
  return [self = shared_from_this(), call, fact = std::move(fact)](Result<EndpointView> view) {
    if (!view && !is_told(view.error())) return call->refuse(view.error());
    if (!view) return self->tell_outcome(call, fact, &view.error(), {});
    self->tell_outcome(call, fact, nullptr, [call, view = *view, now = self->desk.now_ms()] {
      call->answer(tagged(json_answer(200, view_of(view, now)), view.def.revision));
    });
  };
}

Service::Answer<ApplyAnswer> Routes::tell_and_show_change(const CallPtr& call, AuditFact fact) {
  return [self = shared_from_this(), call, fact = std::move(fact)](Result<ApplyAnswer> answer) mutable {
    using Change = ApplyAnswer::Change;
    if (!answer && !is_told(answer.error())) return call->refuse(answer.error());
    if (!answer) return self->tell_outcome(call, fact, &answer.error(), {});
    if (answer->change == Change::unchanged) return call->answer(applied(*answer, false));
    if (answer->change == Change::created) fact.action = "endpoint_created";
    fact.scope = sentence_of(answer->differences);
    const auto held = std::make_shared<ApplyAnswer>(*std::move(answer));  // it may hold a new secret
    self->tell_outcome(call, fact, nullptr, [call, held] { call->answer(applied(*held, false)); });
  };
}

void Routes::list_endpoints(CallPtr call) {
  if (auto fine = call->only({"tenant", "limit", "cursor"}); !fine) return call->refuse(fine.error());
  const auto tenant = call->parameter("tenant");
  if (call->query.contains("tenant") && !is_tenant_or_endpoint_id(tenant))
    return call->refuse({Errc::invalid, "INVALID_REQUEST", "tenant is no tenant id",
                         "use 1 to 64 of A-Z, a-z, 0-9, _ and -"});
  const auto limit = call->limit(kEndpointsListed, kEndpointsListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto after = Cursor(*call).place();
  if (!after) return call->refuse(after.error());
  const auto now = to_ms(desk.clock.wall());
  service.list_endpoints(
      call->filter_as_seen(TenantId(tenant)), {after->value_or(""), *limit},
      [call, now, limit = *limit](Result<std::vector<EndpointView>> views) {
        if (!views) return call->refuse(views.error());
        Json next = nullptr;
        if (views->size() > limit) {
          views->resize(limit);
          const auto& last = views->back().def;
          next = Cursor(*call).next(last.tenant.str() + "/" + last.id.str());
        }
        Json list = Json::array();
        for (const auto& view : *views) list.push_back(view_of(view, now));
        call->answer(json_answer(200, {{"endpoints", std::move(list)}, {"next_cursor", std::move(next)}}));
      });
}

void Routes::put_endpoint(CallPtr call) {
  if (auto fine = call->only({"dry_run", "wait"}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  const auto dry_run = call->flag("dry_run", false), wait = call->flag("wait", true);
  for (const auto* flag : {&dry_run, &wait})
    if (!*flag) return call->refuse(flag->error());
  if (!place) return call->refuse(place.error());
  auto only_if = precondition_of(*call);
  if (!only_if) return call->refuse(only_if.error());
  auto spec =
      parse_endpoint_body(call->request, options.default_retry, options.environment.str() == "development");
  if (!spec) return call->refuse(spec.error());
  if (place->tenant.str() == Call::kNobody)
    return call->refuse(
        {Errc::not_found, "NOT_FOUND", "there is no such tenant", "check the tenant in the path"});
  if (!spec->secrets.empty() && !call->grant.scopes.has(Scope::secrets_rotate))
    return call->refuse(permission_denied(
        "signing secrets are declared, and the token does not hold the scope secrets:rotate",
        "leave `secrets` out, or use a token that does"));
  spec->tenant = place->tenant;
  spec->id = place->id;
  spec->actor = call->actor.name;
  spec->by_tenant = !call->grant.tenant.empty();
  spec->dry_run = *dry_run;
  spec->wait = *wait;
  spec->only_if = std::move(*only_if);
  if (!*dry_run)
    return service.apply_endpoint(
        std::move(*spec), tell_and_show_change(call, audit_of_endpoint(*call, "endpoint_updated", *place)));
  service.apply_endpoint(std::move(*spec), [call](Result<ApplyAnswer> answer) {
    if (!answer) return call->refuse(answer.error());
    call->answer(applied(*answer, true));
  });
}

void Routes::get_endpoint(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  if (!place) return call->refuse(place.error());
  service.show_endpoint(place->tenant, place->id, [call, now = desk.now_ms()](Result<EndpointView> view) {
    if (!view) return call->refuse(view.error());
    call->answer(tagged(json_answer(200, view_of(*view, now)), view->def.revision));
  });
}

void Routes::delete_endpoint(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  const auto terms = terms_of(*call);
  if (!place) return call->refuse(place.error());
  if (!terms) return call->refuse(terms.error());
  service.delete_endpoint(
      place->tenant, place->id, call->actor.name, *terms,
      [self = shared_from_this(), call,
       fact = audit_of_endpoint(*call, "endpoint_deleted", *place)](Result<bool> deleted) {
        if (!deleted && !is_told(deleted.error())) return call->refuse(deleted.error());
        if (!deleted) return self->tell_outcome(call, fact, &deleted.error(), {});
        self->tell_outcome(call, fact, nullptr, [call] {
          call->answer(json_answer(200, {{"deleted", true}}));
        });
      });
}

void Routes::disable_endpoint(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  const auto terms = terms_of(*call);
  if (!place) return call->refuse(place.error());
  if (!terms) return call->refuse(terms.error());
  auto body = parse_body(call->request);
  if (!body) return call->refuse(body.error());
  Fields fields(*body);
  const auto why = fields.text("why", kWhyBytesMax);
  if (!why || why->empty()) fields.wrong("why", "is missing", "say in a few words why it is disabled");
  if (auto done = fields.done(); !done) return call->refuse(done.error());
  auto fact = audit_of_endpoint(*call, "endpoint_disabled", *place);
  fact.scope = *why;
  service.disable_endpoint(place->tenant, place->id, *why, call->actor.name, *terms,
                           tell_and_show_endpoint(call, std::move(fact)));
}

void Routes::enable_endpoint(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  const auto terms = terms_of(*call);
  if (!place) return call->refuse(place.error());
  if (!terms) return call->refuse(terms.error());
  auto body = parse_body(call->request);
  if (!body) return call->refuse(body.error());
  Fields fields(*body);
  if (auto done = fields.done(); !done) return call->refuse(done.error());
  service.enable_endpoint(place->tenant, place->id, call->actor.name, *terms,
                          tell_and_show_endpoint(call, audit_of_endpoint(*call, "endpoint_enabled", *place)));
}

void Routes::verify_endpoint(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  const auto terms = terms_of(*call);
  if (!place) return call->refuse(place.error());
  if (!terms) return call->refuse(terms.error());
  auto body = parse_body(call->request);
  if (!body) return call->refuse(body.error());
  Fields fields(*body);
  EndpointProof proof{place->tenant,
                      place->id,
                      fields.text("challenge", 128),
                      fields.flag("vouch").value_or(false),
                      call->actor.name,
                      terms->wait,
                      terms->only_if};
  if (auto done = fields.done(); !done) return call->refuse(done.error());
  if (proof.vouched && !call->grant.tenant.empty())
    return call->refuse(permission_denied("only the platform can vouch for an endpoint",
                                          "give the challenge that its receiver was sent"));
  service.prove_endpoint(std::move(proof),
                         tell_and_show_endpoint(call, audit_of_endpoint(*call, "endpoint_verified", *place)));
}

void Routes::rotate_secret(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  const auto terms = terms_of(*call);
  if (!place) return call->refuse(place.error());
  if (!terms) return call->refuse(terms.error());
  auto rotation = parse_rotation_body(call->request);
  if (!rotation) return call->refuse(rotation.error());
  rotation->tenant = place->tenant;
  rotation->endpoint = place->id;
  rotation->actor = call->actor.name;
  rotation->wait = terms->wait;
  rotation->only_if = terms->only_if;
  service.rotate_secret(*std::move(rotation),
                        tell_and_show_change(call, audit_of_endpoint(*call, "secret_rotated", *place)));
}

void Routes::revoke_secret(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = place_of(*call);
  const auto terms = terms_of(*call);
  if (!place) return call->refuse(place.error());
  if (!terms) return call->refuse(terms.error());
  auto fact = audit_of_endpoint(*call, "secret_revoked", *place);
  fact.subject_id = call->path[2];
  service.revoke_secret(place->tenant, place->id, call->path[2], call->actor.name, *terms,
                        tell_and_show_change(call, std::move(fact)));
}

}  // namespace postrider
