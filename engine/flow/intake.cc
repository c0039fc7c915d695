#include "engine/flow/intake.h"

#include <algorithm>
#include <utility>

#include "engine/wire/cloud_event.h"

namespace postrider::flow {
namespace {

constexpr Millis kSealedAgain{500};
constexpr Millis kUnknownKeyWait = std::chrono::minutes(10);
constexpr std::size_t kEventOverhead = 1024;

std::size_t size_of(const Record& record) {
  return (record.value ? record.value->size() : 0) + kEventOverhead;
}

std::string target_word(const Event& event) {
  return event.target ? format_target(*event.target) : std::string();
}

}  // namespace

Intake::Intake(Context& context, RegistryView& registry, Ownership& ownership, Dispatch& dispatch,
               Settle& settle, View& view, ActiveTable& active)
    : context_(context),
      registry_(registry),
      ownership_(ownership),
      dispatch_(dispatch),
      settle_(settle),
      view_(view),
      active_(active) {}

// Only what was asked for by begin(): a record of an earlier assignment, read on from where that one had
// come, would make the watermark pass what lies before it.
void Intake::on_event(Record record) {
  const OwnedPartition* partition = ownership_.find(record.partition);
  if (!partition || partition->phase != OwnedPartition::Phase::running) return;
  waiting_bytes_ += size_of(record);
  queue_.push_back(std::move(record));
}

void Intake::pump(SteadyTime now) {
  if (!registry_.fresh(now)) return;
  retry_sealed(now);
  while (!queue_.empty()) {
    // What was parked or has ended must not begin anew: without a view that cannot be told.
    if (view_.broken()) return;
    Record record = std::move(queue_.front());
    queue_.pop_front();
    waiting_bytes_ -= size_of(record);
    OwnedPartition* partition = ownership_.find(record.partition);
    // Of a partition that went away, or one that its adapter handed out again.
    if (!partition || partition->phase != OwnedPartition::Phase::running) continue;
    if (record.offset < partition->next_event) continue;
    ownership_.received(*partition, record.offset);
    if (partition->settled_above.contains(record.offset)) {
      ownership_.settled(*partition, record.offset);
      continue;
    }
    take(*partition, record, now);
  }
}

void Intake::retry_sealed(SteadyTime now) {
  if (sealed_.empty() || now < next_sealed_) return;
  next_sealed_ = now + kSealedAgain;
  for (auto& [record, since] : std::exchange(sealed_, {})) {
    OwnedPartition* partition = ownership_.find(record.partition);
    if (partition && partition->phase == OwnedPartition::Phase::running) take(*partition, record, since);
  }
}

void Intake::drop(const OwnedPartition& partition) {
  std::erase_if(sealed_, [&](const Sealed& waiting) { return waiting.record.partition == partition.number; });
  std::erase_if(queue_, [&](const Record& record) {
    if (record.partition != partition.number) return false;
    waiting_bytes_ -= size_of(record);
    return true;
  });
}

void Intake::take(OwnedPartition& partition, Record& record, SteadyTime since) {
  std::optional<Event> event = decode(partition, record, since);
  if (!event) return;
  if (is_repeat(partition, record, *event)) return;
  const std::vector<const Endpoint*> endpoints = registry_.registry().route(*event);
  if (!endpoints.empty()) {
    note_first(partition, record, *event);
    make_deliveries(partition, record, *std::move(event), endpoints);
    return;
  }
  if (!event->target) {
    context_.ports.observer.no_match(event->tenant);
    settle_.no_match(partition, record.offset, registry_.version());
    return;
  }
  cancel(partition, record, *event, CancelReason::target_gone);
}

// A replay that ends before there is a delivery: its target, or the key of what it carries, is no more.
void Intake::cancel(OwnedPartition& partition, const Record& record, const Event& event,
                    CancelReason reason) {
  const Position position{record.partition, record.offset};
  const WebhookId webhook = webhook_id(event.tenant, event.source, event.id);
  CancelledFact fact;
  fact.delivery = {
      delivery_id(ownership_.identity(), position, webhook, event.target->incarnation, event.replay_job),
      webhook,
      event.id,
      event.type,
      event.tenant,
      *event.target,
      position,
      event.replay_job};
  fact.reason = reason;
  fact.registry_version = registry_.version();
  fact.at = to_ms(context_.log_now());
  settle_.cancelled(partition, fact);
}

std::optional<Event> Intake::decode(OwnedPartition& partition, Record& record, SteadyTime since) {
  auto decoded = wire::decode_kafka(record.key, record.headers, record.value.value_or(""),
                                    context_.config.tenant_from_key);
  if (!decoded || (decoded->sealed && !decoded->event.target)) {
    settle_.set_aside(partition, record, DeadReason::undecodable);
    return std::nullopt;
  }
  Event event = std::move(decoded->event);
  if (decoded->sealed) {
    // A replay carries its dead letter's payload unopened.
    auto bytes = context_.ports.keys.open(
        {context_.config.environment, event.tenant, format_target(*event.target), "dead_letter"}, event.data);
    if (!bytes && bytes.error().errc == Errc::unavailable) {
      // A key service that is away comes back; a key that nobody has ever written would wait for ever.
      const bool unknown_key = bytes.error().code == "KEY_NOT_YET";
      if (!unknown_key || context_.steady() - since < kUnknownKeyWait) {
        sealed_.push_back({std::move(record), since});
        return std::nullopt;
      }
    }
    if (!bytes && bytes.error().errc == Errc::denied) {
      cancel(partition, record, event, CancelReason::tenant_erased);
      return std::nullopt;
    }
    auto inner = bytes ? wire::parse_protobuf(bytes->reveal()) : Result<Event>(fail(bytes.error()));
    if (!inner) {
      settle_.set_aside(partition, record, DeadReason::undecodable);
      return std::nullopt;
    }
    inner->target = event.target;
    inner->replay_job = event.replay_job;
    inner->tenant = event.tenant;
    event = *std::move(inner);
  }
  if (auto bad = check(event, context_.config.environment)) {
    settle_.set_aside(partition, record, dead_reason(*bad));
    return std::nullopt;
  }
  return event;
}

// An event is never a repeat of itself: the index keeps first positions, so that one read again after a crash
// is delivered (DESIGN §4).
bool Intake::is_repeat(OwnedPartition& partition, const Record& record, const Event& event) {
  if (context_.config.repeat_window <= Millis(0)) return false;
  const Hash128 key = repeat_key(event.tenant, event.source, event.id, target_word(event), event.replay_job);
  const auto first = view_.first_position(partition.number, key);
  if (!first || first->offset >= record.offset) return false;
  if (record.appended - first->appended >= context_.config.repeat_window) return false;
  context_.ports.observer.repeat(event.tenant);
  settle_.repeat(partition, {record.offset, first->offset, webhook_id(event.tenant, event.source, event.id)});
  return true;
}

void Intake::note_first(OwnedPartition& partition, const Record& record, const Event& event) {
  if (context_.config.repeat_window <= Millis(0)) return;
  const Hash128 key = repeat_key(event.tenant, event.source, event.id, target_word(event), event.replay_job);
  view_.put_first_position(partition.number, key, {record.offset, record.appended});
}

void Intake::make_deliveries(OwnedPartition& partition, const Record& record, Event event,
                             const std::vector<const Endpoint*>& endpoints) {
  auto active = std::make_shared<ActiveEvent>();
  active->position = {record.partition, record.offset};
  active->generation = partition.generation;
  active->appended = record.appended;
  active->webhook_id = webhook_id(event.tenant, event.source, event.id);
  active->fan_out = static_cast<std::uint32_t>(endpoints.size());
  active->registry_version = registry_.version();
  active->bytes = event.data.size() + kEventOverhead;
  active->event = std::move(event);
  context_.ports.observer.event_taken(active->event.tenant, active->fan_out);

  // Read again after a takeover: what is parked or has ended already is not begun anew.
  const bool again = record.offset < partition.assignment.events_end;
  std::vector<DeliveryId> ids;
  ids.reserve(endpoints.size());
  active->deliveries.reserve(endpoints.size());
  for (const Endpoint* endpoint : endpoints) {
    const Target target{endpoint->def.id, endpoint->def.incarnation};
    ids.push_back(delivery_id(ownership_.identity(), active->position, active->webhook_id, target.incarnation,
                              active->event.replay_job));
    if (again && (view_.parked(ids.back()) || view_.has_ended(ids.back()))) continue;
    ActiveDelivery& added = active_.add(active, dispatch_.state(active->event.tenant, target), ids.back());
    added.counted = true;
    added.parked = again && view_.broken();  // perhaps: its end says so
  }
  view_.put_index(active->webhook_id, active->event.id, active->position, ids);
  active->unrecorded = active->active;
  if (active->active == 0) {
    // Whoever reads the log alone sees what it was routed to now, though nothing is left of it to do.
    settle_.no_match(partition, record.offset, active->registry_version);
    return;
  }
  partition.unsettled[record.offset] = active;
  const auto serials = active->deliveries;  // admitting may end one
  for (std::uint64_t serial : serials) {
    if (ActiveDelivery* delivery = active_.find(serial)) dispatch_.admit(*delivery);
  }
}

}  // namespace postrider::flow
