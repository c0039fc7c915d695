#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/core/partitioner.h"
#include "engine/ports/log_client.h"

// A log in memory behind the tools' interface: ordered, partitioned by key, with append times of the test's
// own. Aborts when it is used from inside a scan: the real ones may not bear it. Thread-safe.
namespace postrider::test {

class MemoryLogClient : public LogClient {
 public:
  explicit MemoryLogClient(Partition partitions = 4) : partitions_(partitions) {}

  Result<Partition> partitions(Topic) override { return partitions_; }

  Result<Extent> extent(Topic topic, Partition partition) override {
    const std::lock_guard lock(mutex_);
    const auto& log = logs_[{topic, partition}];
    return Extent{begins_[{topic, partition}], static_cast<Offset>(log.size())};
  }

  Result<Offset> offset_at(Topic topic, Partition partition, LogTime time) override {
    const std::lock_guard lock(mutex_);
    const auto& log = logs_[{topic, partition}];
    const auto at = std::find_if(log.begin(), log.end(), [&](const Record& r) { return r.appended >= time; });
    return at - log.begin();
  }

  Result<void> scan(Topic topic, Partition partition, Offset from, Offset to,
                    const std::function<bool(const Record&)>& each) override {
    std::vector<Record> records;
    if (const auto hook = scan_hook()) hook(topic);
    {
      const std::lock_guard lock(mutex_);
      const auto& log = logs_[{topic, partition}];
      for (auto at = std::max(from, begins_[{topic, partition}]);
           at < to && at < static_cast<Offset>(log.size()); ++at)
        if (!removed_.contains({topic, partition, at})) records.push_back(log[static_cast<std::size_t>(at)]);
    }
    scanning_ = true;
    for (const auto& record : records)
      if (!each(record)) break;
    scanning_ = false;
    return {};
  }

  Result<Record> fetch(Topic topic, Partition partition, Offset offset) override {
    const std::lock_guard lock(mutex_);
    if (scanning_) std::abort();
    const auto& log = logs_[{topic, partition}];
    if (offset < 0 || offset >= static_cast<Offset>(log.size()) ||
        removed_.contains({topic, partition, offset}))
      return fail(Errc::not_found, "NOT_FOUND", "no such record", "look elsewhere");
    return log[static_cast<std::size_t>(offset)];
  }

  Result<Appended> append(NewRecord record) override {
    const std::lock_guard lock(mutex_);
    if (scanning_) std::abort();
    if (failures_ > 0) {
      --failures_;
      return fail(Errc::unavailable, "LOG_UNREACHABLE", "the log is away", "try again");
    }
    if (record.value && record.value->size() > record_bytes_max_)
      return fail(Errc::invalid, "RECORD_TOO_LARGE", "the record is too large", "send a smaller one");
    const auto partition = record.partition.value_or(murmur2_partition(record.key, partitions_));
    auto& log = logs_[{record.topic, partition}];
    Record stored{record.topic,
                  partition,
                  static_cast<Offset>(log.size()),
                  now_,
                  std::move(record.key),
                  std::move(record.value),
                  std::move(record.headers)};
    log.push_back(std::move(stored));
    if (answers_lost_ > 0) {
      --answers_lost_;
      return fail(Errc::unavailable, "LOG_UNREACHABLE", "the log went away", "try again");
    }
    Appended answer;
    answer.partition = partition;
    answer.offset = log.back().offset;
    answer.appended = now_;
    return answer;
  }

  // For tests.
  // Before each scan, on its thread.
  void on_scan(std::function<void(Topic)> hook) {
    const std::lock_guard lock(mutex_);
    scan_hook_ = std::move(hook);
  }
  void set_now(std::int64_t unix_ms) { now_ = from_ms<LogTime>(unix_ms); }
  void fail_next(int appends) { failures_ = appends; }
  void lose_answers_of_next(int appends) { answers_lost_ = appends; }  // which it has taken
  void refuse_above(std::size_t bytes) { record_bytes_max_ = bytes; }
  void remove(Topic topic, Partition partition, Offset offset) {
    removed_[{topic, partition, offset}] = true;
  }
  void trim(Topic topic, Partition partition, Offset begin) {
    begins_[{topic, partition}] = begin;
  }  // retention
  std::vector<Record> all(Topic topic) {
    const std::lock_guard lock(mutex_);
    std::vector<Record> records;
    for (const auto& [place, log] : logs_)
      if (place.first == topic) records.insert(records.end(), log.begin(), log.end());
    return records;
  }

 private:
  std::function<void(Topic)> scan_hook() {
    const std::lock_guard lock(mutex_);
    return scan_hook_;
  }
  std::function<void(Topic)> scan_hook_;
  const Partition partitions_;
  std::mutex mutex_;
  LogTime now_ = from_ms<LogTime>(1'700'000'000'000);
  int failures_ = 0, answers_lost_ = 0;
  std::size_t record_bytes_max_ = SIZE_MAX;
  static inline thread_local bool scanning_ = false;
  std::map<std::pair<Topic, Partition>, std::vector<Record>> logs_;
  std::map<std::tuple<Topic, Partition, Offset>, bool> removed_;
  std::map<std::pair<Topic, Partition>, Offset> begins_;
};

}  // namespace postrider::test
