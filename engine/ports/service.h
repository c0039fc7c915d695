#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/delivery.h"
#include "engine/core/endpoint.h"
#include "engine/core/event.h"
#include "engine/core/health.h"
#include "engine/core/registry.h"
#include "engine/core/result.h"
#include "engine/core/secret.h"

namespace postrider {

// What an endpoint, event type or tenant must be for a change to be made (RFC 9110 §13); of none: anything.
// Not met: PRECONDITION_FAILED, and nothing has changed.
struct Precondition {
  bool absent = false;                                  // If-None-Match: *
  std::optional<std::vector<std::uint64_t>> revisions;  // If-Match: one of those
  bool any = false;                                     // If-Match: *
  bool met(const EndpointDef* current) const;
  bool met(const EventTypeDef* current) const;
  bool met(const TenantDef* current) const;
  // By what has that revision; nullopt: by nothing.
  bool met_by(std::optional<std::uint64_t> revision) const;
};

// On what terms a change is made.
struct Terms {
  // NOLINTNEXTLINE(google-explicit-constructor): where nothing is demanded, it is whether to wait
  Terms(bool wait_everywhere, Precondition demanded = {})
      : wait(wait_everywhere), only_if(std::move(demanded)) {}
  bool wait;  // answer once it is in force everywhere
  Precondition only_if;
};

// What a caller declares of an endpoint; everything else is ours to fill in.
struct EndpointSpec {
  TenantId tenant;
  EndpointId id;
  std::string url;  // whole, its query included
  std::vector<std::string> types{"*"};
  RetryPolicy retry;
  Scheme scheme = Scheme::standard_webhooks;
  BodyFormat format = BodyFormat::binary;
  EndpointLimits limits;
  // The signing secrets that shall be active. Empty: keep what there is; at creation one is made.
  std::vector<SigningSecret> secrets;
  std::string actor;
  bool by_tenant = false;  // a tenant's token declares it: its receiver may have to prove itself
  bool dry_run = false;
  bool wait = true;  // answer once it is in force everywhere
  Precondition only_if;
};

struct ApplyAnswer {
  enum class Change { created, updated, unchanged } change = Change::unchanged;
  std::vector<std::string> differences;  // "url: https://a → https://b"; no secret, no query
  Incarnation incarnation;
  std::uint64_t revision = 0;
  Secret new_secret;  // made by us: shown this once; else empty
};

// One more secret signs, beside those that do for a while longer.
struct SecretRotation {
  TenantId tenant;
  EndpointId endpoint;
  std::optional<SigningSecret> secret;  // nullopt: one is made
  Millis overlap{0};                    // how long the others still sign; 0: no longer
  std::string actor;
  bool wait = true;
  Precondition only_if;
};

// How an endpoint is proven: by the value that its receiver was sent, or on the platform's word. Neither: it
// is asked anew.
struct EndpointProof {
  TenantId tenant;
  EndpointId endpoint;
  std::optional<std::string> challenge;
  bool vouched = false;
  std::string actor;
  bool wait = true;
  Precondition only_if;
};

struct EndpointView {
  EndpointDef def;
  HealthState health = HealthState::healthy;
  Endpoint::Stopped stopped;
  std::uint64_t held = 0;  // parked while stopped
  std::uint64_t queued = 0;
  std::uint64_t in_flight = 0;
  std::vector<EndpointSecret> secrets;  // sealed bytes blanked
};

// One page of a list that is kept in order.
struct PageAsk {
  std::string after;  // what the page before ended with; empty: from the beginning
  std::size_t limit = 1000;
};

// The part of `defs`, which are in order, that the page asks for, and one more. `all`: of every tenant; else
// a name is in it once, and stands for itself.
std::vector<EventTypeDef> page_of(const std::vector<const EventTypeDef*>& defs, const PageAsk& page,
                                  bool all);

struct TokenSpec {
  std::string id;    // empty: one is made. Of a token that there is: it is made anew, the former text is void
  std::string name;  // what it is for
  TenantId tenant;   // empty: the platform's
  Scopes scopes;
  std::int64_t expires_at = 0, review_at = 0;  // unix ms
  std::string created_by;
};

struct TokenView {
  TokenFact fact;
  std::int64_t used_day = 0;  // unix ms, when the day of its last use began, UTC; 0: never
};

struct MadeToken {
  TokenFact fact;
  Secret token;  // shown this once
};

// What a caller declares of an event type; everything else is ours to fill in.
struct EventTypeSpec {
  TenantId tenant;  // empty: the platform's
  std::string name, description, version;
  std::string schema;  // JSON text; empty: none
  Classification classification = Classification::internal;
  bool deprecated = false;
  std::string actor;
  bool wait = true;
  Precondition only_if;
};

struct EventTypeAnswer {
  ApplyAnswer::Change change = ApplyAnswer::Change::unchanged;
  EventTypeDef def;
};

// What a caller declares of a tenant; everything else is ours to fill in.
struct TenantSpec {
  TenantId id;
  std::string name, description;
  std::optional<std::uint32_t> endpoints_max;  // nullopt: as configured
  std::optional<bool> suspended;               // nullopt: as it is
  bool may_raise = false;                      // endpoints_max above what is configured
  std::string actor;
  bool wait = true;
  Precondition only_if;
};

// A tenant as it is: what somebody said of it, and what is declared for it.
struct TenantView {
  TenantId id;
  std::optional<TenantDef> def;            // nullopt: nobody said anything
  std::size_t endpoints = 0, stopped = 0;  // living; those that take nothing for now
  std::size_t tokens = 0;                  // active ones that are bound to it
};

struct TenantAnswer {
  ApplyAnswer::Change change = ApplyAnswer::Change::unchanged;
  TenantView view;
  bool was_suspended = false;  // before this
};

struct Published {
  std::string event_id;
  WebhookId webhook_id;
  Position position;
};

// A request under an Idempotency-Key that somebody wants to run.
struct RequestClaim {
  std::string key;          // 16 bytes: a hash of whose token, which route and which Idempotency-Key
  std::string fingerprint;  // 16 bytes: a hash of what is asked
  std::string token_id;
};

struct ClaimedRequest {
  enum class Kind {
    run,        // it is the caller's: end_request() ends it
    answered,   // done before: its answer stands at `answer` of `requests`
    under_way,  // somebody else runs it
    different,  // the key stands for another request
    full,       // too many are kept
  } kind = Kind::run;
  std::string run;
  // The same for each run of a request as long as nobody knows what came of the former one: names of what it
  // makes are taken from it, so that it makes nothing twice.
  std::string origin;
  Offset answer = 0;
};

struct RequestEnd {
  RequestClaim claim;
  std::string run;
  TenantId tenant;               // whose key seals the answer; empty: the environment's own
  std::optional<Secret> answer;  // nullopt: it may be run again
};

struct Readiness {
  bool log_reachable = false, registry_read = false, registry_fresh = false, store_open = false,
       consuming = false;               // or waiting for an assignment
  std::vector<std::string> complaints;  // sentences; empty: ready
  std::vector<std::string> notes;       // sentences on what is not as usual, and costs no readiness
  bool ready() const { return complaints.empty(); }
};

// What the HTTP API asks of a running engine. Called on the API's thread; every answer comes back through the
// callback, on the API's thread. main connects it to the shard's thread.
class Service {
 public:
  template <class T>
  using Answer = std::function<void(Result<T>)>;

