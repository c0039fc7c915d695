// The Log port of one process.
#include <algorithm>
#include <utility>

#include "tests/simulation/kafka.h"

namespace postrider::simulation {

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
    if (from < part.begin) {  // retention has overtaken it
      positions_[partition] = part.begin;
      listener.on_events_lost(partition, from, part.begin);
      ++calls;
    }
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
    if ((part.high > from || part.begin > from) && part.away_until <= time_.now) return true;
  }
  return false;
}

}  // namespace postrider::simulation
