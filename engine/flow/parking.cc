#include "engine/flow/parking.h"

#include <algorithm>
#include <utility>

#include "engine/wire/cloud_event.h"

namespace postrider::flow {
namespace {

constexpr Millis kLoadEvery{20};
constexpr Millis kHeldEvery{100};
constexpr std::size_t kRowsPerLoad = 500;
constexpr std::size_t kFetchesMax = 500;
constexpr std::size_t kHeldPerTurn = 16;  // of one endpoint: enabled ones are warmed, not stormed
constexpr Millis kKeyWait{5000};
constexpr Millis kLookForMore{60000};

}  // namespace

Parking::Parking(Context& context, RegistryView& registry, Ownership& ownership, Dispatch& dispatch,
                 Settle& settle, View& view, ActiveTable& active)
    : context_(context),
      registry_(registry),
      ownership_(ownership),
      dispatch_(dispatch),
      settle_(settle),
      view_(view),
      active_(active) {}

void Parking::start(OwnedPartition& partition) {
  partition.due_cursor = {};
  partition.next_due = 0;  // unknown: look
  partition.held_counted = false;
}

// Once, by a view that can be read: an endpoint of which nothing is known to be held is never drained.
void Parking::count_held(OwnedPartition& partition) {
  std::vector<std::pair<EndpointState*, std::uint64_t>> found;
  for (const auto& [incarnation, count] : view_.held_counts(partition.number)) {
    const auto first = view_.held(partition.number, incarnation, 1);
    const auto state = first.empty() ? std::nullopt : view_.parked(first.front());
    if (state) found.emplace_back(&dispatch_.state(state->delivery.tenant, state->delivery.target), count);
  }
  if (view_.broken()) return;
  for (const auto& [endpoint, count] : found) endpoint->held += count;
  partition.held_counted = true;
  look_for_enabled_ = true;
}

void Parking::drop(const OwnedPartition& partition) {
  if (partition.held_counted) {
    for (const auto& [incarnation, count] : view_.held_counts(partition.number)) {
      if (EndpointState* state = dispatch_.known(incarnation)) state->held -= std::min(state->held, count);
    }
  }
  absl::erase_if(loading_, [&](const auto& entry) {
    if (entry.second.partition != partition.number) return false;
    loading_ids_.erase(entry.second.state.delivery.id);
    return true;
  });
}

// --- what falls due

void Parking::tick(SteadyTime now) {
  if (!registry_.fresh(now) || !context_.log_time.known() || view_.broken()) return;
  if (now >= next_load_) {
    next_load_ = now + kLoadEvery;
    for (OwnedPartition* partition : ownership_.all()) {
      if (partition->phase != OwnedPartition::Phase::running || !ownership_.may_act(*partition, now))
        continue;
      if (!partition->held_counted) count_held(*partition);
      if (partition->held_counted) load_due(*partition, now);
    }
  }
  if (now >= next_held_) {
    next_held_ = now + kHeldEvery;
    drain_held(now);
  }
}

void Parking::load_due(OwnedPartition& partition, SteadyTime now) {
  const std::int64_t until = to_ms(context_.log_now());
  if (!partition.next_due || *partition.next_due > until) return;
  const auto rows = view_.due(partition.number, partition.due_cursor, until, kRowsPerLoad);
  if (view_.broken()) return;  // what it could not read, or write, is not told by its rows
  for (const View::Due& row : rows) {
    if (!bring_back(partition, row, now)) return;  // the same rows again, next time
    // Rows that parking moved before the cursor meanwhile have pulled it back themselves.
    partition.due_cursor = {row.due, DeliveryId(row.id.str() + '\0')};
  }
  if (rows.size() >= kRowsPerLoad) return;
  partition.next_due = view_.next_due(partition.number, partition.due_cursor);
  if (view_.broken()) partition.next_due = 0;  // unknown: what is not written yet was not seen
}

bool Parking::bring_back(OwnedPartition& partition, const View::Due& row, SteadyTime now) {
  if (active_.has_parked(row.id) || loading_ids_.contains(row.id)) return true;
  // What is being fetched may be as large as an event is at most.
  const std::size_t bytes = active_.bytes() + loading_.size() * 2 * kEventDataBytesMax;
  if (active_.size() + loading_.size() >= context_.config.due_loaded_max + 2 * context_.config.window_max ||
      loading_.size() >= kFetchesMax || bytes >= context_.config.bytes_max) {
    return false;
  }
  auto state = view_.parked(row.id);
  if (!state) return !view_.broken();  // its delivery ended; the row goes with it
  if (state->due != row.due) {         // its delivery waits for another time
    view_.erase_due(partition.number, row.due, row.id);
    return true;
  }
  const bool expired = to_ms(context_.log_now()) >= state->appended + context_.config.lifetime.count();
  const Dispatch::Room room = dispatch_.room(state->delivery.tenant, state->delivery.target, now);
  using Kind = Dispatch::Room::Kind;
  if (room.kind == Kind::gone || expired || room.kind == Kind::yes) {
    if (expired && view_.is_held(state->delivery)) {
      EndpointState& at = dispatch_.state(state->delivery.tenant, state->delivery.target);
      at.held -= std::min<std::uint64_t>(at.held, 1);
    }
    view_.unhold(state->delivery);
    if (auto event = event_of(partition, *state)) {
      activate(*state, std::move(event), row.due);
    } else {
      fetch(partition, *state, row.due);
    }
    return true;
  }
  if (room.kind == Kind::stopped) {
    const std::int64_t expiry = state->appended + context_.config.lifetime.count();
    view_.hold(state->delivery, row.due, expiry);
    view_.put_due(*state, expiry);
    ++dispatch_.state(state->delivery.tenant, state->delivery.target).held;
    return true;
  }
  later(partition, *state, row.due, room.wait);
  return true;
}

void Parking::later(OwnedPartition& partition, const ParkedState& state, std::int64_t due, Millis wait) {
  const std::int64_t then = to_ms(context_.log_now() + wait);
  view_.move_due(state.delivery, due, then);
  view_.put_due(state, then);
  partition.due_cursor = std::min(partition.due_cursor, {then, state.delivery.id});
  partition.next_due = std::min(partition.next_due.value_or(then), then);
}

void Parking::activate(const ParkedState& state, std::shared_ptr<ActiveEvent> event, std::int64_t due) {
  const bool expired = to_ms(context_.log_now()) >= state.appended + context_.config.lifetime.count();
  const Endpoint* endpoint = registry_.registry().find(state.delivery.tenant, state.delivery.target);
  ActiveDelivery& delivery = add(state, std::move(event), due);
  if (!endpoint) {
    settle_.cancel(delivery, CancelReason::endpoint_deleted);
  } else if (expired) {
    EndpointState& at = dispatch_.state(state.delivery.tenant, state.delivery.target);
    const bool stopped = dispatch_.stop_of(*endpoint, at) != Stop::none;
    settle_.bury(delivery, stopped ? DeadReason::endpoint_disabled : DeadReason::expired);
  } else {
    dispatch_.admit(delivery);
  }
}

ActiveDelivery& Parking::add(const ParkedState& state, std::shared_ptr<ActiveEvent> event, std::int64_t due) {
  EndpointState& endpoint = dispatch_.state(state.delivery.tenant, state.delivery.target);
  ActiveDelivery& delivery = active_.add_parked(std::move(event), endpoint, state.delivery.id);
  delivery.attempts = state.attempts;
  delivery.due_row = due;
  delivery.last_status = state.last_status;
  delivery.last_error = state.last_error;
  view_.put_index_of(state.delivery);
  return delivery;
}

// --- payloads

std::shared_ptr<ActiveEvent> Parking::event_of(const OwnedPartition& partition, const ParkedState& state) {
  // Where the topic was made again another event may be under way at that position; and a sibling whose
  // payload was not found has none to share.
  if (auto active = active_.event_at(state.delivery.position);
      active && active->generation == partition.generation && active->has_payload &&
      active->webhook_id == state.delivery.webhook_id) {
    if (state.registry_version > active->registry_version) {
      // This one was routed anew after a crash; its sibling, parked before, was not.
      active->registry_version = state.registry_version;
      active->fan_out = state.fan_out;
    }
    return active;
  }
  auto sealed = view_.claim(state.delivery.position, state.delivery.webhook_id);
  if (!sealed) return nullptr;
  auto bytes =
      context_.ports.keys.open({context_.config.environment, state.delivery.tenant, "", "payload"}, *sealed);
  if (!bytes) return nullptr;
  auto event = wire::parse_protobuf(bytes->reveal());
  if (!event) return nullptr;
  auto made = make_event(partition, state, *std::move(event));
  made->claimed = true;
  return made;
}

std::shared_ptr<ActiveEvent> Parking::make_event(const OwnedPartition& partition, const ParkedState& state,
                                                 Event event) {
  auto made = std::make_shared<ActiveEvent>();
  made->position = state.delivery.position;
  made->generation = partition.generation;
  made->appended = from_ms<LogTime>(state.appended);
  made->event = std::move(event);
  // What names a delivery is known without its payload, too.
  made->event.id = state.delivery.event_id;
  made->event.type = state.delivery.event_type;
  made->event.replay_job = state.delivery.replay_job;
  made->webhook_id = state.delivery.webhook_id;
  made->fan_out = state.fan_out;
  made->registry_version = state.registry_version;
  made->bytes = 2 * made->event.data.size() + 1024;
  return made;
}

void Parking::fetch(OwnedPartition& partition, const ParkedState& state, std::int64_t due) {
  const std::uint64_t token = ++last_token_;
  loading_ids_.emplace(state.delivery.id, token);
  loading_.emplace(token, Loading{partition.number, partition.generation, state, due});
  context_.ports.log.fetch(state.delivery.position, token);
}

void Parking::on_fetched(std::uint64_t token, const Result<Record>& record) {
  auto at = loading_.find(token);
  if (at == loading_.end()) return;
  Loading loading = std::move(at->second);
  loading_.erase(at);
  loading_ids_.erase(loading.state.delivery.id);
  OwnedPartition* partition = ownership_.find(loading.partition, loading.generation);
  if (!partition) return;
  const ParkedState& state = loading.state;
  if (!record) {
    if (record.error().errc == Errc::not_found) {
      without_payload(*partition, state, loading.due, DeadReason::payload_lost);
    } else {
      // Not now: the row is still there, and is looked at again.
      partition->due_cursor = std::min(partition->due_cursor, {loading.due, state.delivery.id});
      partition->next_due = std::min(partition->next_due.value_or(loading.due), loading.due);
    }
    return;
  }
  auto decoded = wire::decode_kafka(record->key, record->headers, record->value.value_or(""),
                                    context_.config.tenant_from_key);
  if (decoded && decoded->sealed && decoded->event.target) {
    auto opened = context_.ports.keys.open({context_.config.environment, decoded->event.tenant,
                                            format_target(*decoded->event.target), "dead_letter"},
                                           decoded->event.data);
    if (!opened && opened.error().errc == Errc::denied) {
      erased(*partition, state, loading.due);
      return;
    }
    if (!opened && opened.error().errc == Errc::unavailable) {
      later(*partition, state, loading.due, kKeyWait);  // its key is not here yet
      return;
    }
    auto inner = opened ? wire::parse_protobuf(opened->reveal()) : Result<Event>(fail(opened.error()));
    if (inner) {
      inner->target = decoded->event.target;
      inner->replay_job = decoded->event.replay_job;
      decoded->event = *std::move(inner);
    } else {
      decoded = fail(inner.error());
    }
  }
  // What stands at that position must be what was parked: another record would be another customer's event.
  const bool same =
      decoded &&
      delivery_id(ownership_.identity(), state.delivery.position,
                  webhook_id(decoded->event.tenant, decoded->event.source, decoded->event.id),
                  state.delivery.target.incarnation, decoded->event.replay_job) == state.delivery.id;
  if (!same) {
    without_payload(*partition, state, loading.due, DeadReason::payload_lost);
    return;
  }
  activate(state, make_event(*partition, state, std::move(decoded->event)), loading.due);
}

void Parking::without_payload(OwnedPartition& partition, const ParkedState& state, std::int64_t due,
                              DeadReason reason) {
  auto event = make_event(partition, state, Event());
  event->has_payload = false;
  ActiveDelivery& delivery = add(state, std::move(event), due);
  settle_.bury(delivery, reason);
}

void Parking::erased(OwnedPartition& partition, const ParkedState& state, std::int64_t due) {
  auto event = make_event(partition, state, Event());
  event->has_payload = false;
  settle_.cancel(add(state, std::move(event), due), CancelReason::tenant_erased);
}

// --- held ones

void Parking::drain_held(SteadyTime now) {
  if (look_for_enabled_) {
    look_for_enabled_ = false;
    for (const auto& [incarnation, state] : dispatch_.states()) {
      if (state->held > 0) state->draining_held = true;
    }
  }
  for (const auto& [incarnation, state] : dispatch_.states()) {
    if (!state->draining_held) continue;
    const Dispatch::Room room = dispatch_.room(state->tenant, state->target, now);
    if (room.kind == Dispatch::Room::Kind::stopped) {
      state->draining_held = false;
      continue;
    }
    if (room.kind == Dispatch::Room::Kind::later || state->queue.size() >= kHeldPerTurn) continue;
    bool any = false;
    for (OwnedPartition* partition : ownership_.all()) {
      if (partition->phase != OwnedPartition::Phase::running) continue;
      for (const DeliveryId& id : view_.held(partition->number, incarnation, kHeldPerTurn)) {
        auto parked = view_.parked(id);
        if (!parked) continue;
        any = true;
        const std::int64_t expiry = parked->appended + context_.config.lifetime.count();
        const std::int64_t due = to_ms(context_.log_now());
        view_.unhold(parked->delivery);
        view_.move_due(parked->delivery, expiry, due);
        view_.put_due(*parked, due);
        if (state->held > 0) --state->held;
        partition->due_cursor = std::min(partition->due_cursor, {due, id});
        partition->next_due = std::min(partition->next_due.value_or(due), due);
      }
    }
    if (!any && !view_.broken()) {
      state->held = 0;
      state->draining_held = false;
    }
  }
}

SteadyTime Parking::next_wake(SteadyTime now) {
  SteadyTime next = now + kLookForMore;
  for (OwnedPartition* partition : ownership_.all()) {
    if (partition->next_due)
      next = std::min(next, context_.log_time.steady_at(from_ms<LogTime>(*partition->next_due)));
  }
  for (const auto& [incarnation, state] : dispatch_.states()) {
    if (state->draining_held) next = std::min(next, next_held_);
  }
  return std::max(next, next_load_);
}

std::int64_t Parking::oldest_due_ms() {
  std::int64_t late = 0;
  const std::int64_t now = to_ms(context_.log_now());
  for (OwnedPartition* partition : ownership_.all()) {
    if (partition->next_due && *partition->next_due > 0) late = std::max(late, now - *partition->next_due);
  }
  return late;
}

}  // namespace postrider::flow
