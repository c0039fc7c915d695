#include "engine/kafka/bounds.h"

namespace postrider::kafka {
namespace {

// ListOffsets takes the logical offsets (end -1, beginning -2) in place of a time.
Result<std::vector<Offset>> list(const Client& client, const Environment& environment,
                                 std::span<const TopicPartition> which, std::int64_t what, Millis timeout) {
  std::vector<Offset> offsets;
  if (which.empty()) return offsets;
  PartitionList asked(rd_kafka_topic_partition_list_new(static_cast<int>(which.size())));
  for (const auto& [topic, partition] : which)
    rd_kafka_topic_partition_list_add(asked.get(), full_name(environment, topic).c_str(), partition)->offset =
        what;
  auto err = rd_kafka_offsets_for_times(client.get(), asked.get(), static_cast<int>(timeout.count()));
  for (const auto& [topic, partition] : which) {
    const std::string name = full_name(environment, topic);
    const auto* found = rd_kafka_topic_partition_list_find(asked.get(), name.c_str(), partition);
    if (!err) err = found ? found->err : RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
    if (err)
      return fail(to_error(err, "asking for the offsets of " + name + " " + std::to_string(partition)));
    offsets.push_back(found->offset);
  }
  return offsets;
}

}  // namespace

Result<std::vector<Offset>> ends_of(const Client& client, const Environment& environment,
                                    std::span<const TopicPartition> which, Millis timeout) {
  return list(client, environment, which, RD_KAFKA_OFFSET_END, timeout);
}

Result<std::vector<Offset>> begins_of(const Client& client, const Environment& environment,
                                      std::span<const TopicPartition> which, Millis timeout) {
  return list(client, environment, which, RD_KAFKA_OFFSET_BEGINNING, timeout);
}

Result<std::optional<Offset>> offset_at(const Client& client, const Environment& environment,
                                        TopicPartition which, LogTime time, Millis timeout) {
  auto found = list(client, environment, {&which, 1}, std::max<std::int64_t>(to_ms(time), 0), timeout);
  if (!found) return fail(found.error());
  if (found->front() < 0) return std::nullopt;
  return found->front();
}

}  // namespace postrider::kafka
