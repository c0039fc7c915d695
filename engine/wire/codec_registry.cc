// Topic `endpoints`.
#include "engine/wire/codec.h"
#include "engine/wire/codec_common.h"

namespace postrider::wire {
namespace {

void fill(v1::RetryPolicy& message, const RetryPolicy& policy) {
  message.set_kind(static_cast<v1::RetryPolicy::Kind>(policy.kind));
  for (const Millis delay : policy.delays) message.add_delay_ms(delay.count());
}

RetryPolicy read(const v1::RetryPolicy& message) {
  RetryPolicy policy;
  policy.kind = static_cast<RetryPolicy::Kind>(message.kind());
  for (const std::int64_t delay : message.delay_ms()) policy.delays.emplace_back(delay);
  return policy;
}

// An endpoint that is to be signed, shaped or retried in a way that we do not know is not ours to guess at.
bool is_known(const v1::EndpointDef& def) {
  return v1::EndpointDef::Scheme_IsValid(def.scheme()) && v1::EndpointDef::Format_IsValid(def.format()) &&
         v1::RetryPolicy::Kind_IsValid(def.retry().kind());
}

EndpointDef read(const v1::EndpointDef& def) {
  EndpointDef fact;
  fact.tenant = TenantId(def.tenant());
  fact.id = EndpointId(def.id());
  fact.incarnation = Incarnation(def.incarnation());
  fact.revision = def.revision();
  fact.replaces = def.replaces();
  fact.url = def.url();
  fact.sealed_query = def.sealed_query();
  fact.types.assign(def.types().begin(), def.types().end());
  fact.retry = read(def.retry());
  fact.scheme = static_cast<Scheme>(def.scheme());
  fact.format = static_cast<BodyFormat>(def.format());
  fact.limits = {def.concurrency(), def.queue_max(), def.rate_per_second()};
  fact.disabled = def.disabled();
  fact.disabled_why = def.disabled_why();
  fact.changed_by = def.changed_by();
  fact.changed_at = def.changed_at();
  fact.enable_revision = def.enable_revision();
  fact.deleted = def.deleted();
  fact.sealed_challenge = def.sealed_challenge();
  fact.challenged_at = def.challenged_at();
  fact.proven_by = def.proven_by();
  fact.secret_ids.assign(def.secret_ids().begin(), def.secret_ids().end());
  return fact;
}

EndpointSecret read(const v1::EndpointSecret& secret) {
  EndpointSecret fact;
  fact.tenant = TenantId(secret.tenant());
  fact.endpoint = EndpointId(secret.endpoint());
  fact.incarnation = Incarnation(secret.incarnation());
  fact.id = secret.id();
  // A state beyond `revoked`, of a newer version, keeps its number: it is further, and does not sign.
  fact.state = static_cast<SecretState>(secret.state());
  fact.created_at = secret.created_at();
  fact.expires_at = secret.expires_at();
  fact.sealed = secret.sealed();
  fact.digest = secret.digest();
  return fact;
}

TokenFact read(const v1::Token& token) {
  TokenFact fact;
  fact.id = token.id();
  fact.hash = token.hash().empty() ? token.limited_hash() : token.hash();
  fact.scope = token.scope();
  fact.created_at = token.created_at();
  fact.revoked = token.revoked();
  fact.tenant = TenantId(token.tenant());
  fact.name = token.name();
  fact.created_by = token.created_by();
  fact.expires_at = token.expires_at();
  fact.review_at = token.review_at();
  return fact;
}

EventTypeDef read(const v1::EventTypeDef& def) {
  EventTypeDef fact;
  fact.tenant = TenantId(def.tenant());
  fact.name = def.name();
  fact.revision = def.revision();
  fact.replaces = def.replaces();
  fact.description = def.description();
  fact.version = def.version();
  fact.schema = def.schema();
  // It only informs: one of a newer version keeps its number.
  fact.classification = static_cast<Classification>(def.classification());
  fact.deprecated = def.deprecated();
  fact.changed_by = def.changed_by();
  fact.changed_at = def.changed_at();
  fact.deleted = def.deleted();
  return fact;
}

TenantDef read(const v1::TenantDef& def) {
  TenantDef fact;
  fact.id = TenantId(def.id());
  fact.revision = def.revision();
  fact.replaces = def.replaces();
  fact.name = def.name();
  fact.description = def.description();
  if (def.has_endpoints_max()) fact.endpoints_max = def.endpoints_max();
  fact.suspended = def.suspended();
  fact.resumed_at = def.resumed_at();
  fact.changed_by = def.changed_by();
  fact.changed_at = def.changed_at();
  fact.deleted = def.deleted();
  return fact;
}

}  // namespace

std::string encode(const Environment& environment, const EndpointDef& fact) {
  v1::RegistryRecord record;
  record.set_environment(environment.str());
  v1::EndpointDef& def = *record.mutable_endpoint();
  def.set_tenant(fact.tenant.str());
  def.set_id(fact.id.str());
  def.set_incarnation(fact.incarnation.str());
  def.set_revision(fact.revision);
  def.set_replaces(fact.replaces);
  def.set_url(fact.url);
  def.set_sealed_query(fact.sealed_query);
  for (const std::string& type : fact.types) def.add_types(type);
  fill(*def.mutable_retry(), fact.retry);
  def.set_scheme(static_cast<v1::EndpointDef::Scheme>(fact.scheme));
  def.set_format(static_cast<v1::EndpointDef::Format>(fact.format));
  def.set_concurrency(fact.limits.concurrency);
  def.set_queue_max(fact.limits.queue_max);
  def.set_rate_per_second(fact.limits.rate_per_second);
  def.set_sealed_challenge(fact.sealed_challenge);
  def.set_challenged_at(fact.challenged_at);
  def.set_proven_by(fact.proven_by);
  def.set_disabled(fact.disabled);
  def.set_disabled_why(fact.disabled_why);
  def.set_changed_by(fact.changed_by);
  def.set_changed_at(fact.changed_at);
  def.set_enable_revision(fact.enable_revision);
  def.set_deleted(fact.deleted);
  for (const std::string& id : fact.secret_ids) def.add_secret_ids(id);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const EndpointSecret& fact) {
  v1::RegistryRecord record;
  record.set_environment(environment.str());
  v1::EndpointSecret& secret = *record.mutable_secret();
  secret.set_tenant(fact.tenant.str());
  secret.set_endpoint(fact.endpoint.str());
  secret.set_incarnation(fact.incarnation.str());
  secret.set_id(fact.id);
  secret.set_state(static_cast<v1::EndpointSecret::State>(fact.state));
  secret.set_created_at(fact.created_at);
  secret.set_expires_at(fact.expires_at);
  secret.set_sealed(fact.sealed);
  secret.set_digest(fact.digest);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const TokenFact& fact) {
  v1::RegistryRecord record;
  record.set_environment(environment.str());
  v1::Token& token = *record.mutable_token();
  token.set_id(fact.id);
  if (fact.is_administrators() && fact.expires_at == 0) {
    token.set_hash(fact.hash);
  } else {
    token.set_limited_hash(fact.hash);
  }
  token.set_scope(fact.scope);
  token.set_created_at(fact.created_at);
  token.set_revoked(fact.revoked);
  token.set_tenant(fact.tenant.str());
  token.set_name(fact.name);
  token.set_created_by(fact.created_by);
  token.set_expires_at(fact.expires_at);
  token.set_review_at(fact.review_at);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const TokenUseFact& fact) {
  v1::RegistryRecord record;
  record.set_environment(environment.str());
  record.mutable_token_use()->set_id(fact.id);
  record.mutable_token_use()->set_day(fact.day);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const IdentityFact& fact) {
  v1::RegistryRecord record;
  record.set_environment(environment.str());
  record.mutable_identity()->set_identity(fact.identity.str());
  record.mutable_identity()->set_environment(fact.environment.str());
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const EventTypeDef& fact) {
  v1::RegistryRecord record;
  record.set_environment(environment.str());
  v1::EventTypeDef& def = *record.mutable_event_type();
  def.set_tenant(fact.tenant.str());
  def.set_name(fact.name);
  def.set_revision(fact.revision);
  def.set_replaces(fact.replaces);
  def.set_description(fact.description);
  def.set_version(fact.version);
  def.set_schema(fact.schema);
  def.set_classification(static_cast<v1::EventTypeDef::Classification>(fact.classification));
  def.set_deprecated(fact.deprecated);
  def.set_changed_by(fact.changed_by);
  def.set_changed_at(fact.changed_at);
  def.set_deleted(fact.deleted);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const TenantDef& fact) {
  v1::RegistryRecord record;
  record.set_environment(environment.str());
  v1::TenantDef& def = *record.mutable_tenant();
  def.set_id(fact.id.str());
  def.set_revision(fact.revision);
  def.set_replaces(fact.replaces);
  def.set_name(fact.name);
  def.set_description(fact.description);
  if (fact.endpoints_max) def.set_endpoints_max(*fact.endpoints_max);
  def.set_suspended(fact.suspended);
  def.set_resumed_at(fact.resumed_at);
  def.set_changed_by(fact.changed_by);
  def.set_changed_at(fact.changed_at);
  def.set_deleted(fact.deleted);
  return serialize(record, fact.unknown);
}

Result<RegistryFact> decode_registry(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::RegistryRecord>();
  if (auto opened = open(environment, "endpoints", bytes, record); !opened) return fail(opened.error());
  switch (record.facet_case()) {
    case v1::RegistryRecord::kEndpoint: {
      if (!is_known(record.endpoint())) return RegistryFact();
      EndpointDef fact = read(record.endpoint());
      fact.unknown = keep_unknown(record, {&record.endpoint(), &record.endpoint().retry()});
      return RegistryFact(std::move(fact));
    }
    case v1::RegistryRecord::kSecret: {
      EndpointSecret fact = read(record.secret());
      fact.unknown = keep_unknown(record, {&record.secret()});
      return RegistryFact(std::move(fact));
    }
    case v1::RegistryRecord::kToken: {
      TokenFact fact = read(record.token());
      fact.unknown = keep_unknown(record, {&record.token()});
      return RegistryFact(std::move(fact));
    }
    case v1::RegistryRecord::kTokenUse: {
      TokenUseFact fact{record.token_use().id(), record.token_use().day(),
                        keep_unknown(record, {&record.token_use()})};
      return RegistryFact(std::move(fact));
    }
    case v1::RegistryRecord::kIdentity: {
      IdentityFact fact{LogIdentity(record.identity().identity()),
                        Environment(record.identity().environment()),
                        keep_unknown(record, {&record.identity()})};
      return RegistryFact(std::move(fact));
    }
    case v1::RegistryRecord::kEventType: {
      EventTypeDef fact = read(record.event_type());
      fact.unknown = keep_unknown(record, {&record.event_type()});
      return RegistryFact(std::move(fact));
    }
    case v1::RegistryRecord::kTenant: {
      TenantDef fact = read(record.tenant());
      fact.unknown = keep_unknown(record, {&record.tenant()});
      return RegistryFact(std::move(fact));
    }
    case v1::RegistryRecord::FACET_NOT_SET:
      break;
  }
  return RegistryFact();
}

Headers restated_headers() {
  return {{"restated", "1"}};
}

bool is_restated(const Headers& headers) {
  return find_header(headers, "restated") != nullptr;
}

}  // namespace postrider::wire
