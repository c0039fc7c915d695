#include "tests/simulation/kafka.h"

#include <algorithm>
#include <utility>

#include "engine/core/partitioner.h"
#include "engine/wire/codec.h"

namespace postrider::simulation {
namespace {

constexpr std::size_t kBatchMax = 64;

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

Kafka::Kafka(Timeline& time, Draw& draw, Partition count)
    : partitions(count), time_(time), draw_(draw), twins_(count) {}

const Kafka::Slot* Kafka::Part::at(Offset offset) const {
  if (offset < begin || offset < base || offset >= high) return nullptr;
  const Slot& slot = slots[static_cast<std::size_t>(offset - base)];
  return slot.gone ? nullptr : &slot;
}

Partition Kafka::place(const NewRecord& record) const {
  if (record.partition) return *record.partition;
  const bool one = record.topic == Topic::endpoints || record.topic == Topic::keys ||
                   record.topic == Topic::health || record.topic == Topic::audit;
  return one ? 0 : murmur2_partition(record.key, record.topic == Topic::events ? partitions : twins_);
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
  const LogFaults& odds = faults_of(key.first);
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
    if (draw_.chance(odds.lands_late * 10)) silently(draw_.between(0, 15000));
    return next_batch(line);
  }
  if (process.stopped || process.cut_until > time_.now || part.away_until > time_.now)
    return again(draw_.between(20, 120));
  if (draw_.chance(odds.vanishes)) {
    // Not heard, or heard long after what was sent in its place (no idempotence: DESIGN §3).
    if (draw_.chance(odds.doubles)) silently(draw_.between(500, 15000));
    return again(draw_.between(50, 400));
  }
  if (draw_.chance(odds.lands_late)) {
    silently(odds.late_ms_max > 0 ? draw_.between(2300, odds.late_ms_max) : draw_.between(2500, 20000));
    time_.at(batch.back()->deadline + 1, [this, line] { next_batch(line); });
    return;
  }
  const bool loses_ack = draw_.chance(odds.loses_ack);
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

void Kafka::truncate(Key key, Offset begin) {
  Part& part = parts_[key];
  part.begin = std::max(part.begin, std::min(begin, part.high));
}

void Kafka::expire(Key key, std::int64_t kept_ms) {
  const Part& part = parts_[key];
  Offset begin = part.begin;
  while (begin < part.high &&
         time_.log_time() - part.slots[static_cast<std::size_t>(begin - part.base)].record.appended >
             Millis(kept_ms))
    ++begin;
  truncate(key, begin);
}

void Kafka::grow(Partition to) {
  twins_ = std::max(twins_, to);
  time_.after(draw_.between(0, 3000), [this, to] {
    time_.note([&] { return "`events` has " + std::to_string(to) + " partitions"; });
    partitions = std::max(partitions, to);
  });
}

const LogFaults& Kafka::faults_of(Topic topic) const {
  return topic == Topic::parked && parked_faults ? *parked_faults : faults;
}

}  // namespace postrider::simulation
