// Topic `dead-letters`: letters and what became of them.
#include "engine/wire/codec.h"
#include "engine/wire/codec_common.h"

namespace postrider::wire {
namespace {

DeadLetterFact decode_letter(const v1::DeadLetterRecord& record) {
  const v1::DeadLetter& message = record.letter();
  const auto reason = parse_dead_reason(message.reason());
  if (!reason) return {};
  DeadLetter fact;
  fact.stamp = read(message.stamp());
  fact.delivery = read(message.delivery());
  fact.reason = *reason;
  fact.attempts = message.attempts();
  fact.last_status = message.last_status();
  fact.last_error = from_wire(message.last_error());
  fact.dead_at = message.dead_at();
  fact.appended = message.appended();
  fact.sealed_payload = message.sealed_payload();
  fact.payload_bytes = message.payload_bytes();
  fact.payload_digest = message.payload_digest();
  fact.event_source = message.event_source();
  fact.registry_version = message.registry_version();
  fact.fan_out = message.fan_out();
  fact.detail = message.detail();
  fact.unknown = keep_unknown(record, {&message, &message.stamp(), &message.delivery()});
  return fact;
}

DeadLetterFact decode_mark(const v1::DeadLetterRecord& record) {
  const v1::DeadLetterMark& message = record.mark();
  if (!v1::DeadLetterMark::State_IsValid(message.state())) return {};
  DeadLetterMark fact;
  fact.delivery = DeliveryId(message.delivery_id());
  fact.tenant = TenantId(message.tenant());
  fact.state = static_cast<DeadLetterState>(message.state());
  fact.actor = message.actor();
  fact.why = message.why();
  fact.job = ReplayJobId(message.job());
  fact.at = message.at();
  fact.unknown = keep_unknown(record, {&message});
  return fact;
}

}  // namespace

std::string encode(const Environment& environment, const DeadLetter& fact) {
  v1::DeadLetterRecord record;
  record.set_environment(environment.str());
  v1::DeadLetter& message = *record.mutable_letter();
  fill(*message.mutable_stamp(), fact.stamp);
  fill(*message.mutable_delivery(), fact.delivery);
  message.set_reason(std::string(reason_of(fact.reason)));
  message.set_attempts(fact.attempts);
  message.set_last_status(fact.last_status);
  message.set_last_error(to_wire(fact.last_error));
  message.set_dead_at(fact.dead_at);
  message.set_appended(fact.appended);
  message.set_sealed_payload(fact.sealed_payload);
  message.set_payload_bytes(fact.payload_bytes);
  message.set_payload_digest(fact.payload_digest);
  message.set_event_source(fact.event_source);
  message.set_registry_version(fact.registry_version);
  message.set_fan_out(fact.fan_out);
  message.set_detail(fact.detail);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const DeadLetterMark& fact) {
  v1::DeadLetterRecord record;
  record.set_environment(environment.str());
  v1::DeadLetterMark& message = *record.mutable_mark();
  message.set_delivery_id(fact.delivery.str());
  message.set_tenant(fact.tenant.str());
  message.set_state(static_cast<v1::DeadLetterMark::State>(fact.state));
  message.set_actor(fact.actor);
  message.set_why(fact.why);
  message.set_job(fact.job.str());
  message.set_at(fact.at);
  return serialize(record, fact.unknown);
}

Result<DeadLetterFact> decode_dead_letter(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::DeadLetterRecord>();
  if (auto opened = open(environment, "dead-letters", bytes, record); !opened) return fail(opened.error());
  switch (record.kind_case()) {
    case v1::DeadLetterRecord::kLetter:
      return decode_letter(record);
    case v1::DeadLetterRecord::kMark:
      return decode_mark(record);
    case v1::DeadLetterRecord::KIND_NOT_SET:
      break;
  }
  return DeadLetterFact();
}

}  // namespace postrider::wire
