#pragma once
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/core/bytes.h"
#include "engine/core/request_ledger.h"
#include "engine/ports/log_client.h"
#include "engine/ports/service.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider::test {

// An engine's service that behaves: it keeps endpoints, events and tokens in memory and answers on the API's
// thread through `post`, as main's does. While held, answers wait.
class FakeService : public Service {
 public:
  FakeService() { add_token("tok_first", {"", hash_of("secret-token"), "admin"}); }
  std::function<void(std::function<void()>)> post;

  static std::string hash_of(const std::string& token) {
    const auto digest = sha256(token);
    return hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
  }

  void publish(Event event, bool by_tenant, Answer<Published> answer) override {
    const auto* def = by_tenant ? tenant_defs.find(event.tenant) : nullptr;
    if (def && def->suspended)
      return later(answer, Result<Published>(fail(Errc::denied, "TENANT_SUSPENDED", "suspended", "lift it")));
    if (unavailable) return later(answer, Result<Published>(away()));
    Published published;
    published.event_id = event.id;
    published.webhook_id = webhook_id(event.tenant, event.source, event.id);
    {
      const std::lock_guard lock(mutex_);
      events.push_back(std::move(event));
      published.position = {3, static_cast<Offset>(events.size()) - 1};
    }
    later(answer, Result<Published>(published));
  }

  void publish_to(TenantId tenant, EndpointId id, Event event, Answer<Published> answer) override {
    if (auto known = find(tenant, id); !known) return later(answer, Result<Published>(fail(known.error())));
    if (const auto* def = tenant_defs.find(tenant); def && def->suspended)
      return later(answer, Result<Published>(fail(Errc::denied, "TENANT_SUSPENDED", "suspended", "lift it")));
    event.tenant = tenant;
    event.target = Target{id, Incarnation("inc_1")};
    if (event.id.empty()) event.id = "test_" + std::to_string(published());
    publish(std::move(event), false, std::move(answer));
  }
  void apply_endpoint(EndpointSpec spec, Answer<ApplyAnswer> answer) override {
    ApplyAnswer applied;
    const auto current = find(spec.tenant, spec.id);
    if (!spec.only_if.met(current ? &current->def : nullptr))
      return later(answer, Result<ApplyAnswer>(not_as_demanded()));
    auto& known = endpoints[{spec.tenant, spec.id}];
    const bool fresh = known.def.id.empty();
    applied.change = fresh                       ? ApplyAnswer::Change::created
                     : known.def.url == spec.url ? ApplyAnswer::Change::unchanged
                                                 : ApplyAnswer::Change::updated;
    applied.incarnation = Incarnation("inc_1");
    applied.revision = known.def.revision + (applied.change == ApplyAnswer::Change::unchanged ? 0 : 1);
    if (applied.change == ApplyAnswer::Change::updated) applied.differences = {"url: changed"};
    if (fresh && spec.secrets.empty()) applied.new_secret = Secret("whsec_shownOnce");
    if (!spec.dry_run) {
      known.def.tenant = spec.tenant;
      known.def.id = spec.id;
      known.def.url = spec.url;
      known.def.types = spec.types;
      known.def.retry = spec.retry;
      known.def.revision = applied.revision;
    } else if (fresh) {
      endpoints.erase({spec.tenant, spec.id});
    }
    last_spec = std::move(spec);
    later(answer, Result<ApplyAnswer>(std::move(applied)));
  }

