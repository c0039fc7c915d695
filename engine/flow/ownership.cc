#include "engine/flow/ownership.h"

#include <algorithm>
#include <utility>

#include "engine/flow/stalls.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr Millis kTick{100};
constexpr Millis kIdleTick{1000};
constexpr Millis kCommitEvery{250};
constexpr Millis kHeartbeatMax = kStalled * 2 / 5;
constexpr std::uint64_t kCommitAfterSettled = 1000;
constexpr Millis kMarkEvery{60000};
constexpr Millis kAskEndEvery{5000};
constexpr Millis kAskSourceAgain{2000};
constexpr std::uint64_t kQuestion = std::uint64_t{1} << 62;
constexpr std::size_t kMetadataCharsMax = 3500;  // broker's offset.metadata.max.bytes is 4096 by default
constexpr Millis kCommitWaitMax{1000};

// What the log is called is its adapter's to know: whoever reads this has it in the configuration.
std::string stop_and_run(const std::string& verb, const Environment& environment, Partition partition) {
  return "stop every daemon of this environment, on Kafka wait for one session timeout (15 s), and run: "
         "postrider-ops --log LOG --environment " +
         environment.str() + " " + verb + " --partition " + std::to_string(partition) +
         " --yes (LOG, and -X for Kafka's settings, as in the daemon's configuration)";
}

}  // namespace

Ownership::Ownership(Context& context, Appender& appender, View& view, ActiveTable& active,
                     RegistryView& registry)
    : context_(context), appender_(appender), view_(view), active_(active), registry_(registry) {
  view_.before_flush = [this] { note_counts(); };
}

// --- who owns what

OwnedPartition* Ownership::find(Partition partition) {
  auto at = owned_.find(partition);
  return at == owned_.end() ? nullptr : at->second.get();
}

OwnedPartition* Ownership::find(Partition partition, std::uint64_t generation) {
  OwnedPartition* owned = find(partition);
  return owned && owned->generation == generation ? owned : nullptr;
}

std::vector<OwnedPartition*> Ownership::all() {
  std::vector<OwnedPartition*> partitions;
  for (auto& [number, partition] : owned_) partitions.push_back(partition.get());
  return partitions;
}

bool Ownership::restores() const {
  using Phase = OwnedPartition::Phase;
  return std::any_of(owned_.begin(), owned_.end(), [](const auto& owned) {
    const Phase phase = owned.second->phase;  // between the two our mark is under way
    return phase == Phase::reading || phase == Phase::marking || phase == Phase::restoring;
  });
}

bool Ownership::may_act(const OwnedPartition& partition, SteadyTime now) const {
  const bool phase =
      partition.phase == OwnedPartition::Phase::running || partition.phase == OwnedPartition::Phase::draining;
  return phase && !partition.superseded_at && partition.lease_until && now < *partition.lease_until;
}

bool Ownership::may_append(const Appender::Owner& owner, SteadyTime now) {
  using Phase = OwnedPartition::Phase;
  const OwnedPartition* partition = find(owner.partition, owner.generation);
  if (!partition) return false;
  const bool begun = partition->phase == Phase::running || partition->phase == Phase::draining;
  return !begun || may_act(*partition, now);
}

std::vector<std::string> Ownership::complaints() const {
  std::vector<std::string> sentences;
  for (const auto& [partition, sentence] : complaints_) sentences.push_back(sentence);
  for (const auto& [number, partition] : owned_)
    if (auto stall = stall_of(*partition, context_.steady())) sentences.push_back(*std::move(stall));
  return sentences;
}

LogIdentity Ownership::identity() const {
  const auto& fact = registry_.registry().identity();
  return fact ? fact->identity : LogIdentity();
}

// --- takeover

