#include "engine/flow/firsts.h"

#include <algorithm>
#include <utility>

#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr Offset kPieceRecords = 1000;  // about what one fetch brings
constexpr std::size_t kRowsPerScan = 500;
constexpr Millis kRest{10};
constexpr Millis kNoRoom{200};
// `events` and `attempts` may be led by brokers whose clocks differ by so much.
constexpr Millis kBrokersDiffer = std::chrono::minutes(1);
// A leader that was deposed may tell an end that is too low for a second (engine/README.md, registry).
constexpr Millis kEndAfter{2000};
constexpr Millis kEndAgain{1000};
constexpr Millis kSilentFor{10000};
constexpr Offset kNotBegun = -1;

std::string span_words(Millis span) {
  const std::int64_t minutes = span.count() / 60'000;
  if (minutes < 1) return std::to_string(span.count() / 1000) + " s";
  if (minutes < 120) return std::to_string(minutes) + " min";
  return std::to_string(minutes / 60) + " h";
}

}  // namespace

// --- Intake's

void Firsts::taken(OwnedPartition& partition, const Record& record) {
  State& state = partition.firsts;
  state.taken = std::max(state.taken, record.appended);
  if (!state.sample) state.sample.emplace(record.offset + 1, record.appended);
}

std::optional<View::First> Firsts::find(const OwnedPartition& partition, const Hash128& key) {
  const auto& unsettled = partition.firsts.unsettled;
  if (const auto found = unsettled.find(key); found != unsettled.end()) return found->second;
  return view_.first_position(partition.number, key);
}

std::optional<Offset> Firsts::hint(const OwnedPartition& partition, const Event& event, Offset below) {
  // Never read back, and whole: there are none, or they are older than the window.
  if (partition.firsts.coverage.read_to == kNotBegun && covers_window(partition)) return std::nullopt;
  const auto proven = view_.proven_position(
      partition.number, proof_key(webhook_id(event.tenant, event.source, event.id), event.replay_job));
  if (!proven || proven->offset >= below) return std::nullopt;
  return proven->offset;
}

void Firsts::routed(OwnedPartition& partition, const Hash128& key, View::First first) {
  partition.firsts.unsettled[key] = first;
}

void Firsts::confirmed(const OwnedPartition& partition, const Hash128& key, View::First first) {
  view_.put_first_position(partition.number, key, first);
}

void Firsts::settled(OwnedPartition& partition, const ActiveEvent& event) {
  if (!event.first_key) return;
  auto& unsettled = partition.firsts.unsettled;
  const auto found = unsettled.find(*event.first_key);
  // Of two that were routed, the later one is no first position.
  if (found == unsettled.end() || found->second.offset != event.position.offset) return;
  view_.put_first_position(partition.number, *event.first_key, found->second);
  unsettled.erase(found);
}

// --- how far it goes

bool Firsts::covers_window(const OwnedPartition& partition) const {
  if (!wanted()) return true;
  const State& state = partition.firsts;
  if (state.coverage.since == LogTime{}) return true;
  const auto oldest = oldest_to_come(partition);
  return oldest && state.coverage.since <= *oldest - context_.config.repeat_window;
}

// nullopt: not known before one was taken.
std::optional<LogTime> Firsts::oldest_to_come(const OwnedPartition& partition) const {
  const State& state = partition.firsts;
  if (partition.next_event >= partition.assignment.events_end) return std::max(state.taken, state.started);
  return state.taken == LogTime{} ? std::nullopt : std::optional(state.taken);
}

Millis Firsts::covered(const OwnedPartition& partition) const {
  const Millis window = context_.config.repeat_window;
  if (covers_window(partition)) return window;
  return std::clamp(context_.log_now() - partition.firsts.coverage.since, Millis(0), window);
}

std::optional<std::string> Firsts::note() {
  std::size_t running = 0, short_of_it = 0;
  Millis least = context_.config.repeat_window;
  for (const OwnedPartition* partition : ownership_.all()) {
    if (partition->phase != OwnedPartition::Phase::running) continue;
    ++running;
    if (covers_window(*partition)) continue;
    ++short_of_it;
    least = std::min(least, covered(*partition));
  }
  if (short_of_it == 0) return std::nullopt;
  return "of " + std::to_string(short_of_it) + " of " + std::to_string(running) +
         " partitions the index of first positions covers less than the last " +
         span_words(context_.config.repeat_window) + " (the least: " + span_words(least) +
         "): it is being built again, and until then a repeat may be delivered";
}

// --- rebuilding

