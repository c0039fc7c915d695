// Topic `attempts`: what is no attempt, and the decoding of them all.
#include "engine/wire/codec.h"
#include "engine/wire/codec_attempts.h"

namespace postrider::wire {
namespace {

v1::AttemptRecord record_of(const Environment& environment, Stamp stamp) {
  v1::AttemptRecord record;
  record.set_environment(environment.str());
  fill(*record.mutable_stamp(), stamp);
  return record;
}

AttemptsFact decode_cancelled(const v1::AttemptRecord& record) {
  const v1::Cancelled& message = record.cancelled();
  const auto reason = parse_cancel_reason(message.reason());
  if (!reason) return {};
  CancelledFact fact;
  fact.stamp = read(record.stamp());
  fact.delivery = read(message.delivery());
  fact.reason = *reason;
  fact.at = message.at();
  fact.registry_version = message.registry_version();
  fact.fan_out = message.fan_out();
  fact.unknown = keep_unknown(record, {&record.stamp(), &message, &message.delivery()});
  return fact;
}

AttemptsFact decode_no_match(const v1::AttemptRecord& record) {
  const v1::NoMatch& message = record.no_match();
  NoMatchFact fact;
  fact.stamp = read(record.stamp());
  fact.partition = message.partition();
  for (const v1::OffsetRange& range : message.offsets())
    fact.offsets.emplace_back(range.first(), range.last());
  fact.registry_version = message.registry_version();
  fact.unknown = keep_unknown_of_all(record, message.offsets(), {&record.stamp(), &message});
  return fact;
}

AttemptsFact decode_repeats(const v1::AttemptRecord& record) {
  const v1::Repeats& message = record.repeats();
  RepeatFact fact;
  fact.stamp = read(record.stamp());
  fact.partition = message.partition();
  for (const v1::Repeats::Repeat& repeat : message.repeats()) {
    fact.repeats.push_back({repeat.offset(), repeat.first(), WebhookId(repeat.webhook_id())});
  }
  fact.unknown = keep_unknown_of_all(record, message.repeats(), {&record.stamp(), &message});
  return fact;
}

AttemptsFact decode_set_aside(const v1::AttemptRecord& record) {
  const v1::SetAside& message = record.set_aside();
  const auto reason = parse_dead_reason(message.reason());
  if (!reason) return {};
  SetAsideFact fact;
  fact.stamp = read(record.stamp());
  fact.position = {message.partition(), message.offset()};
  fact.reason = *reason;
  fact.at = message.at();
  fact.unknown = keep_unknown(record, {&record.stamp(), &message});
  return fact;
}

AttemptsFact decode_source_lost(const v1::AttemptRecord& record) {
  const v1::SourceLost& message = record.source_lost();
  SourceLostFact fact;
  fact.stamp = read(record.stamp());
  fact.partition = message.partition();
  fact.first = message.first();
  fact.last = message.last();
  fact.unknown = keep_unknown(record, {&record.stamp(), &message});
  return fact;
}

AttemptsFact decode_attempt(const v1::AttemptRecord& record) {
  AttemptFact fact = read_attempt(record.attempt());
  fact.stamp = read(record.stamp());
  fact.unknown = keep_unknown(record, {&record.stamp(), &record.attempt(), &record.attempt().delivery()});
  return fact;
}

}  // namespace

std::string encode(const Environment& environment, const CancelledFact& fact) {
  v1::AttemptRecord record = record_of(environment, fact.stamp);
  v1::Cancelled& message = *record.mutable_cancelled();
  fill(*message.mutable_delivery(), fact.delivery);
  message.set_reason(std::string(reason_of(fact.reason)));
  message.set_at(fact.at);
  message.set_registry_version(fact.registry_version);
  message.set_fan_out(fact.fan_out);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const NoMatchFact& fact) {
  v1::AttemptRecord record = record_of(environment, fact.stamp);
  v1::NoMatch& message = *record.mutable_no_match();
  message.set_partition(fact.partition);
  for (const auto& [first, last] : fact.offsets) {
    v1::OffsetRange& range = *message.add_offsets();
    range.set_first(first);
    range.set_last(last);
  }
  message.set_registry_version(fact.registry_version);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const RepeatFact& fact) {
  v1::AttemptRecord record = record_of(environment, fact.stamp);
  v1::Repeats& message = *record.mutable_repeats();
  message.set_partition(fact.partition);
  for (const RepeatFact::Repeat& repeat : fact.repeats) {
    v1::Repeats::Repeat& one = *message.add_repeats();
    one.set_offset(repeat.offset);
    one.set_first(repeat.first);
    one.set_webhook_id(repeat.webhook_id.str());
  }
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const SetAsideFact& fact) {
  v1::AttemptRecord record = record_of(environment, fact.stamp);
  v1::SetAside& message = *record.mutable_set_aside();
  message.set_partition(fact.position.partition);
  message.set_offset(fact.position.offset);
  message.set_reason(std::string(reason_of(fact.reason)));
  message.set_at(fact.at);
  return serialize(record, fact.unknown);
}

std::string encode(const Environment& environment, const SourceLostFact& fact) {
  v1::AttemptRecord record = record_of(environment, fact.stamp);
  v1::SourceLost& message = *record.mutable_source_lost();
  message.set_partition(fact.partition);
  message.set_first(fact.first);
  message.set_last(fact.last);
  return serialize(record, fact.unknown);
}

Result<AttemptsFact> decode_attempts(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::AttemptRecord>();
  if (auto opened = open(environment, "attempts", bytes, record); !opened) return fail(opened.error());
  switch (record.kind_case()) {
    case v1::AttemptRecord::kAttempt:
      return decode_attempt(record);
    case v1::AttemptRecord::kCancelled:
      return decode_cancelled(record);
    case v1::AttemptRecord::kNoMatch:
      return decode_no_match(record);
    case v1::AttemptRecord::kRepeats:
      return decode_repeats(record);
    case v1::AttemptRecord::kSetAside:
      return decode_set_aside(record);
    case v1::AttemptRecord::kSourceLost:
      return decode_source_lost(record);
    case v1::AttemptRecord::KIND_NOT_SET:
      break;
  }
  return AttemptsFact();
}

}  // namespace postrider::wire