void Ownership::on_assigned(std::span<const Assignment> assigned) {
  for (const Assignment& assignment : assigned) {
    drop(assignment.partition);  // an adapter that gave it up by itself may hand it out again
    auto partition = std::make_unique<OwnedPartition>();
    partition->number = assignment.partition;
    partition->generation = ++generations_;
    partition->assignment = assignment;
    partition->assigned_at = context_.steady();
    OwnedPartition& added = *partition;
    owned_[assignment.partition] = std::move(partition);
    open(added);
  }
}

// While the view cannot be read, nothing is known of what was parked: the partition waits.
void Ownership::open(OwnedPartition& partition) {
  const Assignment& assignment = partition.assignment;
  partition.last_mark = view_.mark(partition.number);
  const auto tail = view_.tail(partition.number);
  if (view_.broken()) return;
  if (tail && tail->next <= assignment.parked_end && tail->next >= assignment.parked_begin) {
    partition.view_at_hand = true;
    partition.tail_next = tail->next;
    partition.view_as_of = tail->appended;
    partition.tail_appended = tail->appended;
    partition.parked = tail->parked;
    partition.noted = tail;
  } else {
    if (!view_.wipe(partition.number)) return;
    partition.from_nothing = true;
    partition.tail_next = assignment.parked_begin;
  }
  partition.phase = OwnedPartition::Phase::reading;
  follow(partition);
  read_on(partition);
}

void Ownership::follow(OwnedPartition& partition) {
  context_.ports.log.untail(Topic::parked, partition.number);
  context_.ports.log.tail(Topic::parked, partition.number, partition.tail_next);
}

// The view's rows of that partition, from the log alone.
void Ownership::rebuild(OwnedPartition& partition) {
  partition.parked = 0;
  partition.noted.reset();
  partition.tail_next = partition.assignment.parked_begin;
  partition.wipe_owed = !view_.wipe(partition.number);
  partition.from_nothing = !partition.wipe_owed;
  partition.tail_stalled = partition.wipe_owed;
  if (!partition.tail_stalled) follow(partition);
}

void Ownership::take_up_again(OwnedPartition& partition) {
  if (view_.broken()) return;
  if (partition.phase == OwnedPartition::Phase::opening) return open(partition);
  if (!partition.tail_stalled) return;
  if (partition.wipe_owed) return rebuild(partition);
  partition.tail_stalled = false;
  follow(partition);
}

void Ownership::read_on(OwnedPartition& partition) {
  using Phase = OwnedPartition::Phase;
  if (partition.phase == Phase::reading && partition.tail_next >= partition.assignment.parked_end) {
    check_and_mark(partition);
  } else if (partition.phase == Phase::restoring && partition.tail_next > partition.epoch) {
    run(partition);
  }
}

std::optional<Error> Ownership::refusal(const OwnedPartition& partition) const {
  if (!partition.last_mark) return std::nullopt;
  const OwnerMark& mark = *partition.last_mark;
  const Assignment& now = partition.assignment;
  const Environment& environment = context_.config.environment;
  const std::string name = "partition " + std::to_string(partition.number);
  const auto& identity = registry_.registry().identity();
  const std::string source_advice = "find out what became of the topic; then " +
                                    stop_and_run("topics accept-source", environment, partition.number);
  if (partition.source == OwnedPartition::Source::replaced) {
    return Error{Errc::conflict, "SOURCE_REPLACED",
                 name + ": `events` holds another record at " + std::to_string(mark.read->offset) +
                     " than the one that an earlier owner read there: the topic was made again",
                 source_advice};
  }
  if (mark.events_end > now.events_end || (identity && mark.log != identity->identity)) {
    return Error{Errc::conflict, "SOURCE_REPLACED",
                 name + ": `events` ends at " + std::to_string(now.events_end) +
                     ", yet an earlier owner saw " + std::to_string(mark.events_end) +
                     ": the topic was made again or truncated",
                 source_advice};
  }
  if (mark.committed && (!now.committed || *now.committed < *mark.committed)) {
    return Error{Errc::conflict, "OFFSETS_LOST",
                 name + ": an earlier owner had committed " + std::to_string(*mark.committed) +
                     ", the group now has " + (now.committed ? std::to_string(*now.committed) : "nothing"),
                 stop_and_run("offsets rebuild", environment, partition.number)};
  }
  return std::nullopt;
}

