#pragma once
#include <functional>
#include <vector>

#include "engine/ports/log.h"

namespace postrider {

// The log for tools and for the daemon's slow reads: blocking, no group, no ownership. Thread-safe.
class LogClient {
 public:
  virtual ~LogClient() = default;

  struct Extent {
    Offset begin = 0, end = 0;  // end: one above the last acknowledged record
  };
  virtual Result<Partition> partitions(Topic topic) = 0;
  virtual Result<Extent> extent(Topic topic, Partition partition) = 0;
  // First offset appended at or after `time`; `end` when there is none.
  virtual Result<Offset> offset_at(Topic topic, Partition partition, LogTime time) = 0;
  // Calls `each` for records in [from, to) in order until it returns false.
  virtual Result<void> scan(Topic topic, Partition partition, Offset from, Offset to,
                            const std::function<bool(const Record&)>& each) = 0;
  virtual Result<Record> fetch(Topic topic, Partition partition, Offset offset) = 0;
  // Returns once the log has acknowledged it.
  virtual Result<Appended> append(NewRecord record) = 0;
};

}  // namespace postrider
