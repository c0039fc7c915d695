#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/kafka/kafka_config.h"

// The committed offsets of Postrider's consumer group, for tools: read and set from outside. Blocking.
namespace postrider {

// Of partitions 0 to `partitions` - 1. nullopt: the group has committed none there.
Result<std::vector<std::optional<Offset>>> group_offsets(const KafkaConfig& config, Partition partitions);
Result<std::optional<Offset>> group_offset(const KafkaConfig& config, Partition partition);

// GROUP_IN_USE (conflict): the group has members, and takes commits from them alone. That is so until every
// daemon is down and, being static members, their session has run out.
// `metadata`: as an owner commits it (Watermark::bitmap).
Result<void> set_group_offset(const KafkaConfig& config, Partition partition, Offset offset,
                              const std::string& metadata = {});

}  // namespace postrider
