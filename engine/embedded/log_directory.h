#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/core/ids.h"
#include "engine/core/result.h"

namespace postrider::embedded {

// What the log's directory says of itself, in the text file `about`: read before anything else is touched.
struct About {
  int version = 1;
  Environment environment;
  LogIdentity identity;
  Partition partitions = 0;
  bool ready = false;  // false: its making was interrupted, and nothing was acknowledged yet
};
std::string encode_about(const About& about);
Result<About> decode_about(std::string_view text);  // Errc::corrupt, or invalid: a version we do not know

// DIR, held for one process by a lock (`lock`, flock) as long as this lives. Holds `about`, RocksDB's own
// directory `db`, and `acknowledged`: the RocksDB sequence up to which writes were synced and answered, so
// that an end that went missing later is noticed. That file is written after each sync but not synced itself:
// after a power cut it may be behind, never ahead.
class LogDirectory {
 public:
  // Makes DIR (0700) if there is none. Errc::conflict, LOG_LOCKED: another process (or another part of this
  // one) holds it.
  static Result<std::unique_ptr<LogDirectory>> lock(const std::string& directory);
  ~LogDirectory();
  LogDirectory(const LogDirectory&) = delete;
  LogDirectory& operator=(const LogDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string database() const { return path_ + "/db"; }

  Result<std::optional<About>> read_about() const;  // nullopt: a new directory
  Result<void> write_about(const About& about);     // atomic and synced
  Result<void> wipe_database();                     // of an interrupted making only

  // nullopt: none was noted, or the file was taken away on purpose.
  Result<std::optional<std::uint64_t>> acknowledged() const;
  // One pwrite; failures are harmless (the mark stays behind).
  void note_acknowledged(std::uint64_t sequence);

 private:
  LogDirectory(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

  std::string path_;
  int lock_fd_ = -1;
  int acknowledged_fd_ = -1;
};

}  // namespace postrider::embedded
