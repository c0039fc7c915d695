#include "engine/api/cursor.h"
#include "engine/api/json_text.h"
#include "engine/api/precondition.h"
#include "engine/api/routes.h"
#include "engine/operations/audit.h"

// Event types: a tenant's own under /v1/tenants/{tenant}/event-types/{name}, and the platform's, which hold
// for every tenant that has none of its own under that name, under /v1/event-types/{name}.
namespace postrider {
namespace {

constexpr int kSchemaDepthMax = 64;  // of the JSON text: two levels or three for each one of the data
constexpr std::size_t kDescriptionMax = 2048, kVersionMax = 64;
constexpr std::size_t kTypesListed = 100, kTypesListedMax = 1000;

struct TypePlace {
  TenantId tenant;  // empty: the platform's
  std::string name;
};

Result<TypePlace> type_place_of(const Call& call) {
  const bool of_tenant = call.path.size() == 2;
  if (of_tenant && !is_tenant_or_endpoint_id(call.path[0]))
    return fail(Errc::invalid, "INVALID_REQUEST", "the path names no tenant id",
                "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  if (!is_event_type_name(call.path.back()))
    return fail(Errc::invalid, "INVALID_REQUEST",
                "an event type's name is 1 to 255 visible ASCII characters without '*'",
                "choose another name, as in order.created");
  return TypePlace{of_tenant ? call.as_seen(TenantId(call.path[0])) : TenantId(), call.path.back()};
}

// As JSON text of one line, its members in the order that they were given in.
std::string schema_of(Fields& fields) {
  const auto* schema = fields.object("schema");
  return schema ? schema->dump(-1, ' ', false, Json::error_handler_t::replace) : std::string();
}

Result<EventTypeSpec> read_type(const Call& call) {
  auto body = parse_body(call.request, kSchemaDepthMax);
  if (!body) return fail(body.error());
  Fields fields(*body);
  EventTypeSpec spec;
  spec.description = fields.text("description", kDescriptionMax).value_or("");
  spec.version = fields.text("version", kVersionMax).value_or("");
  spec.schema = schema_of(fields);
  spec.deprecated = fields.flag("deprecated").value_or(false);
  const auto classification = parse_classification(fields.text("classification", 32).value_or("internal"));
  if (!classification)
    fields.wrong("classification", "is unknown", "write public, internal, confidential or restricted");
  if (auto done = fields.done(); !done) return fail(done.error());
  spec.classification = *classification;
  spec.actor = call.actor.name;
  return spec;
}

Json view_of(const EventTypeDef& def) {
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return {{"tenant", text_or_null(def.tenant.str())},
          {"name", def.name},
          {"description", text_or_null(def.description)},
          {"version", text_or_null(def.version)},
          {"classification", name_of(def.classification)},
          {"deprecated", def.deprecated},
          {"has_schema", !def.schema.empty()},
          {"revision", def.revision},
          {"changed_by", text_or_null(def.changed_by)},
          {"changed_at", time_or_null(def.changed_at)}};
}

// With its schema, which lists leave out: a thousand of them would be too much for one answer.
Json whole_view_of(const EventTypeDef& def) {
  Json view = view_of(def);
  view["schema"] = def.schema.empty() ? Json(nullptr) : Json::parse(def.schema, nullptr, false);
  return view;
}

AuditFact audit_of_type(const Call& call, const char* action, const TypePlace& place) {
  auto fact = audit_of(call.actor, action, "event-types/" + place.name);
  fact.tenant = place.tenant;
  fact.event_type = place.name;
  return fact;
}

bool is_no_deed(const Error& error) {
  return error.errc == Errc::not_found || error.errc == Errc::unavailable;
}

}  // namespace

void Routes::put_event_type(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = type_place_of(*call);
  const auto wait = call->flag("wait", true);
  if (!place) return call->refuse(place.error());
  if (!wait) return call->refuse(wait.error());
  auto spec = read_type(*call);
  if (!spec) return call->refuse(spec.error());
  if (place->tenant.str() == Call::kNobody)
    return call->refuse(
        {Errc::not_found, "NOT_FOUND", "there is no such tenant", "check the tenant in the path"});
  auto only_if = precondition_of(*call);
  if (!only_if) return call->refuse(only_if.error());
  spec->only_if = std::move(*only_if);
  spec->tenant = place->tenant;
  spec->name = place->name;
  spec->wait = *wait;
  service.put_event_type(std::move(*spec), [self = shared_from_this(), call,
                                            fact = audit_of_type(*call, "event_type_updated", *place)](
                                               Result<EventTypeAnswer> answer) mutable {
    if (!answer && is_no_deed(answer.error())) return call->refuse(answer.error());
    if (!answer) return self->tell_outcome(call, fact, &answer.error(), {});
    const bool created = answer->change == ApplyAnswer::Change::created;
    auto shown = tagged(json_answer(created ? 201 : 200, whole_view_of(answer->def)), answer->def.revision);
    if (answer->change == ApplyAnswer::Change::unchanged) return call->answer(std::move(shown));
    if (created) fact.action = "event_type_created";
    self->tell_outcome(call, fact, nullptr, [call, shown] { call->answer(shown); });
  });
}

void Routes::get_event_type(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  const auto place = type_place_of(*call);
  if (!place) return call->refuse(place.error());
  service.show_event_type(place->tenant, place->name, [call](Result<EventTypeDef> def) {
    if (!def) return call->refuse(def.error());
    call->answer(tagged(json_answer(200, whole_view_of(*def)), def->revision));
  });
}

void Routes::delete_event_type(CallPtr call) {
  if (auto fine = call->only({"wait"}); !fine) return call->refuse(fine.error());
  const auto place = type_place_of(*call);
  const auto wait = call->flag("wait", true);
  if (!place) return call->refuse(place.error());
  if (!wait) return call->refuse(wait.error());
  auto only_if = precondition_of(*call);
  if (!only_if) return call->refuse(only_if.error());
  service.delete_event_type(
      place->tenant, place->name, call->actor.name, Terms(*wait, std::move(*only_if)),
      [self = shared_from_this(), call,
       fact = audit_of_type(*call, "event_type_deleted", *place)](Result<bool> deleted) {
        if (!deleted && is_no_deed(deleted.error())) return call->refuse(deleted.error());
        if (!deleted) return self->tell_outcome(call, fact, &deleted.error(), {});
        self->tell_outcome(call, fact, nullptr, [call] {
          call->answer(json_answer(200, {{"deleted", true}}));
        });
      });
}

void Routes::list_event_types(CallPtr call) {
  if (auto fine = call->only({"tenant", "limit", "cursor"}); !fine) return call->refuse(fine.error());
  const auto tenant = call->parameter("tenant");
  if (call->query.contains("tenant") && !is_tenant_or_endpoint_id(tenant))
    return call->refuse({Errc::invalid, "INVALID_REQUEST", "tenant is no tenant id",
                         "use 1 to 64 of A-Z, a-z, 0-9, _ and -"});
  const auto limit = call->limit(kTypesListed, kTypesListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto after = Cursor(*call).place();
  if (!after) return call->refuse(after.error());
  service.list_event_types(
      call->filter_as_seen(TenantId(tenant)), {.after = after->value_or(""), .limit = *limit},
      [call, limit = *limit](Result<std::vector<EventTypeDef>> defs) {
        if (!defs) return call->refuse(defs.error());
        Json next = nullptr;
        if (defs->size() > limit) {
          defs->resize(limit);
          const auto& last = defs->back();
          next = Cursor(*call).next(last.tenant.str() + "/" + last.name);
        }
        Json list = Json::array();
        for (const auto& def : *defs) list.push_back(view_of(def));
        call->answer(json_answer(200, {{"event_types", std::move(list)}, {"next_cursor", std::move(next)}}));
      });
}

}  // namespace postrider