void Firsts::start(OwnedPartition& partition) {
  if (!wanted()) return;
  State& state = partition.firsts;
  state = State();
  state.start = partition.watermark.next_to_commit();
  state.started = context_.log_now();
  state.scanned_at = context_.steady();
  state.moved = true;
  const auto before = view_.coverage(partition.number);
  // Whoever wrote the last mark has settled what was read since. Bits above the commit may be of events that
  // a view which lost its last seconds does not hold.
  const bool ours = partition.last_mark && partition.last_mark->instance == context_.config.instance;
  if (before && before->next >= state.start && ours && partition.settled_above.empty()) {
    state.coverage = *before;
    if (state.coverage.read_to != kNotBegun) state.stage = State::Stage::reading;
  } else {
    begin_anew(partition, before);
  }
  state.told = covers_window(partition);
}

// What the view had of it before is another span, until the two meet.
void Firsts::begin_anew(OwnedPartition& partition, const std::optional<View::Coverage>& before) {
  State& state = partition.firsts;
  state.coverage.next = state.start;
  // An earlier owner may have routed what is read again from the beginning, and now matches nothing.
  const bool nothing_before = state.start <= partition.assignment.events_begin && !partition.last_mark;
  if (nothing_before && partition.settled_above.empty()) return;
  state.coverage.since = state.started + kBrokersDiffer;
  if (!before) return;
  state.coverage.time = before->time;
  state.coverage.older_since = before->since;
  state.coverage.older_until = before->time;
}

void Firsts::drop(const OwnedPartition& partition) {
  if (piece_ && piece_->partition == partition.number) end_piece();
}

bool Firsts::lacks_something(const OwnedPartition& partition) const {
  return partition.phase == OwnedPartition::Phase::running && !covers_window(partition);
}

OwnedPartition* Firsts::next_lacking() {
  OwnedPartition* first = nullptr;
  for (OwnedPartition* partition : ownership_.all()) {
    if (!lacks_something(*partition)) continue;
    if (partition->number > last_) return partition;
    if (first == nullptr) first = partition;
  }
  return first;
}

void Firsts::tick(SteadyTime now, bool room) {
  if (!wanted()) return;
  for (OwnedPartition* partition : ownership_.all()) {
    if (partition->phase != OwnedPartition::Phase::running || partition->firsts.told) continue;
    if (!covers_window(*partition)) continue;
    partition->firsts.told = true;
    context_.ports.observer.note("info", "repeat_index_whole",
                                 "partition " + std::to_string(partition->number) +
                                     ": the index of first positions covers the whole window",
                                 nullptr);
  }
  if (piece_) {
    if (now - piece_->heard_at < kSilentFor) return;
    end_piece();  // its leader is away, perhaps: again, later
    next_ = now + kEndAgain;
  }
  if (now < next_ || view_.broken()) return;
  next_ = now + (room ? kRest : kNoRoom);
  if (!room) return;
  if (OwnedPartition* partition = next_lacking()) {
    last_ = partition->number;
    go_on(*partition, now);
  }
}

void Firsts::go_on(OwnedPartition& partition, SteadyTime now) {
  State& state = partition.firsts;
  switch (state.stage) {
    case State::Stage::scanning:
      return scan_parked(partition, now);
    case State::Stage::waiting_for_end:
      if (now - state.scanned_at < kEndAfter || now - state.asked_at < kEndAgain) return;
      state.asked_at = now;
      return context_.ports.log.ask_end(Topic::attempts, partition.number);
    case State::Stage::reading:
      return read_piece(partition, now);
  }
}

// What is parked was routed. It comes first, and the end of `attempts` is asked for after it: what stops
// being parked in between ends with a fact below that end.
void Firsts::scan_parked(OwnedPartition& partition, SteadyTime now) {
  State& state = partition.firsts;
  LogTime from = state.coverage.older_until;
  if (const auto oldest = oldest_to_come(partition))
    from = std::max(from, *oldest - context_.config.repeat_window);
  for (const ParkedState& parked : view_.parked_behind(partition.number, state.scanned, kRowsPerScan)) {
    view_.put_index_of(parked.delivery);  // what was restored from the log is found by its ids again
    const LogTime appended = from_ms<LogTime>(parked.appended);
    if (appended >= from) (void)prove(partition, parked.delivery, appended);
  }
  if (view_.broken()) state.scanned.clear();  // what it could not tell: from the beginning, then
  if (view_.broken() || !state.scanned.empty()) return;
  state.scanned_at = now;
  state.stage = State::Stage::waiting_for_end;
}

void Firsts::on_end(Partition number, Offset end, SteadyTime asked_at) {
  OwnedPartition* partition = ownership_.find(number);
  if (!partition || partition->phase != OwnedPartition::Phase::running) return;
  State& state = partition->firsts;
  if (state.stage != State::Stage::waiting_for_end || asked_at - state.scanned_at < kEndAfter) return;
  state.stage = State::Stage::reading;
  state.coverage.read_to = end;
  state.moved = true;
}

