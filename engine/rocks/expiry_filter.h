#pragma once
#include <rocksdb/compaction_filter.h>

#include <atomic>
#include <cstdint>
#include <string_view>

namespace postrider::rocks {

// A TTL value begins with the log time from which it may vanish: 8 bytes, big-endian, unix ms
// (ports/store.h). Shorter values never expire.
inline bool expired(std::string_view value, std::int64_t log_time_ms) {
  if (value.size() < 8) return false;
  std::uint64_t expires = 0;
  for (std::size_t i = 0; i < 8; ++i) expires = expires << 8 | static_cast<unsigned char>(value[i]);
  return static_cast<std::int64_t>(expires) <= log_time_ms;
}

// Drops expired values while RocksDB compacts, on its own threads.
class ExpiryFilter final : public rocksdb::CompactionFilter {
 public:
  explicit ExpiryFilter(const std::atomic<std::int64_t>& log_time_ms) : log_time_ms_(log_time_ms) {}
  bool Filter(int, const rocksdb::Slice&, const rocksdb::Slice& value, std::string*, bool*) const override {
    return expired({value.data(), value.size()}, log_time_ms_.load(std::memory_order_relaxed));
  }
  const char* Name() const override { return "postrider.expiry"; }

 private:
  const std::atomic<std::int64_t>& log_time_ms_;
};

}  // namespace postrider::rocks
