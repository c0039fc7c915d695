#include "engine/flow/intake.h"

#include <algorithm>
#include <utility>

#include "engine/core/partitioner.h"
#include "engine/wire/cloud_event.h"

namespace postrider::flow {
namespace {

constexpr Millis kLaterAgain{500};
constexpr Millis kUnknownKeyWait = std::chrono::minutes(10);
constexpr std::size_t kEventOverhead = 1024;
constexpr std::uint64_t kLookToken = std::uint64_t{1} << 63;
constexpr std::size_t kLooksMax = 500;
constexpr Millis kFetchAgain{500};
constexpr Millis kFetchFor{10000};

std::size_t size_of(const Record& record) {
  return 2 * (record.value ? record.value->size() : 0) + kEventOverhead;  // as its event will be counted
}

// While it lives, that record is being decoded.
class Marked {
 public:
  Marked(DecodeMark* mark, Position position) : mark_(mark) {
    if (mark_) mark_->begin(position);
  }
  ~Marked() {
    if (mark_) mark_->end();
  }
  Marked(const Marked&) = delete;
  Marked& operator=(const Marked&) = delete;

 private:
  DecodeMark* const mark_;
};

Hash128 first_key(const Event& event) {
  return repeat_key(event.tenant, event.source, event.id,
                    event.target ? format_target(*event.target) : std::string(), event.replay_job);
}

}  // namespace

Intake::Intake(Context& context, RegistryView& registry, Ownership& ownership, Dispatch& dispatch,
               Settle& settle, View& view, ActiveTable& active, Firsts& firsts, Schemas& schemas)
    : context_(context),
      registry_(registry),
      ownership_(ownership),
      dispatch_(dispatch),
      settle_(settle),
      view_(view),
      active_(active),
      firsts_(firsts),
      schemas_(schemas) {}

// Only what was asked for by begin(): a record of an earlier assignment, read on from where that one had
// come, would make the watermark pass what lies before it.
void Intake::on_event(Record record) {
  const OwnedPartition* partition = ownership_.find(record.partition);
  if (!partition || partition->phase != OwnedPartition::Phase::running) return;
  waiting_bytes_ += size_of(record);
  queue_.push_back({std::move(record), std::nullopt});
}

void Intake::on_lost(Partition partition, Offset first, Offset next) {
  Record gap;
  gap.partition = partition;
  gap.offset = next - 1;
  waiting_bytes_ += size_of(gap);
  queue_.push_back({std::move(gap), first});
}

void Intake::pump(SteadyTime now) {
  if (!registry_.fresh(now)) return;
  retry_later(now);
  go_on_with_looked_at(now);
  while (!queue_.empty() && looks_.size() < kLooksMax) {
    // What was parked or has ended must not begin anew: without a view that cannot be told.
    if (view_.broken()) return;
    auto [record, lost_from] = std::move(queue_.front());
    queue_.pop_front();
    waiting_bytes_ -= size_of(record);
    OwnedPartition* partition = ownership_.find(record.partition);
    // Of a partition that went away, or one that its adapter handed out again.
    if (!partition || partition->phase != OwnedPartition::Phase::running) continue;
    if (record.offset < partition->next_event) continue;
    if (lost_from) {
      ownership_.lost_at_source(*partition, *lost_from, record.offset);
      continue;
    }
    ownership_.received(*partition, record.offset);
    partition->read = {record.offset, to_ms(record.appended)};
    if (partition->settled_above.contains(record.offset)) {
      ownership_.settled(*partition, record.offset);
      continue;
    }
    take(*partition, record, now);
  }
}

void Intake::retry_later(SteadyTime now) {
  if (later_.empty() || now < next_later_ || view_.broken()) return;
  next_later_ = now + kLaterAgain;
  for (auto& [record, since] : std::exchange(later_, {})) {
    waiting_bytes_ -= size_of(record);
    OwnedPartition* partition = ownership_.find(record.partition);
    if (partition && partition->phase == OwnedPartition::Phase::running) take(*partition, record, since);
  }
}

void Intake::wait(Record record, SteadyTime since) {
  waiting_bytes_ += size_of(record);
  later_.push_back({std::move(record), since});
}

void Intake::drop(const OwnedPartition& partition) {
  std::erase_if(looks_, [&](const auto& entry) {
    const Record& record = entry.second.record;
    if (record.partition != partition.number) return false;
    waiting_bytes_ -= size_of(record);
    return true;
  });
  std::erase_if(later_, [&](const Later& waiting) {
    if (waiting.record.partition != partition.number) return false;
    waiting_bytes_ -= size_of(waiting.record);
    return true;
  });
  std::erase_if(queue_, [&](const Queued& queued) {
    if (queued.record.partition != partition.number) return false;
    waiting_bytes_ -= size_of(queued.record);
    return true;
  });
}

void Intake::take(OwnedPartition& partition, Record& record, SteadyTime since, bool looked) {
  std::optional<Event> event = decode(partition, record, since);
  if (!event) return;
  const Partition partitions = context_.ports.log.partitions();
  if (partitions > 0 && murmur2_partition(record.key, partitions) != record.partition)
    context_.ports.observer.misplaced(event->tenant);
  const Hash128 key = first_key(*event);
  if (firsts_.wanted()) {
    firsts_.taken(partition, record);
    if (is_repeat(partition, record, *event, key)) return;
    if (!looked && look_at_first(partition, record, *event, key, since)) return;
    if (view_.broken()) {  // whether it is a repeat could not be told
      wait(std::move(record), since);
      return;
    }
  }
  const std::vector<const Endpoint*> endpoints = registry_.registry().route(*event);
  if (breaks_schema(partition, record, *event, endpoints)) return;
  if (!endpoints.empty()) {
    if (!firsts_.covers_window(partition)) context_.ports.observer.perhaps_repeat(event->tenant);
    make_deliveries(partition, record, *std::move(event), endpoints, key);
    return;
  }
  if (!event->target) {
    context_.ports.observer.no_match(event->tenant);
    settle_.no_match(partition, record.offset, registry_.version());
    return;
  }
  cancel(partition, record, *event, CancelReason::target_gone);
}

// A replay was accepted once, under the schema of then. So was one whose deliveries have begun: they go on.
bool Intake::breaks_schema(OwnedPartition& partition, const Record& record, const Event& event,
                           const std::vector<const Endpoint*>& endpoints) {
  if (event.target) return false;
  const auto breach = schemas_.breach(registry_.registry().event_types(), event);
  if (!breach) return false;
  const Position position{record.partition, record.offset};
  const WebhookId webhook = webhook_id(event.tenant, event.source, event.id);
  if (record.offset < partition.assignment.events_end) {
    for (const Endpoint* endpoint : endpoints) {
      const DeliveryId id =
          delivery_id(ownership_.identity(), position, webhook, endpoint->def.incarnation, event.replay_job);
      if (view_.parked(id) || view_.has_ended(id)) return false;
    }
  }
  settle_.set_aside(partition, record, DeadReason::schema_violation, &event, text_of(*breach));
  return true;
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

// A replay carries its dead letter's payload unopened.
Result<Event> Intake::open_sealed(const Event& replay) {
  auto bytes = context_.ports.keys.open(
      {context_.config.environment, replay.tenant, format_target(*replay.target), "dead_letter"},
      replay.data);
  if (!bytes) return fail(bytes.error());
  auto inner = wire::parse_protobuf(bytes->reveal());
  if (!inner) return inner;
  inner->target = replay.target;
  inner->replay_job = replay.replay_job;
  inner->tenant = replay.tenant;
  return inner;
}

std::optional<Event> Intake::decode(OwnedPartition& partition, Record& record, SteadyTime since) {
  const Position position{record.partition, record.offset};
  if (context_.ports.decode_mark && context_.ports.decode_mark->is_suspect(position)) {
    context_.ports.observer.note("error", "record_suspect",
                                 "the record at offset " + std::to_string(record.offset) + " of partition " +
                                     std::to_string(record.partition) +
                                     " has killed the process three times: it is set aside undecoded",
                                 nullptr);
    settle_.set_aside(partition, record, DeadReason::crashed_decoder);
    return std::nullopt;
  }
  const Marked marked(context_.ports.decode_mark, position);
  const std::string_view value = record.value ? std::string_view(*record.value) : std::string_view();
  auto decoded = wire::decode_kafka(record.key, record.headers, value, context_.config.tenant_from_key);
  if (!decoded || (decoded->sealed && !decoded->event.target)) {
    settle_.set_aside(partition, record, DeadReason::undecodable);
    return std::nullopt;
  }
  Event event = std::move(decoded->event);
  if (decoded->sealed) {
    auto inner = open_sealed(event);
    if (!inner && inner.error().errc == Errc::unavailable) {
      // A key service that is away comes back; a key that nobody has ever written would wait for ever.
      const bool unknown_key = inner.error().code == "KEY_NOT_YET";
      if (!unknown_key || context_.steady() - since < kUnknownKeyWait) {
        wait(std::move(record), since);
        return std::nullopt;
      }
    }
    if (!inner && inner.error().errc == Errc::denied) {
      cancel(partition, record, event, CancelReason::tenant_erased);
      return std::nullopt;
    }
    if (!inner) {
      settle_.set_aside(partition, record, DeadReason::undecodable);
      return std::nullopt;
    }
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
bool Intake::is_repeat(OwnedPartition& partition, const Record& record, const Event& event,
                       const Hash128& key) {
  const auto first = firsts_.find(partition, key);
  if (!first || first->offset >= record.offset) return false;
  if (record.appended - first->appended >= context_.config.repeat_window) return false;
  context_.ports.observer.repeat(event.tenant);
  RepeatFact::Repeat repeat{record.offset, first->offset, webhook_id(event.tenant, event.source, event.id)};
  // Until the first has settled it may be read again, and then match nothing: so may this one.
  if (Firsts::is_unsettled(partition, key))
    partition.firsts.repeats[first->offset].push_back(std::move(repeat));
  else
    settle_.repeat(partition, std::move(repeat));
  return true;
}

void Intake::first_settled(OwnedPartition& partition, Offset first) {
  auto repeats = partition.firsts.repeats.extract(first);
  if (repeats.empty()) return;
  for (auto& repeat : repeats.mapped()) settle_.repeat(partition, std::move(repeat));
}

// --- first positions that are only proven: what stands there is compared

bool Intake::is_look(std::uint64_t token) {
  return (token & kLookToken) != 0;
}

bool Intake::look_at_first(OwnedPartition& partition, Record& record, const Event& event, const Hash128& key,
                           SteadyTime since) {
  const auto at = firsts_.hint(partition, event, record.offset);
  if (!at) return false;
  const std::uint64_t token = kLookToken | ++last_look_;
  waiting_bytes_ += size_of(record);
  const Position first{partition.number, *at};
  const SteadyTime until = context_.steady() + kFetchFor;
  looks_.emplace(token, Look{std::move(record), since, key, first, until, std::nullopt, false, std::nullopt});
  context_.ports.log.fetch(first, token);
  return true;
}

void Intake::on_fetched(std::uint64_t token, const Result<Record>& record) {
  const auto found = looks_.find(token);
  if (found == looks_.end()) return;
  Look& look = found->second;
  if (!record && record.error().errc != Errc::not_found) {
    look.again_at = context_.steady() + kFetchAgain;
    return;
  }
  look.answered = any_answered_ = true;
  if (record && key_of(*record) == look.key) look.same = record->appended;
}

void Intake::go_on_with_looked_at(SteadyTime now) {
  for (auto& [token, look] : looks_) {
    if (now >= look.until) look.answered = any_answered_ = true;
    if (look.answered || !look.again_at || now < *look.again_at) continue;
    look.again_at.reset();
    context_.ports.log.fetch(look.first, token);
  }
  if (!any_answered_ || view_.broken()) return;
  any_answered_ = false;
  std::vector<Look> answered;
  std::erase_if(looks_, [&](auto& entry) {
    if (!entry.second.answered) return false;
    waiting_bytes_ -= size_of(entry.second.record);
    answered.push_back(std::move(entry.second));
    return true;
  });
  for (Look& look : answered) {
    OwnedPartition* partition = ownership_.find(look.record.partition);
    if (!partition || partition->phase != OwnedPartition::Phase::running) continue;
    if (look.same) firsts_.confirmed(*partition, look.key, {look.first.offset, *look.same});
    take(*partition, look.record, look.since, true);
  }
}

SteadyTime Intake::next_wake(SteadyTime now) const {
  SteadyTime next = now + kFetchFor;
  for (const auto& [token, look] : looks_) {
    next = std::min(next, look.again_at.value_or(look.until));
  }
  return next;
}

std::optional<Hash128> Intake::key_of(const Record& record) {
  auto decoded = wire::decode_kafka(record.key, record.headers, record.value.value_or(""),
                                    context_.config.tenant_from_key);
  if (!decoded) return std::nullopt;
  Event event = std::move(decoded->event);
  if (decoded->sealed) {
    if (!event.target) return std::nullopt;
    auto inner = open_sealed(event);
    if (!inner) return std::nullopt;
    event = *std::move(inner);
  }
  if (check(event, context_.config.environment)) return std::nullopt;
  return first_key(event);
}

void Intake::make_deliveries(OwnedPartition& partition, const Record& record, Event event,
                             const std::vector<const Endpoint*>& endpoints, const Hash128& key) {
  auto active = std::make_shared<ActiveEvent>();
  active->position = {record.partition, record.offset};
  active->generation = partition.generation;
  active->appended = record.appended;
  active->webhook_id = webhook_id(event.tenant, event.source, event.id);
  active->fan_out = static_cast<std::uint32_t>(endpoints.size());
  active->registry_version = registry_.version();
  active->bytes = 2 * event.data.size() + kEventOverhead;  // it and the body that goes out
  active->event = std::move(event);
  if (firsts_.wanted()) {
    active->first_key = key;
    Firsts::routed(partition, key, {record.offset, record.appended});
  }
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
    firsts_.settled(partition, *active);  // its deliveries have ended or are parked
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
