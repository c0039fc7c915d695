// Topic `replays`.
#include "engine/wire/codec.h"
#include "engine/wire/codec_common.h"

namespace postrider::wire {
namespace {

void fill(v1::ReplaySelection& message, const ReplayFact::Selection& selection) {
  message.set_tenant(selection.tenant.str());
  message.set_endpoint(selection.endpoint.str());
  message.set_type(selection.type);
  message.set_reason(selection.reason);
  message.set_since(selection.since);
  message.set_until(selection.until);
  for (const auto& id : selection.ids) message.add_ids(id.str());
  for (const auto& [partition, offset] : selection.ends) {
    auto& end = *message.add_ends();
    end.set_partition(partition);
    end.set_offset(offset);
  }
}

ReplayFact::Selection read(const v1::ReplaySelection& message) {
  ReplayFact::Selection selection;
  selection.tenant = TenantId(message.tenant());
  selection.endpoint = EndpointId(message.endpoint());
  selection.type = message.type();
  selection.reason = message.reason();
  selection.since = message.since();
  selection.until = message.until();
  selection.ids.reserve(static_cast<std::size_t>(message.ids_size()));
  for (const auto& id : message.ids()) selection.ids.emplace_back(id);
  selection.ends.reserve(static_cast<std::size_t>(message.ends_size()));
  for (const auto& end : message.ends()) selection.ends.emplace_back(end.partition(), end.offset());
  return selection;
}

}  // namespace

std::string encode(const Environment& environment, const ReplayFact& fact) {
  v1::ReplayRecord record;
  record.set_environment(environment.str());
  record.set_job(fact.job.str());
  record.set_step(static_cast<v1::ReplayRecord::Step>(fact.step));
  record.set_run(fact.run);
  record.set_actor(fact.actor);
  record.set_within(fact.within.str());
  if (fact.selection != ReplayFact::Selection()) fill(*record.mutable_selection(), fact.selection);
  record.set_rate(fact.rate);
  record.set_attended(fact.attended);
  record.set_matched(fact.matched);
  record.set_replayed(fact.replayed);
  record.set_skipped_count(fact.skipped_count);
  for (const auto& skipped : fact.skipped) {
    auto& message = *record.add_skipped();
    message.set_delivery_id(skipped.delivery.str());
    message.set_why(skipped.why);
  }
  record.set_outcome(static_cast<v1::ReplayRecord::Outcome>(fact.outcome));
  record.set_error(fact.error);
  return serialize(record, fact.unknown);
}

// A step that we do not know keeps its number: it changes nothing that we know of.
Result<ReplayFact> decode_replay(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::ReplayRecord>();
  if (auto opened = open(environment, "replays", bytes, record); !opened) return fail(opened.error());
  ReplayFact fact;
  fact.job = ReplayJobId(record.job());
  fact.step = static_cast<ReplayFact::Step>(record.step());
  fact.run = record.run();
  fact.actor = record.actor();
  fact.within = TenantId(record.within());
  fact.selection = read(record.selection());
  fact.rate = record.rate();
  fact.attended = record.attended();
  fact.matched = record.matched();
  fact.replayed = record.replayed();
  fact.skipped_count = record.skipped_count();
  fact.skipped.reserve(static_cast<std::size_t>(record.skipped_size()));
  for (const auto& skipped : record.skipped())
    fact.skipped.push_back({DeliveryId(skipped.delivery_id()), skipped.why()});
  fact.outcome = static_cast<ReplayFact::Outcome>(record.outcome());
  fact.error = record.error();
  fact.unknown = keep_unknown_of_all(record, record.skipped(), {&record.selection()});
  if (fact.unknown.empty()) fact.unknown = keep_unknown_of_all(record, record.selection().ends(), {});
  return fact;
}

}  // namespace postrider::wire
