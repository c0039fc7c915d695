#include "engine/flow/shard.h"

#include <algorithm>
#include <utility>

namespace postrider::flow {
namespace {

constexpr std::size_t kRecordsPerPoll = 500;
constexpr std::size_t kRestoredAtOnce = 10000;  // rows
constexpr Millis kFlushEvery{100};
constexpr std::size_t kIntakeWaitingMax = 2000;
constexpr Millis kTellEvery{1000};
constexpr Millis kPressureEvery{50};
constexpr Millis kPressureWait{2000};
constexpr std::size_t kParkedPerPressure = 500;  // events
constexpr std::size_t kParkedAtOnce = 5000;      // deliveries: a step must not last
constexpr Millis kStaleForReadiness{30000};
constexpr Millis kStalledForReadiness{10000};

}  // namespace

Shard::Shard(Ports ports, ShardConfig config)
    : context_{ports, std::move(config), {}},
      view_(context_),
      appender_(context_),
      registry_(context_, appender_),
      ownership_(context_, appender_, view_, active_, registry_),
      settle_(context_, appender_, ownership_, view_, active_),
      dispatch_(context_, registry_, ownership_, settle_, active_),
      firsts_(context_, ownership_, view_),
      challenges_(context_, registry_, ownership_, dispatch_),
      schemas_(context_),
      intake_(context_, registry_, ownership_, dispatch_, settle_, view_, active_, firsts_, schemas_),
      parking_(context_, registry_, ownership_, dispatch_, settle_, view_, active_),
      requests_(context_, appender_, registry_),
      commands_(context_, appender_, registry_, dispatch_, view_, active_, requests_, schemas_, challenges_) {
  connect_parts();
}

void Shard::connect_parts() {
  ownership_.on_running = [this](OwnedPartition& partition) {
    parking_.start(partition);
    firsts_.start(partition);
  };
  ownership_.on_settled = [this](OwnedPartition& partition, const ActiveEvent& event) {
    firsts_.settled(partition, event);
    intake_.first_settled(partition, event.position.offset);
  };
  ownership_.on_dropped = [this](OwnedPartition& partition) {
    parking_.drop(partition);
    firsts_.drop(partition);
    intake_.drop(partition);
    settle_.drop(partition);
    for (std::uint64_t serial : active_.of_partition(partition.number)) active_.remove(serial);
  };
  ownership_.is_busy = [this](const OwnedPartition& partition) {
    return dispatch_.in_flight(partition.number) > 0 || settle_.busy(partition.number);
  };
  ownership_.on_draining = [this](OwnedPartition& partition) { park_what_began(partition); };
  ownership_.on_drain_over = [this](OwnedPartition& partition) {
    dispatch_.give_up_in_flight(partition.number);
  };
  appender_.may_append = [this](const Appender::Owner& owner) {
    return ownership_.may_append(owner, context_.steady());
  };
  registry_.on_change([this] {
    parking_.registry_changed();
    challenges_.registry_changed();
  });
  commands_.ready = [this] { return readiness(); };
  commands_.owns = [this](Partition partition) {
    const OwnedPartition* owned = ownership_.find(partition);
    return owned != nullptr && owned->phase == OwnedPartition::Phase::running;
  };
}

void Shard::start() {
  started_at_ = context_.steady();
  registry_.start();
}

void Shard::step() {
  dispatch_.turn_begins(context_.steady());
  context_.ports.log.poll(*this, kRecordsPerPoll);
  context_.ports.transport.poll(*this);
  context_.ports.resolver.poll(*this);
  const SteadyTime now = context_.steady();
  registry_.tick(now);
  join_when_ready();
  ownership_.tick(now);
  intake_.pump(now);
  parking_.tick(now);
  firsts_.tick(now, !crowded_ && !draining_ && !ownership_.restores());
  if (!draining_) challenges_.tick(now);
  dispatch_.pump(now);
  context_.ports.transport.start(*this);
  settle_.flush_batches();
  settle_.tick(now);
  commands_.tick(now);
  requests_.tick(now);
  appender_.pump();
  apply_pressure(now);
  ownership_.note_positions();
  firsts_.note_coverage();
  // Restored rows go in large batches: they cost a fraction of what they would one by one.
  const bool restores = ownership_.restores();
  if (!restores || view_.waiting() >= kRestoredAtOnce || now - flushed_at_ >= kFlushEvery) {
    (void)(restores ? view_.flush_behind() : view_.flush());
    flushed_at_ = now;
  }
  tell(now);
  dispatch_.turn_ends(context_.steady());
}

SteadyTime Shard::next_wake() {
  const SteadyTime now = context_.steady();
  SteadyTime next = std::min({registry_.next_tick(), ownership_.next_tick(), next_tell_,
                              commands_.next_wake(now), requests_.next_wake(now)});
  if (registry_.fresh(now) && !draining_) {
    if (dispatch_.in_flight() < context_.config.in_flight_max)
      next = std::min(next, dispatch_.next_wake(now));
    next = std::min({next, parking_.next_wake(now), firsts_.next_wake(now), intake_.next_wake(now),
                     challenges_.next_wake()});
  }
  return next;
}

// The group is joined once the registry and the environment's key are here: before, nothing could be routed,
// signed or set aside.
void Shard::join_when_ready() {
  if (joined_ || draining_ || !registry_.read_once() || !registry_.registry().identity()) return;
  // While its service is away what comes waits; without any key nothing could even be set aside.
  key_ready_ = key_ready_ || context_.ports.keys.has_key(TenantId());
  if (!key_asked_ && !key_ready_) {
    key_asked_ = true;
    registry_.ensure_key(TenantId(), [this](Result<void> done) {
      key_ready_ = done.has_value();
      key_asked_ = key_ready_;
      if (!done)
        context_.ports.observer.note("error", "key_unavailable", done.error().message, &done.error());
    });
  }
  if (!key_ready_) return;
  joined_ = true;
  context_.ports.log.join();
  on_joined();
}

// --- limits

std::size_t Shard::bytes() const {
  return active_.bytes() + intake_.waiting_bytes() + appender_.waiting_bytes();
}

// Over a limit polling stops and the heads of the windows are parked unattempted; nothing is dropped.
void Shard::apply_pressure(SteadyTime now) {
  const ShardConfig& config = context_.config;
  bool window_full = false;
  for (OwnedPartition* partition : ownership_.all()) {
    window_full |= partition->watermark.unsettled() >= config.window_max;
  }
  const bool pause = dispatch_.wants_pause(now);
  const bool hold = draining_ || window_full || bytes() >= config.bytes_max || view_.broken() ||
                    !registry_.fresh(now) || intake_.waiting() >= kIntakeWaitingMax || pause;
  crowded_ = pause || bytes() >= config.bytes_max / 2;
  if (hold != held_) {
    held_ = hold;
    context_.ports.log.hold(hold);
  }
  if (now < next_pressure_ || draining_ || !registry_.fresh(now)) return;
  next_pressure_ = now + kPressureEvery;
  const bool bytes_short = bytes() >= config.bytes_max * 9 / 10;
  for (OwnedPartition* partition : ownership_.all()) {
    if (!bytes_short && partition->watermark.unsettled() < config.window_max * 9 / 10) continue;
    const auto any = [](const ActiveEvent&) { return true; };
    for (const auto& event : head_of(*partition, kParkedPerPressure, any))
      dispatch_.park_queued(*event, kPressureWait);
  }
}

// Its siblings have gone out: read again, the event would go to them once more.
void Shard::park_what_began(OwnedPartition& partition) {
  const auto began = [this](const ActiveEvent& event) { return dispatch_.has_begun(event); };
  for (const auto& event : head_of(partition, kParkedAtOnce, began)) dispatch_.park_queued(*event, Millis(0));
}

// Kept alive while they are parked. Bounded in bytes too: each is sealed and copied into the view's batch.
std::vector<std::shared_ptr<ActiveEvent>> Shard::head_of(
    const OwnedPartition& partition, std::size_t most,
    const std::function<bool(const ActiveEvent&)>& wanted) const {
  std::vector<std::shared_ptr<ActiveEvent>> head;
  std::size_t bytes = 0, deliveries = 0;
  for (const auto& [offset, event] : partition.unsettled) {
    auto alive = event.lock();
    if (!alive || !wanted(*alive)) continue;
    bytes += alive->bytes;
    deliveries += alive->active;
    head.push_back(std::move(alive));
    if (head.size() >= most || deliveries >= kParkedAtOnce || bytes >= context_.config.bytes_max / 16) break;
  }
  return head;
}

// --- ports answer

void Shard::on_assigned(std::span<const Assignment> assigned) {
  assigned_once_ = true;
  for (const Assignment& assignment : assigned) {
    context_.ports.observer.note("info", "partition_assigned",
                                 "partition " + std::to_string(assignment.partition), nullptr);
  }
  ownership_.on_assigned(assigned);
}

void Shard::on_revoked(std::span<const Partition> revoked, bool lost) {
  for (Partition partition : revoked) {
    context_.ports.observer.note("info", lost ? "partition_lost" : "partition_revoked",
                                 "partition " + std::to_string(partition), nullptr);
  }
  ownership_.on_revoked(revoked, lost);
}

void Shard::on_event(Record record) {
  intake_.on_event(std::move(record));
  if (held_ || bytes() < context_.config.bytes_max) return;
  // One poll brings many: the rest waits where it is.
  held_ = true;
  context_.ports.log.hold(true);
}

void Shard::on_events_lost(Partition partition, Offset first, Offset next) {
  intake_.on_lost(partition, first, next);
}

void Shard::on_tail(Record record) {
  if (record.topic == Topic::parked) {
    ownership_.on_tail(record);
  } else if (record.topic == Topic::attempts) {
    firsts_.on_tail(record);
  } else if (record.topic == Topic::requests) {
    requests_.on_tail(record);
  } else {
    registry_.on_tail(record);
  }
}

void Shard::on_appended(std::uint64_t token, const Appended& appended) {
  appender_.on_appended(token, appended);
}

void Shard::on_committed(Partition partition, Offset offset, SteadyTime sent_at, bool acknowledged) {
  ownership_.on_committed(partition, offset, sent_at, acknowledged);
}

void Shard::on_end(Topic topic, Partition partition, Offset end, SteadyTime asked_at) {
  if (topic == Topic::attempts) return firsts_.on_end(partition, end, asked_at);
  if (topic == Topic::events) return ownership_.on_end(partition, end, asked_at, held_);
  registry_.on_end(topic, end, asked_at);
}

void Shard::on_fetched(std::uint64_t token, Result<Record> record) {
  if (Intake::is_look(token)) return intake_.on_fetched(token, record);
  if (Ownership::is_question(token)) return ownership_.on_fetched(token, record);
  parking_.on_fetched(token, record);
}

void Shard::on_log_error(const Error& error) {
  const SteadyTime now = context_.steady();
  // Connectivity comes in bursts: one line a second is enough.
  if (!log_error_ || log_error_->code != error.code || now - log_error_at_ > kTellEvery) {
    context_.ports.observer.note("error", "log_error", error.message, &error);
  }
  log_error_ = error;
  log_error_at_ = now;
}

void Shard::on_outcome(std::uint64_t token, Outcome outcome) {
  if (challenges_.is_ours(token)) return challenges_.on_outcome(token, outcome);
  dispatch_.on_outcome(token, outcome);
}

void Shard::on_resolved(std::uint64_t token, Result<Resolved> resolved) {
  if (Commands::is_lookup(token)) {
    commands_.on_resolved(token, resolved);
  } else {
    dispatch_.on_resolved(token, resolved);
  }
}

// --- telling

void Shard::tell(SteadyTime now) {
  if (now < next_tell_) return;
  next_tell_ = now + kTellEvery;
  if (registry_.fresh(now)) fresh_at_ = now;
  if (context_.log_time.known()) context_.ports.store.set_log_time(context_.log_now());
  ShardGauges gauges;
  for (OwnedPartition* partition : ownership_.all()) {
    gauges.unsettled += partition->watermark.unsettled();
    gauges.parked += partition->parked;
    ++gauges.partitions;
    if (!firsts_.wanted() || partition->phase != OwnedPartition::Phase::running) continue;
    gauges.repeat_index.push_back(
        {partition->number, firsts_.covered(*partition).count(), firsts_.covers_window(*partition)});
  }
  gauges.in_flight = dispatch_.in_flight();
  gauges.queued = dispatch_.queued();
  gauges.silent_in_flight = dispatch_.silent_in_flight();
  gauges.slowed = dispatch_.slowed(now);
  gauges.bytes = bytes();
  gauges.unacknowledged = appender_.unacknowledged();
  gauges.oldest_due_ms = context_.log_time.known() ? parking_.oldest_due_ms() : 0;
  gauges.lag = gauges.unsettled + intake_.waiting();
  gauges.endpoints = registry_.registry().all().size();
  gauges.view_broken = view_.broken().has_value();
  for (const auto& [incarnation, state] : dispatch_.states()) {
    gauges.held += state->held;
    if (state->breaker_was_open) ++gauges.breakers_open;
  }
  context_.ports.observer.gauges(gauges);
}

Readiness Shard::readiness() {
  const SteadyTime now = context_.steady();
  Readiness ready;
  ready.registry_read = registry_.read_once();
  ready.registry_fresh = registry_.fresh(now) || (fresh_at_ && now - *fresh_at_ < kStaleForReadiness);
  ready.log_reachable = ready.registry_fresh;
  ready.store_open = !view_.broken();
  ready.consuming = joined_ && !draining_;
  if (!ready.registry_read) ready.complaints.emplace_back("the registry is not read yet");
  if (ready.registry_read && !ready.registry_fresh) {
    ready.complaints.push_back("the log has not answered for 30 s" +
                               (log_error_ ? ": " + log_error_->message : std::string()));
  }
  if (const auto since = appender_.stalled_since(now); since && now - *since > kStalledForReadiness) {
    ready.log_reachable = false;
    ready.complaints.push_back("the log has acknowledged nothing for " +
                               std::to_string((now - *since).count() / 1000) + " s" +
                               (log_error_ ? ": " + log_error_->message : std::string()));
  }
  if (const auto& broken = view_.broken()) ready.complaints.push_back("the view: " + broken->message);
  if (!joined_) ready.complaints.emplace_back("not consuming yet");
  if (draining_) ready.complaints.emplace_back("draining");
  for (const std::string& complaint : ownership_.complaints()) ready.complaints.push_back(complaint);
  if (auto note = firsts_.wanted() ? firsts_.note() : std::nullopt) ready.notes.push_back(*std::move(note));
  return ready;
}

// --- the end

void Shard::drain() {
  if (draining_) return;
  draining_ = true;
  dispatch_.stop_sending(true);
  ownership_.drain_all();
}

}  // namespace postrider::flow
