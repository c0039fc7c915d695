// The part of Ownership that follows `parked`: what is restored from it before our epoch, and what is
// answered after it.
#include <algorithm>
#include <utility>

#include "engine/flow/ownership.h"
#include "engine/wire/codec.h"

namespace postrider::flow {

void Ownership::on_tail(const Record& record) {
  OwnedPartition* partition = find(record.partition);
  if (!partition || partition->tail_stalled || record.offset < partition->tail_next) return;
  const bool restores =
      record.key != kOwnerKey && (partition->epoch < 0 || record.offset <= partition->epoch);
  if (restores && !restore_record(*partition, record)) {
    partition->tail_stalled = true;
    return;
  }
  partition->tail_next = record.offset + 1;
  partition->tail_appended = record.appended;
  partition->tail_moved = true;
  if (record.key == kOwnerKey) {
    if (!record.value) return;
    auto fact = wire::decode_parked(context_.config.environment, *record.value);
    if (fact && std::holds_alternative<OwnerMark>(*fact)) {
      const OwnerMark& mark = std::get<OwnerMark>(*fact);
      view_.put_mark(partition->number, mark);
      // Compaction may let the tail jump beyond the end of that time: such a mark is no former owner's.
      if (partition->phase == OwnedPartition::Phase::reading &&
          record.offset < partition->assignment.parked_end) {
        partition->last_mark = mark;
      }
      if (partition->epoch >= 0 && record.offset > partition->epoch &&
          mark.instance != context_.config.instance) {
        partition->superseded_at = context_.steady();
      }
    }
  } else if (!restores) {
    answer_if_foreign(*partition, record);
  }
  read_on(*partition);
}

bool Ownership::restore_record(OwnedPartition& partition, const Record& record) {
  const DeliveryId id(record.key);
  // A view that begins with nothing is asked only for what it may have.
  bool known = true;
  if (partition.from_nothing) {
    if (!restored_) restored_ = std::make_unique<SeenFilter>();
    known = restored_->add(id.str());
  }
  const auto before = known ? view_.parked(id) : std::nullopt;
  if (view_.broken()) return false;
  if (!record.value) {
    if (!before) return true;
    view_.erase_parked(before->delivery, before->due);
    if (partition.parked > 0) --partition.parked;
    view_.drop_claim(before->delivery.position, before->delivery.webhook_id, id);
    view_.put_end(before->delivery, record.appended);
    return true;
  }
  auto fact = wire::decode_parked(context_.config.environment, *record.value);
  if (!fact) {
    context_.ports.observer.note("error", "parked_record_refused", fact.error().message, &fact.error());
    return true;
  }
  if (!std::holds_alternative<ParkedState>(*fact)) return true;
  const ParkedState& state = std::get<ParkedState>(*fact);
  if (before) view_.unhold(before->delivery);
  view_.put_parked(state, *record.value, before ? std::optional(before->due) : std::nullopt);
  if (!before) ++partition.parked;
  return true;
}

void Ownership::answer_if_foreign(OwnedPartition& partition, const Record& record) {
  std::optional<ParkedState> said;
  std::optional<Stamp> stamp;
  if (record.value) {
    auto fact = wire::decode_parked(context_.config.environment, *record.value);
    if (fact && std::holds_alternative<ParkedState>(*fact)) said = std::get<ParkedState>(*std::move(fact));
    if (said) stamp = said->stamp;
  } else {
    stamp = wire::read_stamp(record.headers);
  }
  OwnedPartition::Foreign word{DeliveryId(record.key), std::move(said), record.offset};
  const bool own = stamp && stamp->epoch == partition.epoch;
  if (own) {
    const bool waits = partition.unacknowledged.contains(stamp->sequence);
    const OwnWord is = take_own(partition, word.id, stamp->sequence, word.at);
    const bool newer = stamp->sequence > partition.own_seen;
    if (newer) partition.own_seen = stamp->sequence;
    // The later one below which it stands may be an older word, overtaken on its way: then that is answered.
    if (is == OwnWord::superseded) return;
    if ((waits || is == OwnWord::newest) && newer) {
      // Its row is written with its acknowledgement: until then our position stays below it.
      if (waits) partition.seen_unacknowledged.emplace(stamp->sequence, std::move(word));
      return;
    }
  }
  partition.owed.insert(record.offset);
  answer(partition, std::move(word));
}

// An own word is read: the one that was acknowledged there, one below a later one, or one that was given up.
Ownership::OwnWord Ownership::take_own(OwnedPartition& partition, const DeliveryId& id,
                                       std::uint64_t sequence, Offset at) {
  const auto words = partition.unread.find(id);
  if (words == partition.unread.end()) return OwnWord::astray;
  auto& stands = words->second;
  // What stood below was read, or compaction took it.
  const bool known = stands.contains(sequence);
  std::erase_if(stands, [at](const auto& one) { return one.second <= at; });
  if (!stands.empty()) return OwnWord::superseded;
  partition.unread.erase(words);
  return known ? OwnWord::newest : OwnWord::astray;
}

// Somebody else's word, or ours landing late, now stands last on that delivery: compaction would keep it. So
// the truth is said again after it (DESIGN §3).
void Ownership::answer(OwnedPartition& partition, OwnedPartition::Foreign word) {
  if (ActiveDelivery* active = active_.find(word.id)) {
    active->parked = true;
    active->foreign_at.push_back(word.at);
    return;  // owed until its last word stands
  }
  if (const auto waiting = partition.answering.find(word.id); waiting != partition.answering.end()) {
    waiting->second.push_back(std::move(word));
    return;
  }
  std::optional<ParkedState> known;
  if (may_act(partition, context_.steady())) known = view_.parked(word.id);
  // What the view cannot read may stand there all the same.
  if (!may_act(partition, context_.steady()) || view_.broken()) {
    partition.unanswered.push_back(std::move(word));
    return;
  }
  if (known) {
    // Held: only its row waits at the end of its lifetime. Whoever reads the log alone shall look at once.
    if (known->due >= known->appended + context_.config.lifetime.count())
      known->due = to_ms(context_.log_now());
    append_parked(partition, *known, answer_to(partition, std::move(word)));
    return;
  }
  if (word.said && is_over(partition, word.said->delivery.position.offset)) {
    const DeliveryId id = word.id;
    append_tombstone(partition, id, answer_to(partition, std::move(word)));
    return;
  }
  if (word.said) {
    auto& words = partition.foreign[word.id];
    words.push_back(std::move(word));
  } else {
    partition.owed.erase(partition.owed.find(word.at));
  }
}

// What made no delivery of that id by now will make none. Before that a tombstone would be read as its end by
// who takes over: the event may still wait for the key of what it carries, or be routed otherwise by then.
bool Ownership::is_over(const OwnedPartition& partition, Offset event) {
  return event < partition.watermark.next_to_commit();
}

Appender::Answer Ownership::answer_to(OwnedPartition& partition, OwnedPartition::Foreign word) {
  const DeliveryId id = word.id;
  partition.answering[id].push_back(std::move(word));
  return [this, number = partition.number, generation = partition.generation, id](const Appended& appended) {
    if (OwnedPartition* owned = find(number, generation)) answered(*owned, id, appended);
  };
}

void Ownership::answered(OwnedPartition& partition, const DeliveryId& id, const Appended& appended) {
  auto words = partition.answering.extract(id);
  for (auto& word : words.mapped()) {
    if (appended.status != Appended::Status::acknowledged) {
      partition.unanswered.push_back(std::move(word));  // what is true may be something else by then
    } else if (word.at < appended.offset) {
      partition.owed.erase(partition.owed.find(word.at));
      partition.tail_moved = true;
    } else {
      answer(partition, std::move(word));
    }
  }
}

void Ownership::append_parked(OwnedPartition& partition, const ParkedState& state, Appender::Answer answer) {
  ParkedState stamped = state;
  stamped.stamp = partition.next_stamp();
  NewRecord record{.topic = Topic::parked,
                   .partition = partition.number,
                   .key = state.delivery.id.str(),
                   .value = wire::encode(context_.config.environment, stamped),
                   .headers = {}};
  append_stamped(partition, std::move(record), stamped.stamp, std::move(answer));
}

void Ownership::append_tombstone(OwnedPartition& partition, const DeliveryId& id, Appender::Answer answer) {
  const Stamp stamp = partition.next_stamp();
  NewRecord record{.topic = Topic::parked,
                   .partition = partition.number,
                   .key = id.str(),
                   .value = std::nullopt,
                   .headers = wire::stamp_headers(stamp)};
  append_stamped(partition, std::move(record), stamp, std::move(answer));
}

void Ownership::append_stamped(OwnedPartition& partition, NewRecord record, Stamp stamp,
                               Appender::Answer answer) {
  partition.unacknowledged.insert(stamp.sequence);
  const DeliveryId id(record.key);
  appender_.append(
      std::move(record),
      [this, number = partition.number, generation = partition.generation, id, sequence = stamp.sequence,
       answer = std::move(answer)](const Appended& appended) mutable {
        if (OwnedPartition* owned = find(number, generation)) said(*owned, id, sequence, appended);
        answer(appended);
      },
      Appender::Owner{partition.number, partition.generation});
}

// One that was given up and stands there all the same is answered as a foreign one is.
void Ownership::said(OwnedPartition& partition, const DeliveryId& id, std::uint64_t sequence,
                     const Appended& appended) {
  partition.unacknowledged.erase(sequence);
  partition.tail_moved = true;
  auto seen = partition.seen_unacknowledged.extract(sequence);
  if (appended.status == Appended::Status::acknowledged) {
    if (seen.empty() && appended.offset >= partition.tail_next)
      partition.unread[id].emplace(sequence, appended.offset);
    return;
  }
  if (seen.empty()) return;
  partition.owed.insert(seen.mapped().at);
  answer(partition, std::move(seen.mapped()));
}

// What was compacted away before it was read is read no more.
void Ownership::forget_compacted(OwnedPartition& partition) {
  absl::erase_if(partition.unread, [&partition](auto& words) {
    std::erase_if(words.second, [&partition](const auto& one) { return one.second < partition.tail_next; });
    return words.second.empty();
  });
}

void Ownership::note_positions() {
  for (auto& [number, partition] : owned_) {
    if (!partition->tail_moved) continue;
    partition->tail_moved = false;
    Offset next = partition->tail_next;
    for (const auto& [sequence, word] : partition->seen_unacknowledged) next = std::min(next, word.at);
    if (!partition->owed.empty()) next = std::min(next, *partition->owed.begin());
    // Until its age was held against our mark the view is as old as it was, however far it was read since.
    const bool judged = partition->epoch >= 0 || !partition->view_at_hand;
    partition->noted =
        View::Tail{next, judged ? partition->tail_appended : partition->view_as_of, partition->parked};
    view_.put_tail(number, *partition->noted);
  }
}

// Rows that are written within a step are counted with it: the position that stands is from before it, and
// what is read again from there changes no row, and no count.
void Ownership::note_counts() {
  for (auto& [number, partition] : owned_) {
    if (!partition->noted || partition->noted->parked == partition->parked) continue;
    partition->noted->parked = partition->parked;
    view_.put_tail(number, *partition->noted);
  }
}

}  // namespace postrider::flow
