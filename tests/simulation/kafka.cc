#include "tests/simulation/kafka.h"

#include <algorithm>
#include <utility>

#include "engine/core/partitioner.h"
#include "engine/wire/codec.h"

namespace postrider::simulation {
namespace {

constexpr std::size_t kBatchMax = 64;
constexpr std::int64_t kDeposedFor = 900;  // metadata is asked for each second

bool is_compacted(Topic topic) {
  return topic == Topic::endpoints || topic == Topic::health || topic == Topic::keys ||
         topic == Topic::parked;
}

Appended unknown(const std::string& why) {
  Appended appended;
  appended.status = Appended::Status::unknown;
  appended.error = {Errc::unavailable, "LOG_UNAVAILABLE", why, "wait"};
  return appended;
}

}  // namespace

// --- the brokers

Kafka::Kafka(Timeline& time, Draw& draw, Partition count) : partitions(count), time_(time), draw_(draw) {}

const Kafka::Slot* Kafka::Part::at(Offset offset) const {
  if (offset < begin || offset < base || offset >= high) return nullptr;
  const Slot& slot = slots[static_cast<std::size_t>(offset - base)];
  return slot.gone ? nullptr : &slot;
}

Partition Kafka::place(const NewRecord& record) const {
  if (record.partition) return *record.partition;
  const bool one = record.topic == Topic::endpoints || record.topic == Topic::keys ||
                   record.topic == Topic::health || record.topic == Topic::audit;
  return one ? 0 : murmur2_partition(record.key, partitions);
}

Kafka::Slot& Kafka::land(Key key, const NewRecord& record, int origin, bool late, std::uint64_t tag) {
  Part& part = parts_[key];
  Slot slot;
  slot.record =
      Record{key.first, key.second, part.end(), time_.log_time(), record.key, record.value, record.headers};
  slot.id = ++last_id_;
  slot.origin = origin;
  slot.late = late;
  slot.tag = tag;
  part.slots.push_back(std::move(slot));
  return part.slots.back();
}

void Kafka::replicate(Key key, Offset offset, std::uint64_t id, std::function<void(const Slot&)> then) {
  Part& part = parts_[key];
  part.replicated_at = std::max(part.replicated_at, time_.now + draw_.between(0, 4));
  time_.at(part.replicated_at, [this, key, offset, id, then = std::move(then)] {
    Part& now = parts_[key];
    if (offset >= now.end() || now.slots[static_cast<std::size_t>(offset - now.base)].id != id)
      return;  // cut off
    see(key, offset + 1);
    if (then) then(now.slots[static_cast<std::size_t>(offset - now.base)]);
  });
}

void Kafka::see(Key key, Offset high) {
  Part& part = parts_[key];
  if (high <= part.high) return;
  part.past_ends.emplace_back(time_.now, part.high);
  while (part.past_ends.size() > 1 && part.past_ends.front().first < time_.now - kDeposedFor)
    part.past_ends.pop_front();
  while (part.high < high) {
    ++part.high;
    on_visible(part.slots[static_cast<std::size_t>(part.high - 1 - part.base)]);
  }
}

void Kafka::produce(NewRecord record, std::uint64_t tag) {
  const Key key{record.topic, place(record)};
  Part& part = parts_[key];
  if (part.away_until > time_.now) {
    time_.at(part.away_until + 1,
             [this, record = std::move(record), tag]() mutable { produce(std::move(record), tag); });
    return;
  }
  const Slot& slot = land(key, record, -1, false, tag);
  const Offset offset = slot.record.offset;
  auto stands = std::make_shared<bool>(false);
  replicate(key, offset, slot.id, [stands](const Slot&) { *stands = true; });
  // A new leader may not have it: then it is sent again.
  time_.after(100, [this, stands, record = std::move(record), tag]() mutable {
    if (!*stands) produce(std::move(record), tag);
  });
}

void Kafka::append(Process& process, NewRecord record,
                   std::function<void(LogListener&, const Appended&)> answer) {
  const Key key{record.topic, place(record)};
  std::shared_ptr<Line>& line = lines_[{{process.number, process.life}, key}];
  if (!line) {
    line = std::make_shared<Line>();
    line->process = &process;
    line->life = process.life;
    line->key = key;
  }
  auto sent = std::make_shared<Sent>();
  sent->record = std::move(record);
  sent->deadline = time_.now + kMessageTimeoutMs;
  sent->answer = [&process, life = process.life, answer = std::move(answer)](const Appended& appended) {
    if (process.life != life) return;
    process.inbox.push_back([answer, appended](LogListener& listener) { answer(listener, appended); });
  };
  line->waiting.push_back(sent);
  time_.at(sent->deadline, [this, sent] {
    if (std::exchange(sent->answered, true)) return;
    on_excuse("an append became unknown");
    sent->answer(unknown("not acknowledged in time"));
  });
  pump(line);
}

void Kafka::pump(const std::shared_ptr<Line>& line) {
  if (line->busy || line->waiting.empty()) return;
  Batch batch;
  while (!line->waiting.empty() && batch.size() < kBatchMax) {
    // Expired in the producer's own queue: never sent.
    if (!line->waiting.front()->answered) batch.push_back(std::move(line->waiting.front()));
    line->waiting.pop_front();
  }
  if (batch.empty()) return;
  line->busy = true;
  time_.after(draw_.between(1, 3), [this, line, batch = std::move(batch)] { arrive(line, batch, 1); });
}

void Kafka::next_batch(const std::shared_ptr<Line>& line) {
  line->busy = false;
  pump(line);
}

void Kafka::land_late(Key key, const Batch& batch, int origin) {
  Part& part = parts_[key];
  if (part.away_until > time_.now) return;
  for (const auto& sent : batch) {
    const Slot& slot = land(key, sent->record, origin, true, sent->tag);
    time_.note([&] {
      return "a record of process " + std::to_string(origin) +
             " lands late: " + std::string(name_of(key.first)) + "/" + std::to_string(key.second) + "@" +
             std::to_string(slot.record.offset) + " " + slot.record.key;
    });
    replicate(key, slot.record.offset, slot.id, {});
  }
  on_excuse("a record landed late");
}

void Kafka::arrive(const std::shared_ptr<Line>& line, const Batch& batch, int tries) {
  Process& process = *line->process;
  const Key key = line->key;
  Part& part = parts_[key];
  const auto again = [&](std::int64_t ms) {
    time_.after(ms, [this, line, batch, tries] { arrive(line, batch, tries + 1); });
  };
  const auto silently = [&](std::int64_t ms) {
    time_.after(ms, [this, key, batch, origin = process.number] { land_late(key, batch, origin); });
  };
  const bool expired = std::all_of(batch.begin(), batch.end(),
                                   [](const std::shared_ptr<Sent>& sent) { return sent->answered; });
  if (process.life != line->life || !process.alive) {
    // What stood in the kernel's buffers may still go out.
    if (draw_.chance(0.5)) silently(draw_.between(0, 3000));
    return;
  }
  if (expired) {
    if (draw_.chance(faults.lands_late * 10)) silently(draw_.between(0, 15000));
    return next_batch(line);
  }
  if (process.stopped || process.cut_until > time_.now || part.away_until > time_.now)
    return again(draw_.between(20, 120));
  if (draw_.chance(faults.vanishes)) return again(draw_.between(50, 400));
  if (draw_.chance(faults.lands_late)) {
    silently(draw_.between(2500, 20000));
    time_.at(batch.back()->deadline + 1, [this, line] { next_batch(line); });
    return;
  }
  const bool loses_ack = draw_.chance(faults.loses_ack);
  for (const auto& sent : batch) {
    const Slot& slot = land(key, sent->record, process.number, sent->answered, sent->tag);
    const bool last = sent == batch.back();
    replicate(key, slot.record.offset, slot.id, [this, sent, loses_ack, last, line](const Slot& seen) {
      if (!loses_ack && !std::exchange(sent->answered, true)) {
        Appended appended;
        appended.partition = seen.record.partition;
        appended.offset = seen.record.offset;
        appended.appended = seen.record.appended;
        sent->answer(appended);
      }
      if (last && !loses_ack) next_batch(line);
    });
  }
  if (loses_ack && draw_.chance(0.6)) return again(draw_.between(100, 600));  // and lands twice
  // No answer came, or a new leader cut them off: the producer tries again until it gives up.
  const std::int64_t look = loses_ack ? batch.back()->deadline + 1 : time_.now + 300;
  time_.at(look, [this, line, batch, tries] {
    const bool all = std::all_of(batch.begin(), batch.end(),
                                 [](const std::shared_ptr<Sent>& sent) { return sent->answered; });
    if (!all) {
      arrive(line, batch, tries + 1);
    } else if (line->busy && batch.back()->answered && line->waiting.size() > 0) {
      next_batch(line);
    } else {
      line->busy = false;
    }
  });
}

void Kafka::go_away(Key key, std::int64_t ms) {
  Part& part = parts_[key];
  part.away_until = std::max(part.away_until, time_.now + ms);
}

void Kafka::elect(Key key) {
  Part& part = parts_[key];
  const Offset kept = draw_.between(part.high, part.end());
  time_.note([&] {
    return "a new leader of " + std::string(name_of(key.first)) + "/" + std::to_string(key.second) +
           " keeps " + std::to_string(kept) + " of " + std::to_string(part.end());
  });
  part.slots.resize(static_cast<std::size_t>(kept - part.base));
  go_away(key, draw_.between(20, 4000));
}

void Kafka::compact(Key key, std::int64_t lag_ms, std::int64_t tombstones_ms) {
  Part& part = parts_[key];
  if (!is_compacted(key.first)) return;
  const Offset until = part.high - draw_.between(1, 4);  // the active segment is left alone
  const LogTime now = time_.log_time();
  std::map<std::string_view, Offset> newest;
  for (Offset offset = part.base; offset < part.high; ++offset) {
    const Slot& slot = part.slots[static_cast<std::size_t>(offset - part.base)];
    if (!slot.gone) newest[slot.record.key] = offset;
  }
  for (Offset offset = part.base; offset < until; ++offset) {
    Slot& slot = part.slots[static_cast<std::size_t>(offset - part.base)];
    if (slot.gone || now - slot.record.appended < Millis(lag_ms)) continue;
    const bool old = newest[slot.record.key] > offset;
    const bool spent = !slot.record.value && now - slot.record.appended > Millis(tombstones_ms);
    if (old || spent) slot.gone = true;
  }
}

void Kafka::truncate(Partition partition, Offset begin) {
  Part& part = parts_[{Topic::events, partition}];
  part.begin = std::max(part.begin, std::min(begin, part.high));
}

// --- the group

Group::Group(Timeline& time, Draw& draw, Kafka& kafka) : time_(time), draw_(draw), kafka_(kafka) {}

void Group::join(Process& process) {
  Member& member = members_[process.number];
  const bool back =
      member.joined && member.life != process.life;  // static membership: the same member, restarted
  member.process = &process;
  member.life = process.life;
  member.seen = time_.now;
  member.joined = true;
  member.expired = false;
  member.known = ++member.generation;
  if (!back) return;
  std::vector<Partition> same;
  for (auto& [partition, owned] : owned_) {
    if (owned.owner == process.number) {
      owned.revoking = false;
      same.push_back(partition);
    }
  }
  if (!same.empty())
    time_.after(draw_.between(5, 50), [this, number = process.number, life = process.life, same] {
      Member& again = members_[number];
      std::vector<Partition> still;
      for (Partition partition : same) {
        if (owned_[partition].owner == number) still.push_back(partition);
      }
      if (again.joined && again.life == life) assign(again, still);
    });
}

void Group::tell_revoked(Member& member, std::vector<Partition> partitions, bool lost) {
  if (!member.process->alive || member.process->life != member.life) {
    for (Partition partition : partitions) owned_[partition] = Owned{};
    return;
  }
  member.process->inbox.push_back([&member, generation = member.generation,
                                   partitions = std::move(partitions), lost](LogListener& listener) {
    member.known = generation;
    listener.on_revoked(partitions, lost);
  });
}

void Group::assign(Member& member, const std::vector<Partition>& partitions) {
  if (!member.process->alive || member.process->life != member.life) return;  // it gets them when it is back
  std::vector<Assignment> assigned;
  for (Partition partition : partitions) {
    Assignment one;
    one.partition = partition;
    if (auto at = commits.find(partition); at != commits.end()) {
      one.committed = at->second.offset;
      one.metadata = at->second.metadata;
    }
    const Kafka::Part& events = kafka_.part(Topic::events, partition);
    const Kafka::Part& parked = kafka_.part(Topic::parked, partition);
    one.events_begin = events.begin;
    one.events_end = events.high;
    one.parked_begin = parked.begin;
    one.parked_end = parked.high;
    assigned.push_back(one);
    time_.note([&] {
      return "partition " + std::to_string(partition) + " goes to process " +
             std::to_string(member.process->number);
    });
  }
  if (assigned.empty()) return;
  for (Partition partition : partitions) {
    if (!owned_once_.insert(partition).second) on_excuse("a takeover");
  }
  member.process->inbox.push_back(
      [assigned = std::move(assigned)](LogListener& listener) { listener.on_assigned(assigned); });
}

void Group::release(Process& process, std::span<const Partition> partitions) {
  for (Partition partition : partitions) {
    Owned& owned = owned_[partition];
    if (owned.owner == process.number && owned.revoking && members_[process.number].life == process.life) {
      owned = Owned{};
    }
  }
}

const Process* Group::owner(Partition partition) const {
  const auto at = owned_.find(partition);
  if (at == owned_.end() || at->second.owner < 0) return nullptr;
  return members_.at(at->second.owner).process;
}

std::size_t Group::joined() const {
  return static_cast<std::size_t>(std::count_if(members_.begin(), members_.end(),
                                                [](const auto& member) { return member.second.joined; }));
}

void Group::commit(Process& process, Partition partition, Offset next, std::string metadata) {
  const std::uint64_t life = process.life;
  const SteadyTime sent_at = time_.steady();
  const bool reached = std::max(process.cut_until, process.unheard_until) <= time_.now;
  const std::uint64_t generation = members_[process.number].known;
  time_.after(draw_.between(1, 8), [this, &process, life, generation, partition, next,
                                    metadata = std::move(metadata), sent_at, reached] {
    Member& member = members_[process.number];
    const bool ours = reached && member.joined && member.life == life && member.generation == generation &&
                      owned_[partition].owner == process.number;
    bool acknowledged = ours;
    time_.note([&] {
      return "process " + std::to_string(process.number) + " commits " + std::to_string(partition) + "@" +
             std::to_string(next) + " [" + metadata + "]" + (ours ? "" : ", refused");
    });
    if (ours) {
      const Offset from = commits.contains(partition) ? commits[partition].offset : 0;
      on_commit(process, partition, from, next, sent_at);
      commits[partition] = {next, metadata};
      if (draw_.chance(kafka_.faults.commit_fails)) {
        acknowledged = false;
        on_excuse("a commit's answer was lost");
      }
    }
    if (process.life != life) return;
    process.inbox.push_back([partition, next, sent_at, acknowledged](LogListener& listener) {
      listener.on_committed(partition, next, sent_at, acknowledged);
    });
  });
}

void Group::expire(Member& member) {
  time_.note([&] { return "process " + std::to_string(member.process->number) + " is out of the group"; });
  on_excuse("a session expired");
  for (auto& [partition, owned] : owned_) {
    if (owned.owner == member.process->number) owned = Owned{};
  }
  member.joined = false;
  ++member.generation;
  member.expired = member.process->alive && member.process->life == member.life;
}

void Group::tick() {
  for (auto& [number, member] : members_) {
    Process& process = *member.process;
    const bool here =
        process.alive && process.life == member.life && !process.stopped && process.cut_until <= time_.now;
    if (here) member.seen = time_.now;
    if (member.joined && time_.now - member.seen > kSessionMs) expire(member);
    if (member.expired && here) {
      std::vector<Partition> all;
      for (Partition partition = 0; partition < kafka_.partitions; ++partition) all.push_back(partition);
      tell_revoked(member, all, true);
      member.expired = false;
      member.joined = true;  // the adapter opens a new consumer
    }
  }
  std::vector<Member*> joined;
  for (auto& [number, member] : members_) {
    if (member.joined) joined.push_back(&member);
  }
  if (joined.empty()) return;
  std::map<int, std::vector<Partition>> fresh;
  for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
    Owned& owned = owned_[partition];
    const int wanted = joined[(static_cast<std::size_t>(partition) + turn_) % joined.size()]->process->number;
    if (owned.revoking && time_.now - owned.revoked_at > 5000)
      owned = Owned{};  // the adapter lets go by itself
    if (owned.owner >= 0 && owned.owner != wanted && !owned.revoking) {
      owned.revoking = true;
      owned.revoked_at = time_.now;
      tell_revoked(members_[owned.owner], {partition}, false);
    }
    if (owned.owner < 0) {
      owned.owner = wanted;
      fresh[wanted].push_back(partition);
    }
  }
  for (auto& [number, partitions] : fresh) assign(members_[number], partitions);
}

