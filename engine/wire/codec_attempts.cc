// Topic `attempts`: the attempt fact. Its kin stand in codec_attempts_kin.cc.
#include "engine/wire/codec_attempts.h"

#include "engine/wire/codec.h"

namespace postrider::wire {
namespace {

// Stored one higher, so that 0 says "not reached" and costs nothing.
std::uint32_t to_wire_ms(std::int32_t ms) {
  return ms < 0 ? 0 : static_cast<std::uint32_t>(ms) + 1;
}
std::int32_t from_wire_ms(std::uint32_t stored) {
  return static_cast<std::int32_t>(stored - 1);
}

void fill(v1::Attempt& message, const AttemptFact& fact) {
  wire::fill(*message.mutable_delivery(), fact.delivery);
  message.set_number(fact.number);
  message.set_signed_at(fact.signed_at);
  message.set_at(fact.at);
  message.set_status(fact.status);
  message.set_error(to_wire(fact.error));
  message.set_verdict(static_cast<v1::Attempt::Verdict>(fact.verdict));
  message.set_next_at(fact.next_at);
  message.set_queue_ms(to_wire_ms(fact.phases.queue));
  message.set_dns_ms(to_wire_ms(fact.phases.dns));
  message.set_connect_ms(to_wire_ms(fact.phases.connect));
  message.set_tls_ms(to_wire_ms(fact.phases.tls));
  message.set_first_byte_ms(to_wire_ms(fact.phases.first_byte));
  message.set_total_ms(to_wire_ms(fact.phases.total));
  message.set_url(fact.url);
  message.set_receiver_request_id(fact.receiver_request_id);
  message.set_sealed_snippet(fact.sealed_snippet);
  message.clear_secret_ids();
  for (const std::string& id : fact.secret_ids) message.add_secret_ids(id);
  message.set_body_digest(fact.body_digest);
  message.set_registry_version(fact.registry_version);
  message.set_fan_out(fact.fan_out);
}

}  // namespace

AttemptFact read_attempt(const v1::Attempt& message) {
  AttemptFact fact;
  fact.delivery = read(message.delivery());
  fact.number = message.number();
  fact.signed_at = message.signed_at();
  fact.at = message.at();
  fact.status = message.status();
  fact.error = from_wire(message.error());
  // One that we do not know keeps its number: an attempt is history, and this one was no success.
  fact.verdict = static_cast<Verdict::Kind>(message.verdict());
  fact.next_at = message.next_at();
  fact.phases = {from_wire_ms(message.queue_ms()),      from_wire_ms(message.dns_ms()),
                 from_wire_ms(message.connect_ms()),    from_wire_ms(message.tls_ms()),
                 from_wire_ms(message.first_byte_ms()), from_wire_ms(message.total_ms())};
  fact.url = message.url();
  fact.receiver_request_id = message.receiver_request_id();
  fact.sealed_snippet = message.sealed_snippet();
  fact.secret_ids.assign(message.secret_ids().begin(), message.secret_ids().end());
  fact.body_digest = message.body_digest();
  fact.registry_version = message.registry_version();
  fact.fan_out = message.fan_out();
  return fact;
}

std::string encode(const Environment& environment, const AttemptFact& fact) {
  thread_local v1::AttemptRecord record;  // fill() writes every field
  record.set_environment(environment.str());
  fill(*record.mutable_stamp(), fact.stamp);
  fill(*record.mutable_attempt(), fact);
  return serialize(record, fact.unknown);
}

std::string restamp(std::string_view attempts_record, Stamp stamp) {
  Scratch scratch;
  auto& record = scratch.make<v1::AttemptRecord>();
  if (!record.ParseFromArray(attempts_record.data(), static_cast<int>(attempts_record.size()))) return {};
  fill(*record.mutable_stamp(), stamp);
  return record.SerializeAsString();
}

}  // namespace postrider::wire
