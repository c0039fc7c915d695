#include "tests/simulation/log_client.h"

#include <algorithm>
#include <cstdlib>

namespace postrider::simulation {

Result<Partition> SimLogClient::partitions(Topic topic) {
  Partition count = 0;
  for (const auto& [key, part] : kafka_.parts())
    if (key.first == topic) count = std::max(count, key.second + 1);
  return topic == Topic::events ? kafka_.partitions : count;
}

Result<LogClient::Extent> SimLogClient::extent(Topic topic, Partition partition) {
  const Kafka::Part& part = kafka_.part(topic, partition);
  return Extent{std::max(part.begin, part.base), part.high};
}

Result<Offset> SimLogClient::offset_at(Topic topic, Partition partition, LogTime time) {
  const Kafka::Part& part = kafka_.part(topic, partition);
  for (Offset offset = std::max(part.begin, part.base); offset < part.high; ++offset) {
    const Kafka::Slot* slot = part.at(offset);
    if (slot != nullptr && slot->record.appended >= time) return offset;
  }
  return part.high;
}

Result<void> SimLogClient::scan(Topic topic, Partition partition, Offset from, Offset to,
                                const std::function<bool(const Record&)>& each) {
  const Kafka::Part& part = kafka_.part(topic, partition);
  for (Offset offset = std::max(from, part.base); offset < std::min(to, part.high); ++offset) {
    const Kafka::Slot* slot = part.at(offset);
    if (slot != nullptr && !each(slot->record)) break;
  }
  return {};
}

Result<Record> SimLogClient::fetch(Topic topic, Partition partition, Offset offset) {
  const Kafka::Slot* slot = kafka_.part(topic, partition).at(offset);
  if (slot == nullptr) return fail(Errc::not_found, "NOT_FOUND", "no such record", "");
  return slot->record;
}

Result<Appended> SimLogClient::append(NewRecord) {
  std::abort();
}

}  // namespace postrider::simulation
