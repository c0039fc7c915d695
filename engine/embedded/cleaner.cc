#include "engine/embedded/cleaner.h"

#include <rocksdb/db.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>
#include <utility>
#include <variant>

#include "engine/core/bytes.h"
#include "engine/wire/codec.h"

namespace postrider::embedded {
namespace {

constexpr Millis kPassAtLeastEvery = std::chrono::hours(1);

// Keys already met, newest first. By their 128-bit hash: 40 bytes a key instead of the key.
class Seen {
 public:
  bool insert(std::string_view key) {
    const std::string_view parts[] = {key};
    return keys_.insert(hash128(parts)).second;
  }

 private:
  struct First8 {
    std::size_t operator()(const Hash128& hash) const {
      std::size_t first;
      std::memcpy(&first, hash.bytes.data(), sizeof first);
      return first;
    }
  };
  std::unordered_set<Hash128, First8> keys_;
};

Result<void> as_result(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) return {};
  return fail(error_of(status, doing));
}

}  // namespace

Cleaner::Cleaner(Storage& storage, LogWriter& writer, AppendClock& clock, Options options)
    : storage_(storage), writer_(writer), clock_(clock), options_(std::move(options)) {}

Cleaner::~Cleaner() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Cleaner::start() {
  if (options_.every.count() > 0) thread_ = std::thread([this] { run(); });
}

void Cleaner::run() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, options_.every, [this] { return stopping_; })) {
    lock.unlock();
    // A failed round costs disk space, not records: it is reported, and tried again.
    if (auto done = round(false); !done) writer_.report(done.error());
    lock.lock();
  }
}

Result<void> Cleaner::clean() {
  return round(true);
}

Result<void> Cleaner::round(bool all) {
  const std::scoped_lock one_at_a_time(round_mutex_);
  Result<void> result;  // the first failure; the other partitions are cleaned all the same
  for (std::uint8_t number = 1; number <= kStoredTopics; ++number) {
    const Topic topic = *topic_of(number);
    for (Partition p = 0; p < storage_.partitions(topic); ++p) {
      const Place place{topic, p};
      Result<void> done;
      if (!is_compacted(topic))
        done = expire(place);
      else if (all || is_worth_while(place))
        done = compact(place);
      if (!done && result) result = done;
    }
  }
  return result;
}

Result<void> Cleaner::expire(Place place) {
  const Millis keep = options_.retention[static_cast<std::size_t>(place.topic)];
  auto old_end = storage_.offset_at(place, clock_.now() - keep);
  if (!old_end) return fail(std::move(old_end.error()));
  if (*old_end <= storage_.begin(place)) return {};
  if (place.topic == Topic::events) {
    const auto needed = needed_from(place.partition);
    if (!needed) return fail(needed.error());
    *old_end = std::min(*old_end, *needed);
    if (*old_end <= storage_.begin(place)) return {};
  }
  return as_result(storage_.move_begin(place, *old_end), "removing what retention ended");
}

// The commit first, then the parked states: an event below that commit was settled before it, and if it was
// parked for that, its state stands on the log already.
Result<Offset> Cleaner::needed_from(Partition partition) const {
  const auto committed = writer_.committed(partition);
  if (!committed) return storage_.begin({Topic::events, partition});  // nobody has consumed it
  const auto parked = lowest_parked(partition);
  if (!parked) return fail(parked.error());
  return std::min(*committed, parked->value_or(*committed));
}

Result<std::optional<Offset>> Cleaner::lowest_parked(Partition partition) const {
  const Place place{Topic::parked, partition};
  Seen seen;
  std::optional<Offset> lowest;
  std::vector<Offset> live;
  auto read = storage_.scan_back(place, [&](Offset offset, const RecordView& record) {
    if (seen.insert(record.key) && record.has_value) live.push_back(offset);
    return true;
  });
  if (!read) return fail(std::move(read.error()));
  for (const Offset offset : live) {
    const auto record = storage_.get(place, offset);
    if (!record && record.error().errc == Errc::not_found) continue;
    if (!record) return fail(record.error());
    const auto fact = wire::decode_parked(options_.environment, *record->value);
    // What cannot be read may name any position: nothing goes until somebody has looked.
    if (!fact) return fail(fact.error());
    if (const auto* state = std::get_if<ParkedState>(&*fact)) {
      const Offset at = state->delivery.position.offset;
      lowest = std::min(lowest.value_or(at), at);
    } else if (std::holds_alternative<std::monostate>(*fact)) {
      lowest = storage_.begin({Topic::events, partition});  // a newer version's: likewise
    }
  }
  return lowest;
}

// When a tenth is new since the last pass, or an hour has gone by and anything at all can have become
// removable.
bool Cleaner::is_worth_while(Place place) const {
  const auto before = passed_.find(place);
  const std::uint64_t appended = storage_.appended_since_cleaning(place);
  if (before == passed_.end()) return appended > 0;
  const Passed& passed = before->second;
  if (appended == 0 && passed.waiting == 0) return false;
  return appended > passed.kept / 10 || options_.steady() >= passed.at + kPassAtLeastEvery;
}

Result<void> Cleaner::compact(Place place) {
  storage_.set_appended_since_cleaning(place, 0);
  const LogTime now = clock_.now();
  const LogTime settled = now - options_.compaction_lag[static_cast<std::size_t>(place.topic)];
  Seen seen;
  std::vector<Offset> superseded, tombstones;
  Passed passed{0, 0, options_.steady()};
  auto read = storage_.scan_back(place, [&](Offset offset, const RecordView& record) {
    ++passed.kept;
    if (record.appended > settled) {
      ++passed.waiting;
    } else if (!seen.insert(record.key)) {
      superseded.push_back(offset);
    } else if (!record.has_value && passed.kept > 1 &&
               record.appended <= settled - options_.tombstone_retention) {
      tombstones.push_back(offset);
    } else if (!record.has_value) {
      ++passed.waiting;
    }
    return true;
  });
  if (!read) return read;
  passed.kept -= superseded.size() + tombstones.size();
  // Tombstones last, so that a crash in between brings nothing back to life.
  if (auto done = storage_.remove(place, superseded); !done.ok()) return as_result(done, "compacting");
  if (auto done = storage_.remove(place, tombstones); !done.ok()) return as_result(done, "compacting");
  passed_[place] = passed;
  // A destroyed key must not be readable in the files either.
  if (place.topic == Topic::keys && !superseded.empty())
    return as_result(storage_.purge(place), "rewriting the files of keys");
  return {};
}

}  // namespace postrider::embedded
