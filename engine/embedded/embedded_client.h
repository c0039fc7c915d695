#pragma once
#include "engine/embedded/embedded_shard.h"
#include "engine/ports/log_client.h"

namespace postrider::embedded {

// The embedded log for tools and slow reads: any thread's.
class EmbeddedClient : public LogClient {
 public:
  // Borrows both.
  EmbeddedClient(Storage& storage, LogWriter& writer, Limits limits)
      : storage_(storage), writer_(writer), limits_(limits) {}

  Result<Partition> partitions(Topic topic) override { return storage_.partitions(topic); }
  Result<Extent> extent(Topic topic, Partition partition) override;
  Result<Offset> offset_at(Topic topic, Partition partition, LogTime time) override;
  Result<void> scan(Topic topic, Partition partition, Offset from, Offset to,
                    const std::function<bool(const Record&)>& each) override;
  Result<Record> fetch(Topic topic, Partition partition, Offset offset) override;
  Result<Appended> append(NewRecord record) override;

 private:
  Storage& storage_;
  LogWriter& writer_;
  const Limits limits_;
};

}  // namespace postrider::embedded
