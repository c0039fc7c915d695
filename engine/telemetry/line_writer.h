#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace postrider::telemetry {

// Writes lines to a descriptor from a thread of its own, gathered for up to a tenth of a second: a log reader
// that stands still must not stand a shard still. At most kBytesMax wait; lines beyond that are dropped and
// counted. Thread-safe. The descriptor is borrowed.
class LineWriter {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{4} << 20;

  explicit LineWriter(int fd);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  ~LineWriter();  // writes what waits, for at most two seconds

  void add(std::string_view line, bool urgent);  // urgent: written at once
  // Waits until all that was added before is written; false: not within `limit`.
  bool flush(std::chrono::milliseconds limit);
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void run();
  void write_out(std::string_view bytes);

  const int fd_;
  const bool is_file_;  // takes all at once, and never blocks
  std::mutex lock_;
  std::condition_variable filled_, written_;
  std::string filling_, writing_;
  bool urgent_ = false, stopping_ = false, busy_ = false;
  std::atomic<bool> abandon_{false};
  std::atomic<std::uint64_t> dropped_{0};
  std::thread thread_;
};

}  // namespace postrider::telemetry
