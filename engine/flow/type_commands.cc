// The part of Commands that changes event types. Two who change one at once end in one state, as with an
// endpoint's def: the record names the revision that it replaces, and the second of them has changed nothing.
#include <utility>

#include "engine/flow/commands.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::size_t kTypesMax = 1000;  // of one tenant, or of the platform
constexpr std::size_t kDescriptionBytesMax = 2048, kVersionBytesMax = 64;

Error no_such_type() {
  return {Errc::not_found, "NOT_FOUND", "there is no such event type",
          "list what there is with `postrider-ops event-types list`"};
}

Error type_changed_meanwhile() {
  return {Errc::conflict, "CONFLICT", "somebody changed this event type at the same time",
          "look at it again with `postrider-ops event-types show`, then repeat the command"};
}

Error type_not_as_demanded() {
  return {Errc::conflict, "PRECONDITION_FAILED",
          "the event type is not what If-Match or If-None-Match demands",
          "read it again and look at what has changed; then repeat the change with its ETag"};
}

Result<void> check_type(const EventTypeSpec& spec) {
  const auto wrong = [](std::string message, std::string suggestion) {
    return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
  };
  if (!spec.tenant.empty() && !is_tenant_or_endpoint_id(spec.tenant.str()))
    return wrong("the tenant is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  if (!is_event_type_name(spec.name))
    return wrong("an event type's name is 1 to 255 visible ASCII characters without '*'",
                 "choose another name, as in order.created");
  if (spec.description.size() > kDescriptionBytesMax || spec.version.size() > kVersionBytesMax)
    return wrong("the description or the version is too long", "at most 2048 and 64 bytes");
  return {};
}

bool is_same(const EventTypeSpec& spec, const EventTypeDef& def) {
  return spec.description == def.description && spec.version == def.version && spec.schema == def.schema &&
         spec.classification == def.classification && spec.deprecated == def.deprecated;
}

}  // namespace

void Commands::put_event_type(EventTypeSpec spec, Answer<EventTypeAnswer> answer) {
  if (auto good = check_type(spec); !good) return answer(fail(good.error()));
  if (auto good = schemas_.check(spec.schema); !good) return answer(fail(good.error()));
  const EventTypes& types = registry_.registry().event_types();
  const EventTypeDef* current = types.find(spec.tenant, spec.name);
  if (!spec.only_if.met(current)) return answer(fail(type_not_as_demanded()));
  if (current && is_same(spec, *current) && knows_now())
    return answer(EventTypeAnswer{ApplyAnswer::Change::unchanged, *current});
  if (!current && types.count_of(spec.tenant) >= kTypesMax)
    return answer(fail(Errc::invalid, "TOO_MANY_EVENT_TYPES", "there are 1000 event types already",
                       "delete some that nobody uses"));
  EventTypeDef def = current ? *current : EventTypeDef{};
  def.tenant = spec.tenant;
  def.name = spec.name;
  def.replaces = types.revision_of(spec.tenant, spec.name);
  def.revision = def.replaces + 1;
  def.description = std::move(spec.description);
  def.version = std::move(spec.version);
  def.schema = std::move(spec.schema);
  def.classification = spec.classification;
  def.deprecated = spec.deprecated;
  def.changed_by = std::move(spec.actor);
  const auto change = current ? ApplyAnswer::Change::updated : ApplyAnswer::Change::created;
  write_event_type(std::move(def), spec.wait, [change, answer](Result<EventTypeDef> written) {
    if (!written) return answer(fail(written.error()));
    answer(EventTypeAnswer{change, *std::move(written)});
  });
}

void Commands::write_event_type(EventTypeDef def, bool wait,
                                std::function<void(Result<EventTypeDef>)> answer) {
  def.changed_at = to_ms(context_.ports.clock.wall());
  std::string value = wire::encode(context_.config.environment, def);
  std::string key = event_type_key(def.tenant, def.name);
  registry_.write(std::move(key), std::move(value),
                  [this, wait, def = std::move(def), answer = std::move(answer)](Result<bool> applied) {
                    if (!applied) return answer(fail(applied.error()));
                    if (!*applied) return answer(fail(type_changed_meanwhile()));
                    after_everywhere(wait, [def, answer] { answer(def); });
                  });
}

void Commands::show_event_type(TenantId tenant, std::string name, Answer<EventTypeDef> answer) {
  const EventTypeDef* found = registry_.registry().event_types().find(tenant, name);
  if (!found) return answer(fail(no_such_type()));
  answer(*found);
}

void Commands::list_event_types(TenantId tenant, PageAsk page, Answer<std::vector<EventTypeDef>> answer) {
  answer(page_of(registry_.registry().event_types().all_of(tenant), page, tenant.empty()));
}

// What is left is its name and revision, so that one who comes late with an older one is told.
void Commands::delete_event_type(TenantId tenant, std::string name, std::string actor, Terms terms,
                                 Answer<bool> answer) {
  const EventTypeDef* found = registry_.registry().event_types().find(tenant, name);
  if (!found) return answer(fail(no_such_type()));
  if (!terms.only_if.met(found)) return answer(fail(type_not_as_demanded()));
  EventTypeDef def;
  def.tenant = std::move(tenant);
  def.name = std::move(name);
  def.replaces = found->revision;
  def.revision = found->revision + 1;
  def.changed_by = std::move(actor);
  def.deleted = true;
  write_event_type(std::move(def), terms.wait, [answer](Result<EventTypeDef> written) {
    if (!written) return answer(fail(written.error()));
    answer(true);
  });
}

}  // namespace postrider::flow