void Group::rebalance() {
  ++turn_;
}

// --- the port

void SimLog::later(std::int64_t ms, std::function<void(LogListener&)> what) {
  time_.after(ms, [&process = process_, life = life_, what = std::move(what)] {
    if (process.life == life) process.inbox.push_back(what);
  });
}

void SimLog::append(NewRecord record, std::uint64_t token) {
  ++unanswered_;
  kafka_.append(process_, std::move(record), [this, token](LogListener& listener, const Appended& appended) {
    --unanswered_;
    listener.on_appended(token, appended);
  });
}

void SimLog::commit(Partition partition, Offset next, std::string metadata) {
  group_.commit(process_, partition, next, std::move(metadata));
}

void SimLog::release(std::span<const Partition> partitions) {
  for (Partition partition : partitions) positions_.erase(partition);
  group_.release(process_, partitions);
}

void SimLog::ask_end(Topic topic, Partition partition) {
  if (!reachable()) return;
  const SteadyTime asked_at = time_.steady();
  Kafka::Part& part = kafka_.part(topic, partition);
  if (part.away_until > time_.now && !draw_.chance(kafka_.faults.stale_end)) return;  // no answer
  time_.after(draw_.between(1, 5), [this, &process = process_, life = life_, topic, partition, asked_at] {
    if (process.life != life) return;
    const Kafka::Part& now = kafka_.part(topic, partition);
    Offset end = now.high;
    if (draw_.chance(kafka_.faults.stale_end)) {  // as it was at a moment lately
      const std::int64_t when = time_.now - draw_.between(0, kDeposedFor);
      for (const auto& [moved_at, before] : now.past_ends) {
        if (moved_at > when) {
          end = before;
          break;
        }
      }
    }
    process.inbox.push_back([=](LogListener& listener) { listener.on_end(topic, partition, end, asked_at); });
  });
}