  void list_endpoints(TenantId tenant, PageAsk page, Answer<std::vector<EndpointView>> answer) override {
    std::vector<EndpointView> views;
    for (const auto& [key, view] : endpoints)
      if ((tenant.empty() || key.first == tenant) && key.first.str() + "/" + key.second.str() > page.after &&
          views.size() <= page.limit)
        views.push_back(view);
    later(answer, Result<std::vector<EndpointView>>(std::move(views)));
  }
  void show_endpoint(TenantId tenant, EndpointId id, Answer<EndpointView> answer) override {
    later(answer, find(tenant, id));
  }
  void disable_endpoint(TenantId tenant, EndpointId id, std::string why, std::string actor, Terms terms,
                        Answer<EndpointView> answer) override {
    auto view = demanded(tenant, id, terms.only_if);
    if (view) {
      ++view->def.revision;
      view->stopped = {Stop::disabled, why, 1'700'000'000'000, actor};
      view->health = HealthState::disabled;
      endpoints[{tenant, id}] = *view;
    }
    later(answer, std::move(view));
  }
  void enable_endpoint(TenantId tenant, EndpointId id, std::string, Terms terms,
                       Answer<EndpointView> answer) override {
    auto view = demanded(tenant, id, terms.only_if);
    if (view) {
      ++view->def.revision;
      view->stopped = {};
      view->health = HealthState::healthy;
      endpoints[{tenant, id}] = *view;
    }
    later(answer, std::move(view));
  }
  void delete_endpoint(TenantId tenant, EndpointId id, std::string, Terms terms,
                       Answer<bool> answer) override {
    const auto view = demanded(tenant, id, terms.only_if);
    if (!view) return later(answer, Result<bool>(fail(view.error())));
    endpoints.erase({tenant, id});
    later(answer, Result<bool>(true));
  }
  void prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) override {
    auto view = demanded(proof.tenant, proof.endpoint, proof.only_if);
    last_proof = std::move(proof);
    later(answer, std::move(view));
  }
  void rotate_secret(SecretRotation rotation, Answer<ApplyAnswer> answer) override {
    auto view = demanded(rotation.tenant, rotation.endpoint, rotation.only_if);
    if (!view) return later(answer, Result<ApplyAnswer>(fail(view.error())));
    ApplyAnswer applied;
    applied.change = ApplyAnswer::Change::updated;
    applied.differences = {"secrets: one added"};
    if (!rotation.secret) applied.new_secret = Secret("whsec_shownOnce");
    last_rotation = std::move(rotation);
    later(answer, Result<ApplyAnswer>(std::move(applied)));
  }
  void revoke_secret(TenantId tenant, EndpointId id, std::string secret_id, std::string, Terms terms,
                     Answer<ApplyAnswer> answer) override {
    auto view = demanded(tenant, id, terms.only_if);
    if (!view) return later(answer, Result<ApplyAnswer>(fail(view.error())));
    if (secret_id == "sec_last")
      return later(answer, Result<ApplyAnswer>(fail(Errc::conflict, "LAST_SECRET",
                                                    "no other secret signs for this endpoint", "rotate it")));
    ApplyAnswer applied;
    applied.change = ApplyAnswer::Change::updated;
    applied.differences = {"secrets: " + secret_id + " revoked"};
    later(answer, Result<ApplyAnswer>(std::move(applied)));
  }
  // The fold is the registry's; the revisions are written as a writer would.
  void put_event_type(EventTypeSpec spec, Answer<EventTypeAnswer> answer) override {
    const auto* current = event_types.find(spec.tenant, spec.name);
    if (!spec.only_if.met(current)) return later(answer, Result<EventTypeAnswer>(not_as_demanded()));
    const bool known = current != nullptr;
    EventTypeDef def;
    def.description = spec.description;
    def.version = spec.version;
    def.schema = spec.schema;
    def.classification = spec.classification;
    def.deprecated = spec.deprecated;
    def.changed_by = spec.actor;
    write(def, spec.tenant, spec.name);
    later(answer, Result<EventTypeAnswer>(
                      {known ? ApplyAnswer::Change::updated : ApplyAnswer::Change::created, def}));
  }
  void show_event_type(TenantId tenant, std::string name, Answer<EventTypeDef> answer) override {
    const auto* found = event_types.find(tenant, name);
    later(answer, found ? Result<EventTypeDef>(*found) : Result<EventTypeDef>(missing()));
  }
  void list_event_types(TenantId tenant, PageAsk page, Answer<std::vector<EventTypeDef>> answer) override {
    later(answer,
          Result<std::vector<EventTypeDef>>(page_of(event_types.all_of(tenant), page, tenant.empty())));
  }
  void delete_event_type(TenantId tenant, std::string name, std::string, Terms terms,
                         Answer<bool> answer) override {
    const auto* current = event_types.find(tenant, name);
    if (!current) return later(answer, Result<bool>(missing()));
    if (!terms.only_if.met(current)) return later(answer, Result<bool>(not_as_demanded()));
    EventTypeDef def;
    def.deleted = true;
    write(def, tenant, name);
    later(answer, Result<bool>(true));
  }
  void add_event_type(const TenantId& tenant, const std::string& name) {
    EventTypeDef def;
    if (!event_types.find(tenant, name)) write(def, tenant, name);
  }
  void put_tenant(TenantSpec spec, Answer<TenantAnswer> answer) override {
    const auto* current = tenant_defs.find(spec.id);
    if (!spec.only_if.met(current)) return later(answer, Result<TenantAnswer>(not_as_demanded()));
    const auto change = current ? ApplyAnswer::Change::updated : ApplyAnswer::Change::created;
    const bool was_suspended = current && current->suspended;
    if (spec.endpoints_max > 100u && !spec.may_raise)
      return later(answer, Result<TenantAnswer>(
                               fail(Errc::denied, "PERMISSION_DENIED", "more than 100", "ask an admin")));
    TenantDef def;
    def.name = spec.name;
    def.description = spec.description;
    def.endpoints_max = spec.endpoints_max;
    def.suspended = spec.suspended.value_or(current && current->suspended);
    def.changed_by = spec.actor;
    write(def, spec.id);
    later(answer, Result<TenantAnswer>({change, tenants()[spec.id], was_suspended}));
  }
  void show_tenant(TenantId tenant, Answer<TenantView> answer) override {
    auto all = tenants();
    const auto found = all.find(tenant);
    later(answer, found == all.end() ? Result<TenantView>(missing()) : Result<TenantView>(found->second));
  }
  void list_tenants(PageAsk page, Answer<std::vector<TenantView>> answer) override {
    std::vector<TenantView> views;
    for (auto& [id, view] : tenants())
      if (id.str() > page.after && views.size() <= page.limit) views.push_back(view);
    later(answer, Result<std::vector<TenantView>>(std::move(views)));
  }
  void delete_tenant(TenantId tenant, std::string, Terms terms, Answer<bool> answer) override {
    const auto* current = tenant_defs.find(tenant);
    if (!current) return later(answer, Result<bool>(missing()));
    if (!terms.only_if.met(current)) return later(answer, Result<bool>(not_as_demanded()));
    if (current->suspended)
      return later(answer, Result<bool>(fail(Errc::conflict, "TENANT_IN_USE", "suspended", "lift it")));
    if (tenants()[tenant].endpoints > 0)
      return later(answer, Result<bool>(fail(Errc::conflict, "TENANT_IN_USE", "endpoints", "delete them")));
    TenantDef def;
    def.deleted = true;
    write(def, tenant);
    later(answer, Result<bool>(true));
  }
  void add_tenant(const TenantId& tenant, const std::string& name) {
    TenantDef def;
    def.name = name;
    if (!tenant_defs.find(tenant)) write(def, tenant);
  }
  std::map<TenantId, TenantView> tenants() const {
    std::map<TenantId, TenantView> views;
    for (const auto* def : tenant_defs.all()) views[def->id].def = *def;
    for (const auto& [key, endpoint] : endpoints) {
      ++views[key.first].endpoints;
      if (endpoint.stopped.stop != Stop::none) ++views[key.first].stopped;
    }
    for (const auto& token : tokens.tokens())
      if (!token.tenant.empty() && !token.revoked && (token.expires_at == 0 || token.expires_at > now_ms))
        ++views[token.tenant].tokens;
    for (auto& [id, view] : views) view.id = id;
    return views;
  }
  void find_deliveries(std::string id, Answer<std::vector<DeliveryId>> answer) override {
    std::vector<DeliveryId> ids;
    for (const auto& [delivery_id, delivery] : deliveries)
      if (delivery_id.str() == id || delivery.ref()->event_id == id) ids.push_back(delivery_id);
    later(answer, Result<std::vector<DeliveryId>>(std::move(ids)));
  }
  void show_delivery(DeliveryId id, Answer<Delivery> answer) override {
    const auto found = deliveries.find(id);
    later(answer, found == deliveries.end() ? Result<Delivery>(missing()) : Result<Delivery>(found->second));
  }
  // Seals are the text "sealed:" and an event's id.
  void open_payload(TenantId tenant, std::string, std::string sealed, Answer<Secret> answer) override {
    if (!sealed.starts_with("sealed:"))
      return later(answer, Result<Secret>(fail(Errc::unavailable, "KEY_UNAVAILABLE", "no key", "try again")));
    Event event;
    event.id = sealed.substr(7);
    event.source = "/shop";
    event.type = "order.created";
    event.tenant = tenant;
    event.data = "data of " + event.id;
    later(answer, Result<Secret>(Secret(wire::format_protobuf(event))));
  }
  void create_token(TokenSpec spec, Answer<MadeToken> answer) override {
    MadeToken made;
    made.fact = {spec.id.empty() ? "tok_" + spec.name : spec.id, hash_of("ptk_" + spec.name),
                 format_scopes(spec.scopes), now_ms};
    made.fact.tenant = spec.tenant;
    made.fact.name = spec.name;
    made.fact.created_by = spec.created_by;
    made.fact.expires_at = spec.expires_at;
    made.fact.review_at = spec.review_at;
    made.token = Secret("ptk_" + spec.name);
    add_token(made.fact.id, made.fact);
    later(answer, Result<MadeToken>(std::move(made)));
  }
  void revoke_token(TenantId within, std::string id, Answer<TokenFact> answer) override {
    const TokenFact* found = tokens.find_token(id);
    if (!found || (!within.empty() && found->tenant != within)) {
      return later(answer, Result<TokenFact>(missing()));
    }
    add_token(id, *found, true);
    later(answer, Result<TokenFact>(*tokens.find_token(id)));
  }
  void list_tokens(TenantId within, Answer<std::vector<TokenView>> answer) override {
    std::vector<TokenView> all;
    for (auto& one : tokens.tokens())
      if (within.empty() || one.tenant == within) all.push_back({one, tokens.last_used(one.id)});
    later(answer, Result<std::vector<TokenView>>(std::move(all)));
  }
  void rotate_admin_token(Answer<Secret> answer) override {
    for (const TokenFact& before : tokens.tokens()) add_token(before.id, before, true);
    add_token("tok_fresh", {"", hash_of("fresh-token"), "admin"});
    later(answer, Result<Secret>(Secret("fresh-token")));
  }
  void grant_of(std::string hash, Answer<std::optional<Grant>> answer) override {
    ++token_checks;
    later(answer, Result<std::optional<Grant>>(tokens.grant_of(hash, now_ms)), true);
  }
  // As the engine does it, over the log that the API reads answers from.
  void begin_request(RequestClaim claim, Answer<ClaimedRequest> answer) override {
    RequestFact fact;
    fact.key = claim.key;
    fact.fingerprint = claim.fingerprint;
    fact.token_id = claim.token_id;
    using State = RequestLedger::State;
    using Kind = ClaimedRequest::Kind;
    const auto found = ledger.find(fact, from_ms<LogTime>(now_ms));
    ClaimedRequest claimed;
    claimed.kind = found.state == State::answered    ? Kind::answered
                   : found.state == State::different ? Kind::different
                   : found.state == State::full      ? Kind::full
                                                     : Kind::under_way;
    claimed.answer = found.answer;
    if (found.state == State::fresh) {
      claimed.kind = Kind::run;
      fact.run = "run_" + std::to_string(++runs);
      fact.origin = found.origin.empty() ? fact.run : found.origin;
      claimed.run = fact.run;
      claimed.origin = fact.origin;
      append_request(fact);
    }
    later(answer, Result<ClaimedRequest>(claimed), true);
  }
  void end_request(RequestEnd end, Answer<bool> answer) override {
    RequestFact fact;
    fact.key = end.claim.key;
    fact.run = end.run;
    fact.tenant = end.tenant;
    fact.step = end.answer ? RequestFact::Step::answered : RequestFact::Step::released;
    if (end.answer) fact.sealed_answer = "sealed:" + std::string(end.answer->reveal());
    append_request(fact);
    later(answer, Result<bool>(true), true);
  }
  void open_answer(TenantId, std::string sealed, Answer<Secret> answer) override {
    later(answer, Result<Secret>(Secret(sealed.substr(7))), true);
  }
  void append_request(const RequestFact& fact) {
    NewRecord record{.topic = Topic::requests, .partition = 0, .key = fact.key, .value = {}, .headers = {}};
    record.value = wire::encode(environment, fact);
    const auto appended = requests_log->append(std::move(record));
    ledger.apply(fact, appended->offset, from_ms<LogTime>(now_ms));
  }
  // On the API's thread, or before it is asked.
  void add_token(const std::string& id, TokenFact token, bool revoked = false) {
    token.id = id;
    token.revoked = revoked;
    tokens.apply(token, id + (revoked ? " revoked" : ""));
  }
  void readiness(Answer<Readiness> answer) override {
    Readiness readiness;
    readiness.log_reachable = readiness.registry_read = readiness.store_open = readiness.consuming =
        !unavailable;
    if (unavailable) readiness.complaints = {"the log is away"};
    readiness.notes = notes;
    later(answer, Result<Readiness>(std::move(readiness)));
  }

  // Keeps answers back; release() gives them.
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  std::size_t waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  void release() {
    std::deque<std::function<void()>> ready;
    {
      const std::lock_guard lock(mutex_);
      held_ = false;
      ready.swap(waiting_);
    }
    for (auto& each : ready) post(std::move(each));
  }
  std::size_t published() {
    const std::lock_guard lock(mutex_);
    return events.size();
  }

  std::map<std::pair<TenantId, EndpointId>, EndpointView> endpoints;
  std::map<DeliveryId, Delivery> deliveries;
  std::vector<Event> events;
  EventTypes event_types;
  Tenants tenant_defs;
  EndpointSpec last_spec;
  EndpointProof last_proof;
  SecretRotation last_rotation;
  Registry tokens;
  std::int64_t now_ms = 1'700'000'000'000;
  std::atomic<int> token_checks{0};
  std::atomic<bool> unavailable{false};
  LogClient* requests_log = nullptr;
  Environment environment{"test"};
  RequestLedger ledger;
  int runs = 0;
  std::vector<std::string> notes;  // of readiness; set before it is asked

 private:
  static tl::unexpected<Error> away() {
    return fail(Errc::unavailable, "SERVICE_UNAVAILABLE", "the log is away", "try again");
  }
  static tl::unexpected<Error> missing() {
    return fail(Errc::not_found, "NOT_FOUND", "no such thing", "look");
  }
  Result<EndpointView> find(const TenantId& tenant, const EndpointId& id) {
    const auto found = endpoints.find({tenant, id});
    if (found == endpoints.end()) return missing();
    return found->second;
  }
  static tl::unexpected<Error> not_as_demanded() {
    return fail(Errc::conflict, "PRECONDITION_FAILED", "another revision", "read again");
  }
  Result<EndpointView> demanded(const TenantId& tenant, const EndpointId& id, const Precondition& only_if) {
    auto view = find(tenant, id);
    if (view && !only_if.met(&view->def)) return not_as_demanded();
    return view;
  }
  void write(EventTypeDef& def, const TenantId& tenant, const std::string& name) {
    def.tenant = tenant;
    def.name = name;
    def.replaces = event_types.revision_of(tenant, name);
    def.revision = def.replaces + 1;
    event_types.apply(def, false);
  }
  void write(TenantDef& def, const TenantId& tenant) {
    def.id = tenant;
    def.replaces = tenant_defs.revision_of(tenant);
    def.revision = def.replaces + 1;
    tenant_defs.apply(def, false);
  }
  template <class T>
  void later(Answer<T> answer, Result<T> result, bool at_once = false) {
    auto shared = std::make_shared<Result<T>>(std::move(result));
    auto call = [answer = std::move(answer), shared] { answer(std::move(*shared)); };
    {
      const std::lock_guard lock(mutex_);
      if (held_ && !at_once) return waiting_.push_back(std::move(call));
    }
    post(std::move(call));
  }

  std::mutex mutex_;
  bool held_ = false;
  std::deque<std::function<void()>> waiting_;
};

}  // namespace postrider::test
