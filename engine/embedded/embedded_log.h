#pragma once
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/core/ids.h"
#include "engine/core/result.h"
#include "engine/core/time.h"
#include "engine/ports/log.h"
#include "engine/ports/log_client.h"
#include "engine/ports/record_cipher.h"

namespace postrider {

// The log of one machine: the same topics as Kafka's, as ordered keys in a RocksDB of its own, synced before
// it acknowledges, appends that come together in one sync (DESIGN §8). It survives SIGKILL and power loss. It
// has no replication.
//
// Owns DIR and its lock, a writer's thread and a cleaner's. Thread-safe itself; a shard() is its owner's
// thread's alone, a client() is anybody's. Must outlive both.
class EmbeddedLog {
 public:
  struct Options {
    std::string directory;  // outside the view's: it is the truth, and is never wiped
    Environment environment;
    // Of `events`, `parked` and `attempts`, when the log is first made; later the log's own number counts.
    Partition partitions = 4;
    // Into how many shares the partitions are split, each for one shard of this process: partition p is of
    // share p mod shares. Not kept: another number the next time is no matter.
    std::size_t shares = 1;
    // Seals and opens the values and headers of `events`; borrowed. nullptr: see use_cipher().
    RecordCipher* cipher = nullptr;

    // By topic. Of events, attempts, dead letters and audit: what is older may go. Of the compacted ones: how
    // long a record is safe from compaction.
    std::array<Millis, kTopicCount> retention = default_retention();
    std::array<Millis, kTopicCount> compaction_lag = default_compaction_lag();
    Millis tombstone_retention = std::chrono::hours(24);
    Millis cleaning_every = std::chrono::minutes(1);  // 0: only by clean()

    std::size_t record_bytes_max = 2 * 1024 * 1024;          // key, value and headers
    std::size_t unacknowledged_bytes_max = 8 * 1024 * 1024;  // of one shard
    Millis release_within{5000};

    // For tests. Empty: the system's clocks. The wall clock is read once, by open().
    std::function<WallTime()> wall;
    std::function<SteadyTime()> steady;  // CLOCK_BOOTTIME
  };
  // Events: lifetime (96 h) and a day. Attempts 30 days, dead letters 7, audit 365 (DESIGN §3).
  static std::array<Millis, kTopicCount> default_retention();
  // Parked and health 10 min; endpoints as attempts; keys none, so that a destroyed key is soon unreadable.
  static std::array<Millis, kTopicCount> default_compaction_lag();

  // Makes the log on first use: its topics, and its identity as the first record of `endpoints`. Reads every
  // record once. Refuses (code): another environment's directory (ENVIRONMENT_MISMATCH), one in use
  // (LOG_LOCKED), of a version we do not know (LOG_VERSION_UNKNOWN), a damaged one (LOG_DAMAGED; only an
  // unfinished tail, which nobody was promised, is dropped).
  static Result<std::unique_ptr<EmbeddedLog>> open(Options options);
  ~EmbeddedLog();

  LogIdentity identity() const;
  Partition partitions() const;
  // The group's, as far as it is durable; nullopt: none.
  std::optional<Offset> committed(Partition partition) const;

  // For a cipher whose keys stand on this very log: before the first shard, and before any use of `events`.
  void use_cipher(RecordCipher& cipher);

  // A member of the group. One owns all partitions of a share: the newest to join for it, once the former has
  // released them, is gone, or `release_within` is over. Precondition: share < Options::shares.
  std::unique_ptr<Log> shard(std::size_t share = 0);
  std::unique_ptr<LogClient> client();

  // One round of retention and compaction, now. Retention never takes an event at or above the committed
  // offset of its partition, nor one that a live parked delivery names.
  Result<void> clean();

 private:
  struct Parts;
  explicit EmbeddedLog(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace postrider
