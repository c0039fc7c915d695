#pragma once
#include <memory>
#include <string>

#include "engine/core/ids.h"
#include "engine/core/result.h"
#include "engine/ports/random.h"

namespace postrider::rocks {

// The daemon's data directory: held by one process at a time, of one environment for ever, with a random name
// for this instance. It can be deleted while no daemon runs: the view in it is rebuilt, and the instance gets
// another name.
//   DIR/lock         flock'ed while a daemon lives; holds its process id
//   DIR/environment  the environment's name
//   DIR/instance     "ins_" + 22 of base 62: Kafka's group.instance.id. Copy no data directory to a second
//   host.
//   DIR/view        RocksStore's, of the first shard; DIR/view-1 and so on of the others
//   DIR/decoding    which record is being decoded (engine/daemon/decode_mark_file.h); DIR/decoding-1, …
// Errors of open: DATA_LOCKED (conflict), DATA_OTHER_ENVIRONMENT and DATA_PERMISSIONS (denied), DISK_FULL
// (overloaded), DATA_UNREADABLE (unavailable).
class DataDir {
 public:
  // Made (0700) when it is not there. A directory that others may write to is refused.
  static Result<std::unique_ptr<DataDir>> open(const std::string& directory, const Environment& environment,
                                               Random& random);
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;
  ~DataDir();  // lets go of the lock

  const std::string& path() const { return path_; }
  const std::string& instance() const { return instance_; }
  // A shard is a member of the group by itself: with a name of its own, a view and a decode mark.
  std::string instance(std::size_t shard) const { return named(instance_, "_", shard); }
  std::string view(std::size_t shard) const { return named(path_ + "/view", "-", shard); }
  std::string decode_mark(std::size_t shard) const { return named(path_ + "/decoding", "-", shard); }
  // Wipes what more shards than these have left behind. Their partitions are others' now, and a view that was
  // left alone for long must not come to life again.
  Result<void> remove_views_from(std::size_t shards) const;

 private:
  DataDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  static std::string named(std::string first, const char* between, std::size_t shard) {
    return shard == 0 ? first : first + between + std::to_string(shard);
  }
  Result<void> keep_environment(const Environment& environment);
  Result<void> keep_instance(Random& random);

  std::string path_;
  int lock_;
  std::string instance_;
};

}  // namespace postrider::rocks