void Firsts::read_piece(OwnedPartition& partition, SteadyTime now) {
  const Offset to = partition.firsts.coverage.read_to;
  if (to == 0) {
    goes_back_to(partition.firsts, LogTime{});
    return;
  }
  piece_ = Piece{partition.number, std::max<Offset>(0, to - kPieceRecords), to, std::nullopt, false, now};
  context_.ports.log.tail(Topic::attempts, partition.number, piece_->from);
}

void Firsts::on_tail(const Record& record) {
  if (!piece_ || piece_->partition != record.partition) return;
  OwnedPartition* partition = ownership_.find(record.partition);
  if (!partition) return;
  piece_->heard_at = context_.steady();
  if (record.offset < piece_->to) {
    if (!piece_->oldest) piece_->oldest = record.appended;
    absorb(*partition, record);
  }
  if (record.offset + 1 >= piece_->to) piece_read(*partition);
}

void Firsts::absorb(OwnedPartition& partition, const Record& record) {
  const auto fact = wire::decode_attempts(context_.config.environment, record.value.value_or(""));
  if (!fact) return;
  const auto* attempt = std::get_if<AttemptFact>(&*fact);
  // Of one that failed it is not known here whether it was parked, or read again and routed to nobody.
  if (attempt == nullptr || attempt->verdict != Verdict::Kind::success) return;
  if (!prove(partition, attempt->delivery, record.appended)) piece_->failed = true;
}

// The lowest wins. What came after our assignment enters the index as it settles. What an earlier owner may
// have routed does not always: the bitmap says that it is not read again, or it is, and matches nothing any
// more.
bool Firsts::prove(OwnedPartition& partition, const DeliveryRef& delivery, LogTime appended) {
  const Offset offset = delivery.position.offset;
  const bool before_us = offset < partition.assignment.events_end;
  if (delivery.position.partition != partition.number || !before_us) return true;
  const Hash128 key = proof_key(delivery.webhook_id, delivery.replay_job);
  const auto known = view_.proven_position(partition.number, key);
  if (view_.broken()) return false;  // a lower one may stand there
  if (known && known->offset <= offset) return true;
  view_.put_proven_position(partition.number, key, {offset, appended});
  return true;
}

void Firsts::piece_read(OwnedPartition& partition) {
  State& state = partition.firsts;
  const Piece piece = *piece_;
  end_piece();
  next_ = context_.steady() + kRest;
  if (piece.failed) return;  // once more
  state.coverage.read_to = piece.from;
  state.moved = true;
  // Nothing lies below: the log begins above, or at 0.
  goes_back_to(state, piece.oldest && piece.from > 0 ? *piece.oldest + kBrokersDiffer : LogTime{});
}

void Firsts::goes_back_to(State& state, LogTime since) {
  View::Coverage& coverage = state.coverage;
  coverage.since = std::min(coverage.since, since);
  if (coverage.older_until != LogTime{} && coverage.since <= coverage.older_until) {
    coverage.since = std::min(coverage.since, coverage.older_since);
    coverage.older_since = coverage.older_until = LogTime{};
  }
  state.moved = true;
}

void Firsts::end_piece() {
  context_.ports.log.untail(Topic::attempts, piece_->partition);
  piece_.reset();
}

SteadyTime Firsts::next_wake(SteadyTime now) {
  if (piece_) return piece_->heard_at + kSilentFor;
  const OwnedPartition* partition = wanted() && !view_.broken() ? next_lacking() : nullptr;
  if (partition == nullptr) return now + kSilentFor;
  if (partition->firsts.stage != State::Stage::waiting_for_end) return next_;
  const State& state = partition->firsts;
  return std::max({next_, state.scanned_at + kEndAfter, state.asked_at + kEndAgain});
}

void Firsts::note_coverage() {
  if (!wanted()) return;
  for (OwnedPartition* partition : ownership_.all()) {
    if (partition->phase != OwnedPartition::Phase::running &&
        partition->phase != OwnedPartition::Phase::draining) {
      continue;
    }
    State& state = partition->firsts;
    const Offset next = partition->watermark.next_to_commit();
    if (next == state.coverage.next && !state.moved) continue;
    state.coverage.next = next;
    if (state.sample && next >= state.sample->first) {
      state.coverage.time = std::max(state.coverage.time, state.sample->second);
      state.sample.reset();
    }
    state.moved = false;
    view_.put_coverage(partition->number, state.coverage);
  }
}

}  // namespace postrider::flow
