#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/core/ids.h"
#include "engine/ports/store.h"

// The view on disk (DESIGN §5, §7): ports/store.h over RocksDB, one column family a Family.
namespace postrider::rocks {

struct RocksStoreOptions {
  std::string directory;    // of the view alone, e.g. DIR/view; made (0700) when it is not there
  Environment environment;  // a view of another environment is refused
  // Write buffers and blocks of all families together, in bytes; at least 8 MiB.
  std::size_t memory_bytes = std::size_t{64} << 20;
  // Each file of a TTL family is rewritten at least this often, and loses what has expired then. Longer
  // rewrites less; shorter lets go of expired payloads sooner.
  Millis expiry_sweep = std::chrono::hours(6);
  // What says how often something may be done again. Called on the store's thread.
  std::function<std::chrono::steady_clock::time_point()> steady_now = std::chrono::steady_clock::now;
};

// Owns the database until it goes. One thread at a time: after a failed write it is closed and opened again,
// at most once a second and once there is room. Values whose time has passed (set_log_time) are never
// returned, whether or not a compaction has taken them yet.
//
// Durability: an unsynced write survives the process, a synced one the machine. What a torn log loses, the
// caller sees by the positions it kept in Family::meta.
//
// Errors. open: DATA_OTHER_ENVIRONMENT and DATA_NOT_OURS (denied), DATA_LOCKED (conflict), DATA_CORRUPT and
// DATA_OTHER_FORMAT (corrupt: wipe() and rebuild from the log), DISK_FULL (overloaded), DATA_UNREADABLE
// (unavailable). Later calls: DISK_FULL, DATA_RECOVERING (unavailable), DATA_CORRUPT, DATA_UNREADABLE. After
// a failed write each write tries to resume first: within seconds of there being room again, writing goes on.
class RocksStore final : public Store {
 public:
  static Result<std::unique_ptr<RocksStore>> open(const RocksStoreOptions& options);
  ~RocksStore() override;

  // A view belongs to one log, for its life. The first call keeps the identity; another one later is
  // DATA_OTHER_LOG (corrupt: wipe and rebuild).
  Result<void> belongs_to(const LogIdentity& log);

  Result<std::optional<std::string>> get(Family family, std::string_view key) override;
  Result<void> write(const StoreBatch& batch, bool sync) override;
  Result<void> write_behind(StoreBatch batch) override;  // by a thread of its own
  Result<void> scan(Family family, std::string_view from, std::string_view to,
                    const std::function<bool(std::string_view key, std::string_view value)>& each) override;
  Result<void> erase_range(Family family, std::string_view from, std::string_view to) override;
  void set_log_time(LogTime now) override;

  // Rewrites a whole family now, so that deleted and expired values leave the disk. Blocks for long.
  Result<void> compact(Family family);
  // Memory in use by write buffers and blocks, in bytes.
  std::size_t memory_bytes() const;

 private:
  struct Database;
  explicit RocksStore(std::unique_ptr<Database> database);
  Result<void> settle();
  std::unique_ptr<Database> database_;
  std::deque<StoreBatch> owed_;  // written behind: the first is under way, others wait for what failed
  struct Behind;
  std::unique_ptr<Behind> behind_;  // goes before the database
};

// Removes a closed view: the database's own files and our mark, nothing else. Refuses a directory without our
// mark (DATA_NOT_OURS) and one that is open (DATA_LOCKED). A directory that is not there is fine.
Result<void> wipe(const std::string& directory);

}  // namespace postrider::rocks
