#pragma once
#include <cstdint>
#include <string_view>

#include "engine/core/ids.h"

// Where a key's records go: as Kafka's own producers place them (librdkafka's `murmur2_random`, Java's
// default), so that every producer and tool agrees. The numbers are for ever: tests/core/partitioner_test.cc
// pins them.
namespace postrider {

// MurmurHash2, 32 bits, Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2).
std::uint32_t murmur2(std::string_view key);

// In [0, partitions). An empty key is a key like any other. Precondition: partitions > 0.
Partition murmur2_partition(std::string_view key, Partition partitions);

}  // namespace postrider
