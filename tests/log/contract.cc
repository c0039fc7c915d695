#include "tests/log/contract.h"

#include <poll.h>

#include <stdexcept>

namespace postrider::log_test {

bool pump(Log& log, LogListener& listener, const std::function<bool()>& done,
          std::chrono::milliseconds patience, std::size_t max_records) {
  const auto deadline = Clock::now() + patience;
  while (!done()) {
    if (log.poll(listener, max_records) > 0) continue;
    if (done()) return true;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    // The timeout covers answers that come by time alone, such as a release after 5 s.
    pollfd ready{log.wake_fd(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 100)));
  }
  return true;
}

void LogContract::SetUp() {
  log_ = GetParam().make();
  if (!log_) GTEST_SKIP() << GetParam().why_not;
}

std::unique_ptr<Log> LogContract::joined(Recorder& recorder) {
  auto shard = log_->shard();
  shard->join();
  const auto all = static_cast<std::size_t>(log_->partitions());
  // Thrown, so that the test ends here: without an assignment nothing below means anything.
  if (!pump_until(*shard, recorder, [&] { return recorder.assigned.size() >= all; }))
    throw std::runtime_error("the partitions were not assigned");
  return shard;
}

Appended LogContract::append(Log& log, Recorder& recorder, NewRecord what) {
  const std::uint64_t token = next_token_++;
  log.append(std::move(what), token);
  EXPECT_TRUE(pump_until(log, recorder, [&] { return recorder.appended.contains(token); })) << "no answer";
  return recorder.appended[token];
}

std::vector<Record> LogContract::all_of(LogClient& client, Topic topic, Partition partition) {
  std::vector<Record> out;
  auto extent = client.extent(topic, partition);
  EXPECT_TRUE(extent) << extent.error().message;
  if (!extent) return out;
  auto scanned = client.scan(topic, partition, extent->begin, extent->end, [&](const Record& each) {
    out.push_back(each);
    return true;
  });
  EXPECT_TRUE(scanned) << scanned.error().message;
  return out;
}

NewRecord event(Partition partition, std::string key, std::string value) {
  return {Topic::events, partition, std::move(key), std::move(value), {}};
}

NewRecord record(Topic topic, Partition partition, std::string key, std::optional<std::string> value) {
  return {topic, partition, std::move(key), std::move(value), {}};
}

}  // namespace postrider::log_test