// What the last owner read last is asked for: a topic that was made again may have grown past it by now.
bool Ownership::knows_source(OwnedPartition& partition) {
  using Source = OwnedPartition::Source;
  if (!partition.last_mark || !partition.last_mark->read) return true;
  const Offset offset = partition.last_mark->read->offset;
  const Assignment& now = partition.assignment;
  if (offset < now.events_begin || offset >= now.events_end) return true;  // gone by retention, or refused
  if (partition.source == Source::unknown) {
    partition.source = Source::asked;
    partition.source_asked_at = context_.steady();
    const std::uint64_t token = kQuestion | ++last_question_;
    questions_.emplace(token, std::pair(partition.number, partition.generation));
    context_.ports.log.fetch({partition.number, offset - partition.source_looked_below}, token);
  }
  return partition.source != Source::asked;
}

bool Ownership::is_question(std::uint64_t token) {
  return (token & kQuestion) != 0;
}

void Ownership::on_fetched(std::uint64_t token, const Result<Record>& record) {
  using Source = OwnedPartition::Source;
  const auto asked = questions_.find(token);
  if (asked == questions_.end()) return;
  const auto [number, generation] = asked->second;
  questions_.erase(asked);
  OwnedPartition* partition = find(number, generation);
  if (!partition || partition->source != Source::asked || !partition->last_mark) return;
  if (!record && record.error().errc != Errc::not_found) return;  // asked again by and by
  const OwnerMark::Read& read = *partition->last_mark->read;
  Offset& below = partition->source_looked_below;
  if (!record) {
    // A transaction's marker in a topic that was made again, or retention came between: that took what lies
    // below as well, and proves nothing.
    below = below == 0 ? 1 : below * 2;
    const bool any_left = read.offset - below >= partition->assignment.events_begin;
    partition->source = any_left ? Source::unknown : Source::same;
  } else {
    const bool other =
        below == 0 ? to_ms(record->appended) != read.appended : to_ms(record->appended) > read.appended;
    partition->source = other ? Source::replaced : Source::same;
  }
  read_on(*partition);
}

// The first event that is owed.
Offset Ownership::begin_of(const OwnedPartition& partition) {
  const Assignment& assignment = partition.assignment;
  if (assignment.committed) return *assignment.committed;
  const auto& mark = partition.last_mark;
  return mark && mark->begins_at ? *mark->begins_at : assignment.events_begin;
}

void Ownership::check_and_mark(OwnedPartition& partition) {
  if (!knows_source(partition)) return;
  if (auto error = refusal(partition)) {
    partition.phase = OwnedPartition::Phase::stopped;
    complaints_[partition.number] = error->message + ". " + error->suggestion;
    context_.ports.observer.note("error", "partition_stopped", error->message, &*error);
    return;
  }
  complaints_.erase(partition.number);
  partition.phase = OwnedPartition::Phase::marking;
  write_mark(partition);
}

void Ownership::write_mark(OwnedPartition& partition) {
  OwnerMark mark;
  if (const auto& identity = registry_.registry().identity()) mark.log = identity->identity;
  mark.instance = context_.config.instance;
  mark.committed =
      partition.committed >= 0 ? std::optional<Offset>(partition.committed) : partition.assignment.committed;
  partition.mark_names_offset = mark.committed.has_value();
  mark.events_end = std::max(partition.assignment.events_end, partition.next_event);
  mark.begins_at = begin_of(partition);
  mark.read = partition.read;
  if (!mark.read && partition.last_mark) mark.read = partition.last_mark->read;
  NewRecord record{.topic = Topic::parked,
                   .partition = partition.number,
                   .key = std::string(kOwnerKey),
                   .value = wire::encode(context_.config.environment, mark),
                   .headers = {}};
  const Appender::Owner owner{partition.number, partition.generation};
  appender_.append(
      std::move(record),
      [this, owner](const Appended& appended) {
        if (OwnedPartition* owned = find(owner.partition, owner.generation)) marked(*owned, appended);
      },
      owner);
}

