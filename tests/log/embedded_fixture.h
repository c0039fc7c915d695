#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "engine/embedded/embedded_log.h"
#include "tests/log/contract.h"

namespace postrider::log_test {

// A directory that goes with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Flips every bit and adds a marker: enough to show that sealed bytes are not the plain ones.
class FlippingCipher : public RecordCipher {
 public:
  Result<std::string> seal(std::string_view bytes) override;
  Result<std::string> open(std::string_view sealed) override;
  std::atomic<bool> broken{false};  // open() fails as a damaged value would
  std::atomic<bool> away{false};    // both fail as a key service that is down would
};

// An embedded log whose clocks can be moved on.
class EmbeddedFixture : public LogUnderTest {
 public:
  explicit EmbeddedFixture(RecordCipher* cipher = nullptr);

  Partition partitions() const override { return log().partitions(); }
  std::unique_ptr<Log> shard() override { return log().shard(); }
  std::unique_ptr<LogClient> client() override { return log().client(); }
  void reopen() override;
  void nudge_compaction(Topic, Partition) override { clean_after(std::chrono::hours(24 * 31)); }
  bool nudge_retention(Topic, Partition) override {
    clean_after(std::chrono::hours(24 * 31));
    return true;
  }
  std::chrono::milliseconds patience() const override { return std::chrono::seconds(20); }
  std::size_t too_large_bytes() const override { return 3 * 1024 * 1024; }

  EmbeddedLog& log() const { return *log_; }
  EmbeddedLog::Options& options() { return options_; }
  const std::string& directory() const { return options_.directory; }
  void close() { log_.reset(); }
  Result<std::unique_ptr<EmbeddedLog>> open() { return EmbeddedLog::open(options_); }
  void advance(Millis span) { skipped_ms_ += span.count(); }
  void set_wall(std::int64_t unix_ms) { wall_ms_ = unix_ms; }
  void clean_after(Millis span);

 private:
  TemporaryDirectory directory_;
  EmbeddedLog::Options options_;
  std::atomic<std::int64_t> skipped_ms_{0}, wall_ms_{1'750'000'000'000};
  std::unique_ptr<EmbeddedLog> log_;
};

}  // namespace postrider::log_test
