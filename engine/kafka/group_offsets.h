#pragma once
#include <optional>
#include <string>

#include "engine/kafka/kafka_config.h"

// The committed offsets of Postrider's consumer group, for tools: read and set from outside, one partition of
// `events` at a time. Blocking.
namespace postrider {

// nullopt: the group has committed none there.
Result<std::optional<Offset>> group_offset(const KafkaConfig& config, Partition partition);

// GROUP_IN_USE (conflict): the group has members, and takes commits from them alone. That is so until every
// daemon is down and, being static members, their session has run out.
// `metadata`: as an owner commits it (Watermark::bitmap).
Result<void> set_group_offset(const KafkaConfig& config, Partition partition, Offset offset,
                              const std::string& metadata = {});

}  // namespace postrider