void Ownership::marked(OwnedPartition& partition, const Appended& appended) {
  if (partition.phase != OwnedPartition::Phase::marking) return;  // the minute's fresh one
  if (appended.status != Appended::Status::acknowledged) {
    // It may have landed: a second mark of ours does no harm.
    partition.mark_again_at = context_.steady() + kTick;
    return;
  }
  partition.epoch = appended.offset;
  partition.phase = OwnedPartition::Phase::restoring;
  if (partition.view_at_hand && appended.appended - partition.view_as_of > context_.config.stale_view) {
    // Older than tombstones are kept: what the view holds may have ended and been compacted away.
    context_.ports.observer.note("warn", "view_wiped", "the view of a partition is too old: built again",
                                 nullptr);
    rebuild(partition);
  }
  read_on(partition);
}

void Ownership::run(OwnedPartition& partition) {
  const Assignment& assignment = partition.assignment;
  const Offset from = begin_of(partition);
  partition.watermark = Watermark(from);
  partition.next_event = from;
  lost_at_source(partition, from, assignment.events_begin - 1);
  partition.settled_above = SettledAbove(assignment.committed.value_or(from), assignment.metadata);
  partition.phase = OwnedPartition::Phase::running;
  partition.from_nothing = false;
  forget_restored();
  partition.running_since = context_.steady();
  partition.next_mark = context_.steady() + kMarkEvery;
  commit(partition, context_.steady());  // its acknowledgement starts the lease
  context_.ports.log.begin(partition.number, partition.next_event);
  on_running(partition);
}

void Ownership::lost_at_source(OwnedPartition& partition, Offset first, Offset last) {
  first = std::max(first, partition.next_event);
  if (first > last) return;
  context_.ports.observer.note("error", "source_lost",
                               "partition " + std::to_string(partition.number) + ": events " +
                                   std::to_string(first) + " to " + std::to_string(last) +
                                   " were removed before they were read",
                               nullptr);
  received(partition, first);
  if (last > first) received(partition, last);
  partition.lost.push_back({first, last});
}

void Ownership::tell_lost(OwnedPartition& partition, SteadyTime now) {
  for (OwnedPartition::Lost& lost : partition.lost) {
    if (lost.under_way || !may_act(partition, now)) continue;
    lost.under_way = true;
    SourceLostFact fact;
    fact.stamp = partition.next_stamp();
    fact.partition = partition.number;
    fact.first = lost.first;
    fact.last = lost.last;
    const Appender::Owner owner{partition.number, partition.generation};
    appender_.append(
        {.topic = Topic::attempts,
         .partition = partition.number,
         .key = "source-lost",
         .value = wire::encode(context_.config.environment, fact),
         .headers = {}},
        [this, owner, first = lost.first](const Appended& appended) {
          if (OwnedPartition* owned = find(owner.partition, owner.generation))
            told_lost(*owned, first, appended.status == Appended::Status::acknowledged);
        },
        owner);
  }
}

void Ownership::told_lost(OwnedPartition& partition, Offset first, bool acknowledged) {
  const auto lost = std::find_if(partition.lost.begin(), partition.lost.end(),
                                 [first](const OwnedPartition::Lost& one) { return one.first == first; });
  if (lost == partition.lost.end()) return;
  lost->under_way = false;
  if (!acknowledged) return;  // again, by the next tick
  const Offset last = lost->last;
  partition.lost.erase(lost);
  settled(partition, first);
  if (last > first) settled(partition, last);
}

// --- settling and committing

void Ownership::received(OwnedPartition& partition, Offset offset) {
  if (partition.watermark.unsettled() == 0) partition.settled_at = context_.steady();
  partition.watermark.received(offset);
  partition.next_event = offset + 1;
}

