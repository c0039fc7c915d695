// Topic `parked`: states, owner marks, and the headers of tombstones.
#include <charconv>

#include "engine/wire/codec.h"
#include "engine/wire/codec_common.h"

namespace postrider::wire {
namespace {

void fill(v1::ParkedState& message, const ParkedState& fact) {
  wire::fill(*message.mutable_stamp(), fact.stamp);
  wire::fill(*message.mutable_delivery(), fact.delivery);
  message.set_attempts(fact.attempts);
  message.set_due(fact.due);
  message.set_appended(fact.appended);
  message.set_fan_out(fact.fan_out);
  message.set_last_status(fact.last_status);
  message.set_last_error(to_wire(fact.last_error));
  message.set_registry_version(fact.registry_version);
}

ParkedState read(const v1::ParkedState& message) {
  ParkedState fact;
  fact.stamp = wire::read(message.stamp());
  fact.delivery = wire::read(message.delivery());
  fact.attempts = message.attempts();
  fact.due = message.due();
  fact.appended = message.appended();
  fact.fan_out = message.fan_out();
  fact.last_status = message.last_status();
  fact.last_error = from_wire(message.last_error());
  fact.registry_version = message.registry_version();
  return fact;
}

OwnerMark read(const v1::OwnerMark& message) {
  OwnerMark fact;
  fact.log = LogIdentity(message.log());
  fact.instance = message.instance();
  if (message.has_committed()) fact.committed = message.committed();
  fact.events_end = message.events_end();
  if (message.has_begins_at()) fact.begins_at = message.begins_at();
  if (message.has_read_offset()) fact.read = {message.read_offset(), message.read_appended()};
  return fact;
}

template <class Number>
std::optional<Number> read_decimal(const std::string* text) {
  if (text == nullptr) return std::nullopt;
  Number number{};
  const char* end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

}  // namespace

std::string encode(const Environment& environment, const ParkedState& fact) {
  thread_local v1::ParkedRecord record;  // fill() writes every field
  record.set_environment(environment.str());
  fill(*record.mutable_state(), fact);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const OwnerMark& fact) {
  v1::ParkedRecord record;
  record.set_environment(environment.str());
  v1::OwnerMark& mark = *record.mutable_owner();
  mark.set_log(fact.log.str());
  mark.set_instance(fact.instance);
  if (fact.committed) mark.set_committed(*fact.committed);
  mark.set_events_end(fact.events_end);
  if (fact.begins_at) mark.set_begins_at(*fact.begins_at);
  if (fact.read) {
    mark.set_read_offset(fact.read->offset);
    mark.set_read_appended(fact.read->appended);
  }
  return serialize(record, fact.unknown);
}

Result<ParkedFact> decode_parked(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::ParkedRecord>();
  if (auto opened = open(environment, "parked", bytes, record); !opened) return fail(opened.error());
  switch (record.kind_case()) {
    case v1::ParkedRecord::kState: {
      const v1::ParkedState& state = record.state();
      ParkedState fact = read(state);
      fact.unknown = keep_unknown(record, {&state, &state.stamp(), &state.delivery()});
      return ParkedFact(std::move(fact));
    }
    case v1::ParkedRecord::kOwner: {
      OwnerMark fact = read(record.owner());
      fact.unknown = keep_unknown(record, {&record.owner()});
      return ParkedFact(std::move(fact));
    }
    case v1::ParkedRecord::KIND_NOT_SET:
      break;
  }
  return ParkedFact();
}

Headers stamp_headers(Stamp stamp) {
  return {{"epoch", std::to_string(stamp.epoch)}, {"sequence", std::to_string(stamp.sequence)}};
}

std::optional<Stamp> read_stamp(const Headers& headers) {
  const auto epoch = read_decimal<Offset>(find_header(headers, "epoch"));
  const auto sequence = read_decimal<std::uint64_t>(find_header(headers, "sequence"));
  if (!epoch || !sequence) return std::nullopt;
  return Stamp{*epoch, *sequence};
}

}  // namespace postrider::wire
