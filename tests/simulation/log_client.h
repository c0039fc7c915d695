#pragma once
#include "engine/ports/log_client.h"
#include "tests/simulation/kafka.h"

namespace postrider::simulation {

// The log as a tool reads it: what readers see at this moment. It writes nothing.
class SimLogClient final : public LogClient {
 public:
  explicit SimLogClient(Kafka& kafka) : kafka_(kafka) {}

  Result<Partition> partitions(Topic topic) override;
  Result<Extent> extent(Topic topic, Partition partition) override;
  Result<Offset> offset_at(Topic topic, Partition partition, LogTime time) override;
  Result<void> scan(Topic topic, Partition partition, Offset from, Offset to,
                    const std::function<bool(const Record&)>& each) override;
  Result<Record> fetch(Topic topic, Partition partition, Offset offset) override;
  Result<Appended> append(NewRecord record) override;

 private:
  Kafka& kafka_;
};

}  // namespace postrider::simulation