void Ownership::settled(OwnedPartition& partition, Offset offset) {
  partition.watermark.settled(offset);
  partition.settled_at = context_.steady();
  partition.unsettled.erase(offset);
  ++partition.settled_since_commit;
}

void Ownership::settled(OwnedPartition& partition, const ActiveEvent& event) {
  on_settled(partition, event);
  settled(partition, event.position.offset);
}

void Ownership::commit(OwnedPartition& partition, SteadyTime now) {
  partition.commit_under_way = true;
  partition.commit_sent = now;
  partition.settled_since_commit = 0;
  context_.ports.log.commit(partition.number, partition.watermark.next_to_commit(),
                            partition.watermark.bitmap(kMetadataCharsMax));
}

void Ownership::on_committed(Partition number, Offset offset, SteadyTime sent_at, bool acknowledged) {
  OwnedPartition* partition = find(number);
  if (!partition) return;
  partition->commit_under_way = false;
  if (!acknowledged) return;
  partition->acknowledged_at = context_.steady();
  partition->committed = offset;
  // The first offset of a new partition is soon named, or its loss would go unnoticed for a minute.
  if (offset > 0 && !partition->mark_names_offset) partition->next_mark = context_.steady();
  if (partition->superseded_at && sent_at >= *partition->superseded_at) {
    // We are the owner all the same: the mark was a former one's, landing late. Ours goes after it.
    partition->superseded_at.reset();
    partition->next_mark = context_.steady();
  }
  const Millis lease = context_.ports.log.session_timeout() * 8 / 10;
  partition->lease_until = std::max(partition->lease_until.value_or(sent_at + lease), sent_at + lease);
}

void Ownership::tick(SteadyTime now) {
  bool idle = true;
  std::vector<Partition> over;
  for (auto& [number, partition] : owned_) {
    take_up_again(*partition);
    if (partition->source == OwnedPartition::Source::asked &&
        now - partition->source_asked_at >= kAskSourceAgain) {
      partition->source = OwnedPartition::Source::unknown;  // from where it had got to
      read_on(*partition);
    }
    if (partition->mark_again_at && now >= *partition->mark_again_at) {
      partition->mark_again_at.reset();
      if (partition->phase == OwnedPartition::Phase::marking) write_mark(*partition);
    }
    if (partition->phase == OwnedPartition::Phase::running) tick_partition(*partition, now);
    if (partition->phase == OwnedPartition::Phase::draining && tick_drain(*partition, now))
      over.push_back(number);
    idle &= partition->phase == OwnedPartition::Phase::running && partition->watermark.unsettled() == 0 &&
            partition->watermark.next_to_commit() == partition->committed;
  }
  next_tick_ = now + (idle ? kIdleTick : kTick);
  ask_an_end(now);
  for (Partition number : over) drop(number);
  if (!over.empty()) context_.ports.log.release(over);
}

void Ownership::tick_partition(OwnedPartition& partition, SteadyTime now) {
  // Also where a session never ends: by it readiness knows that commits are taken.
  const Millis heartbeat = std::min(context_.ports.log.session_timeout() / 5, kHeartbeatMax);
  const bool moved =
      partition.watermark.next_to_commit() != partition.committed || partition.settled_since_commit > 0;
  const bool due = (moved && now - partition.commit_sent >= kCommitEvery) ||
                   partition.settled_since_commit >= kCommitAfterSettled ||
                   now - partition.commit_sent >= heartbeat;
  if (due && (!partition.commit_under_way || now - partition.commit_sent >= heartbeat))
    commit(partition, now);
  if (!may_act(partition, now)) return;
  tell_lost(partition, now);
  // Their events were read and settled, and made no such delivery.
  absl::erase_if(partition.foreign, [&](auto& entry) {
    auto& words = entry.second;
    if (words.front().said->delivery.position.offset >= partition.watermark.next_to_commit()) return false;
    partition.unanswered.insert(partition.unanswered.end(), words.begin(), words.end());
    return true;
  });
  if (!partition.unanswered.empty() && !view_.broken()) {
    for (auto& word : std::exchange(partition.unanswered, {})) answer(partition, std::move(word));
  }
  if (now >= partition.next_mark) {
    partition.next_mark = now + kMarkEvery;
    write_mark(partition);
    forget_compacted(partition);
  }
}