void SimLog::fetch(Position position, std::uint64_t token) {
  ++fetches;
  const Kafka::Part& part = kafka_.part(Topic::events, position.partition);
  Result<Record> found = fail(Errc::not_found, "NOT_FOUND", "no such record", "");
  if (!reachable() || part.away_until > time_.now) {
    found = fail(Errc::unavailable, "LOG_UNAVAILABLE", "no leader", "wait");
  } else if (const Kafka::Slot* slot = part.at(position.offset)) {
    found = slot->record;
  }
  later(draw_.between(1, 20), [token, found](LogListener& listener) { listener.on_fetched(token, found); });
}

std::size_t SimLog::poll(LogListener& listener, std::size_t max_records) {
  std::size_t calls = 0;
  for (auto inbox = std::exchange(process_.inbox, {}); !inbox.empty(); inbox.pop_front(), ++calls) {
    inbox.front()(listener);
  }
  if (!reachable()) return calls;
  const auto tails = tails_;
  for (const auto& [key, from] : tails) {
    if (auto at = lagging_until.find(key.first); at != lagging_until.end() && at->second > time_.now)
      continue;
    const Kafka::Part& part = kafka_.part(key);
    if (part.away_until > time_.now) continue;
    for (Offset offset = std::max(from, part.begin); offset < part.high; ++offset) {
      const auto still = tails_.find(key);
      if (still == tails_.end() || still->second > offset) break;
      still->second = offset + 1;
      if (const Kafka::Slot* slot = part.at(offset)) {
        listener.on_tail(slot->record);
        ++calls;
      }
    }
  }
  if (held_) return calls;
  const auto positions = positions_;
  for (const auto& [partition, from] : positions) {
    const Kafka::Part& part = kafka_.part(Topic::events, partition);
    if (part.away_until > time_.now) continue;
    for (Offset offset = std::max(from, part.begin); offset < part.high && calls < max_records; ++offset) {
      if (!positions_.contains(partition)) break;
      positions_[partition] = offset + 1;
      if (const Kafka::Slot* slot = part.at(offset)) {
        listener.on_event(slot->record);
        ++calls;
      }
    }
  }
  return calls;
}

bool SimLog::has_news() const {
  if (!process_.inbox.empty()) return true;
  if (!reachable()) return false;
  for (const auto& [key, from] : tails_) {
    if (auto at = lagging_until.find(key.first); at != lagging_until.end() && at->second > time_.now)
      continue;
    const Kafka::Part& part = kafka_.part(key);
    if (part.high > from && part.away_until <= time_.now) return true;
  }
  if (held_) return false;
  for (const auto& [partition, from] : positions_) {
    const Kafka::Part& part = kafka_.part(Topic::events, partition);
    if (part.high > from && part.away_until <= time_.now) return true;
  }
  return false;
}

}  // namespace postrider::simulation