  virtual ~Service() = default;
  // `by_tenant`: under a token that is bound to the event's tenant, which is refused while that is suspended.
  virtual void publish(Event event, bool by_tenant, Answer<Published> answer) = 0;
  // To that endpoint alone, whatever types it takes. The event's id is made if it has none. TENANT_SUSPENDED
  // (denied): its tenant is, whoever asks.
  virtual void publish_to(TenantId tenant, EndpointId id, Event event, Answer<Published> answer) = 0;
  virtual void apply_endpoint(EndpointSpec spec, Answer<ApplyAnswer> answer) = 0;
  // By tenant and id, behind "tenant/id" `page.after`; at most one more than `page.limit`: then there are
  // more. No tenant: of all.
  virtual void list_endpoints(TenantId tenant, PageAsk page, Answer<std::vector<EndpointView>> answer) = 0;
  virtual void show_endpoint(TenantId tenant, EndpointId id, Answer<EndpointView> answer) = 0;
  virtual void disable_endpoint(TenantId tenant, EndpointId id, std::string why, std::string actor,
                                Terms terms, Answer<EndpointView> answer) = 0;
  virtual void enable_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                               Answer<EndpointView> answer) = 0;
  virtual void delete_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                               Answer<bool> answer) = 0;
  // Errors besides those of apply_endpoint(): TOO_MANY_SECRETS (conflict).
  virtual void rotate_secret(SecretRotation rotation, Answer<ApplyAnswer> answer) = 0;
  // At once, also for what is on its way to be sent. LAST_SECRET (conflict): no other one signs.
  virtual void revoke_secret(TenantId tenant, EndpointId id, std::string secret_id, std::string actor,
                             Terms terms, Answer<ApplyAnswer> answer) = 0;
  // Of one that is proven: nothing changes. WRONG_CHALLENGE (invalid), RATE_LIMITED (overloaded).
  virtual void prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) = 0;
  // TOO_MANY_EVENT_TYPES, INVALID_SCHEMA (invalid); CONFLICT.
  virtual void put_event_type(EventTypeSpec spec, Answer<EventTypeAnswer> answer) = 0;
  // The tenant's own alone; empty: the platform's.
  virtual void show_event_type(TenantId tenant, std::string name, Answer<EventTypeDef> answer) = 0;
  // What holds for a tenant, the platform's included, by name; no tenant: every one's, by tenant and name.
  // Behind "tenant/name" `page.after`; at most one more than `page.limit`: then there are more.
  virtual void list_event_types(TenantId tenant, PageAsk page, Answer<std::vector<EventTypeDef>> answer) = 0;
  virtual void delete_event_type(TenantId tenant, std::string name, std::string actor, Terms terms,
                                 Answer<bool> answer) = 0;
  // CONFLICT; PERMISSION_DENIED (denied): it would raise endpoints_max.
  virtual void put_tenant(TenantSpec spec, Answer<TenantAnswer> answer) = 0;
  // Of one for which nothing is declared: not_found.
  virtual void show_tenant(TenantId tenant, Answer<TenantView> answer) = 0;
  // Everyone for whom something is declared, by id, behind `page.after`; at most one more than `page.limit`.
  virtual void list_tenants(PageAsk page, Answer<std::vector<TenantView>> answer) = 0;
  // What was said of it. not_found: nothing was. TENANT_IN_USE (conflict): it has endpoints.
  virtual void delete_tenant(TenantId tenant, std::string actor, Terms terms, Answer<bool> answer) = 0;
  // The delivery ids that the view knows under a webhook-id or an event id; a delivery id answers itself.
  virtual void find_deliveries(std::string id, Answer<std::vector<DeliveryId>> answer) = 0;
  // not_found: look on the log. So it is for what has not ended and is in another instance's partition.
  virtual void show_delivery(DeliveryId id, Answer<Delivery> answer) = 0;
  // The sealed payload of a dead letter, or of a replay that carries one. `target`: "endpoint:incarnation";
  // no tenant and no target: a bad event's. Keys' errors.
  virtual void open_payload(TenantId tenant, std::string target, std::string sealed,
                            Answer<Secret> answer) = 0;
  // Both answer once it is in force everywhere.
  virtual void create_token(TokenSpec spec, Answer<MadeToken> answer) = 0;
  virtual void revoke_token(TenantId within, std::string id, Answer<TokenFact> answer) = 0;
  // Revoked and expired ones included. `within`: a tenant's own; empty: all.
  virtual void list_tokens(TenantId within, Answer<std::vector<TokenView>> answer) = 0;
  virtual void rotate_admin_token(Answer<Secret> answer) = 0;
  // What becomes of requests under an Idempotency-Key holds on every instance (core/request_ledger.h).
  virtual void begin_request(RequestClaim claim, Answer<ClaimedRequest> answer) = 0;
  virtual void end_request(RequestEnd end, Answer<bool> answer) = 0;
  virtual void open_answer(TenantId tenant, std::string sealed, Answer<Secret> answer) = 0;
  // nullopt: there is no such token, or no longer.
  virtual void grant_of(std::string token_hash_hex, Answer<std::optional<Grant>> answer) = 0;
  virtual void readiness(Answer<Readiness> answer) = 0;
};

}  // namespace postrider