// --- is it read?

// Where `events` ends, of one partition after the other and one at a time: an answer that has to be waited
// for must not hold up others.
void Ownership::ask_an_end(SteadyTime now) {
  if (now < next_end_ask_) return;
  OwnedPartition* longest_ago = nullptr;
  for (auto& [number, partition] : owned_) {
    if (partition->phase != OwnedPartition::Phase::running || now - partition->end_asked_at < kAskEndEvery)
      continue;
    if (!longest_ago || partition->end_asked_at < longest_ago->end_asked_at) longest_ago = partition.get();
  }
  if (!longest_ago) return;
  next_end_ask_ = now + kIdleTick;
  longest_ago->end_asked_at = now;
  if (!longest_ago->unanswered_since) longest_ago->unanswered_since = now;
  context_.ports.log.ask_end(Topic::events, longest_ago->number);
}

void Ownership::on_end(Partition number, Offset end, SteadyTime asked_at, bool held) {
  OwnedPartition* partition = find(number);
  if (!partition || partition->phase != OwnedPartition::Phase::running) return;
  next_end_ask_ = context_.steady();
  partition->unanswered_since.reset();
  const Offset at = context_.ports.log.position(number).value_or(partition->read_to);
  const bool moved = std::exchange(partition->read_to, at) != at;
  partition->known_end = end;
  if (held || moved || at == end) {
    partition->astray_since.reset();
  } else if (!partition->astray_since) {
    partition->astray_since = asked_at;
  }
}

// --- letting go

void Ownership::on_revoked(std::span<const Partition> revoked, bool lost) {
  std::vector<Partition> at_once;
  for (Partition number : revoked) {
    OwnedPartition* partition = find(number);
    if (!partition || lost || partition->phase != OwnedPartition::Phase::running) {
      at_once.push_back(number);
      continue;
    }
    partition->phase = OwnedPartition::Phase::draining;
    partition->drain_until = context_.steady() + context_.config.drain;
  }
  for (Partition number : at_once) drop(number);
  if (!at_once.empty()) context_.ports.log.release(at_once);
}

void Ownership::drain_all() {
  std::vector<Partition> numbers;
  for (auto& [number, partition] : owned_) numbers.push_back(number);
  on_revoked(numbers, false);
}

bool Ownership::tick_drain(OwnedPartition& partition, SteadyTime now) {
  if (!partition.final_commit_sent) {
    const bool looks = now >= partition.next_parking || !is_busy(partition);
    if (looks && may_act(partition, now) && now < partition.drain_until) {
      partition.next_parking = now + kTick;
      on_draining(partition);
    }
    if (is_busy(partition)) {
      if (now < partition.drain_until) return false;
      on_drain_over(partition);
      if (is_busy(partition) && now < partition.drain_until + kCommitWaitMax) return false;
    }
    partition.final_commit_sent = true;
    if (!may_act(partition, now)) return true;
    commit(partition, now);
    return false;
  }
  return !partition.commit_under_way || now - partition.commit_sent >= kCommitWaitMax;
}

void Ownership::drop(Partition number) {
  auto at = owned_.find(number);
  if (at == owned_.end()) return;
  context_.ports.log.untail(Topic::parked, number);
  note_positions();
  on_dropped(*at->second);
  complaints_.erase(number);  // what it was refused for is its next owner's to find
  owned_.erase(at);
  forget_restored();
}

// Kept while any view still fills: one that was refused, or let go early, goes on being told what is parked.
void Ownership::forget_restored() {
  const auto fills = [](const auto& owned) { return owned.second->from_nothing; };
  if (std::none_of(owned_.begin(), owned_.end(), fills)) restored_.reset();
}

}  // namespace postrider::flow
