// Topics `health`, `keys` and `audit`, whose records hold one kind each; and the sealed value.
#include "engine/wire/codec.h"
#include "engine/wire/codec_common.h"

namespace postrider::wire {
namespace {

constexpr std::uint32_t kSealedVersion = 1;

// A stop that this version does not know is a stop all the same: nothing is sent.
Stop read_stop(v1::HealthRecord::Stop stop) {
  return v1::HealthRecord::Stop_IsValid(stop) ? static_cast<Stop>(stop) : Stop::disabled;
}

}  // namespace

std::string encode(const Environment& environment, const HealthFact& fact) {
  v1::HealthRecord record;
  record.set_environment(environment.str());
  record.set_tenant(fact.tenant.str());
  record.set_endpoint(fact.endpoint.str());
  record.set_incarnation(fact.incarnation.str());
  record.set_partition(fact.partition);
  record.set_enable_revision(fact.enable_revision);
  record.set_stop(static_cast<v1::HealthRecord::Stop>(fact.stop));
  record.set_failing(fact.failing);
  record.set_why(fact.why);
  record.set_since(fact.since);
  return serialize(record, fact.unknown);
}

Result<HealthFact> decode_health(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::HealthRecord>();
  if (auto opened = open(environment, "health", bytes, record); !opened) return fail(opened.error());
  HealthFact fact;
  fact.tenant = TenantId(record.tenant());
  fact.endpoint = EndpointId(record.endpoint());
  fact.incarnation = Incarnation(record.incarnation());
  fact.partition = record.partition();
  fact.enable_revision = record.enable_revision();
  fact.stop = read_stop(record.stop());
  fact.failing = record.failing();
  fact.why = record.why();
  fact.since = record.since();
  fact.unknown = keep_unknown(record, {});
  return fact;
}

std::string encode(const Environment& environment, const WrappedKeyFact& fact) {
  v1::WrappedKey record;
  record.set_environment(environment.str());
  record.set_tenant(fact.tenant.str());
  record.set_key_id(fact.key_id);
  record.set_service(fact.service);
  record.set_wrapped(fact.wrapped);
  record.set_destroyed(fact.destroyed);
  record.set_created_at(fact.created_at);
  record.set_generation(fact.generation);
  return serialize(record, fact.unknown);
}

Result<WrappedKeyFact> decode_key(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::WrappedKey>();
  if (auto opened = open(environment, "keys", bytes, record); !opened) return fail(opened.error());
  WrappedKeyFact fact;
  fact.tenant = TenantId(record.tenant());
  fact.key_id = record.key_id();
  fact.service = record.service();
  fact.wrapped = record.wrapped();
  fact.destroyed = record.destroyed();
  fact.created_at = record.created_at();
  fact.generation = record.generation();
  fact.unknown = keep_unknown(record, {});
  return fact;
}

std::string encode(const Environment& environment, const AuditFact& fact) {
  v1::AuditRecord record;
  record.set_environment(environment.str());
  record.set_actor(fact.actor);
  record.set_token_id(fact.token_id);
  record.set_action(fact.action);
  record.set_resource(fact.resource);
  record.set_scope(fact.scope);
  record.set_tenant(fact.tenant.str());
  record.set_event_type(fact.event_type);
  record.set_subject_id(fact.subject_id);
  record.set_correlation_id(fact.correlation_id);
  record.set_source(fact.source);
  record.set_target(fact.target);
  record.set_outcome(fact.outcome);
  record.set_error(fact.error);
  record.set_at(fact.at);
  return serialize(record, fact.unknown);
}

Result<AuditFact> decode_audit(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::AuditRecord>();
  if (auto opened = open(environment, "audit", bytes, record); !opened) return fail(opened.error());
  AuditFact fact;
  fact.actor = record.actor();
  fact.token_id = record.token_id();
  fact.action = record.action();
  fact.resource = record.resource();
  fact.scope = record.scope();
  fact.environment = record.environment();
  fact.tenant = TenantId(record.tenant());
  fact.event_type = record.event_type();
  fact.subject_id = record.subject_id();
  fact.correlation_id = record.correlation_id();
  fact.source = record.source();
  fact.target = record.target();
  fact.outcome = record.outcome();
  fact.error = record.error();
  fact.at = record.at();
  fact.unknown = keep_unknown(record, {});
  return fact;
}

std::string encode_sealed(const SealedParts& parts) {
  v1::Sealed sealed;
  sealed.set_version(kSealedVersion);
  sealed.set_key_id(parts.key_id);
  sealed.set_wrapped_data_key(parts.wrapped_data_key);
  sealed.set_nonce(parts.nonce);
  sealed.set_ciphertext(parts.ciphertext);
  return sealed.SerializeAsString();
}

Result<SealedParts> decode_sealed(std::string_view bytes) {
  v1::Sealed sealed;
  if (!sealed.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || sealed.version() == 0) {
    return fail(Errc::corrupt, "SEALED_VALUE_UNREADABLE", "the bytes are no sealed value of ours",
                "stop and look: they were changed, or never were sealed");
  }
  if (sealed.version() != kSealedVersion) {
    return fail(
        Errc::corrupt, "SEALED_VERSION_UNKNOWN",
        "the value was sealed in version " + std::to_string(sealed.version()) + ", and we know version 1",
        "run a version of Postrider at least as new as the one that sealed it");
  }
  return SealedParts{sealed.key_id(), sealed.wrapped_data_key(), sealed.nonce(), sealed.ciphertext()};
}

}  // namespace postrider::wire
