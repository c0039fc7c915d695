#pragma once
#include <memory>

#include "engine/kafka/kafka_config.h"
#include "engine/ports/log_client.h"

namespace postrider {

// The log on Kafka for tools and slow reads: blocking, thread-safe, no group. Every call gives up after 30 s
// (KAFKA_UNREACHABLE). Concurrent scans use a connection each, kept for the next one. Appends of several
// threads share batches.
//
// append() answers `acknowledged` only as a value; `unknown` and `refused` are errors (unavailable, or
// RECORD_TOO_LARGE): a caller that goes on after an error has lost nothing, and may append again.
//
// Blocks up to config.reach_timeout: INVALID_CONFIGURATION, KAFKA_UNREACHABLE, KAFKA_DENIED. Missing topics
// show when they are used (TOPIC_MISSING). config.instance is not needed.
Result<std::unique_ptr<LogClient>> open_kafka_client(const KafkaConfig& config);

}  // namespace postrider
