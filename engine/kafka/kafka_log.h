#pragma once
#include <memory>

#include "engine/kafka/kafka_config.h"
#include "engine/ports/log.h"

// The log on Kafka, for one shard: a member of the group "<environment>.postrider", a reader, a producer and
// a thread for what blocks. Membership and commits: membership.h; events and tails: follower.h; fetch():
// position_reader.h; appends: appender.h.
//
// Beyond what engine/ports/log.h promises:
// - poll() must come at least once a second also when wake_fd() stays silent: deadlines (the 5 s of
// on_revoked)
//   are looked at there.
// - Retention that overtakes a reader shows as a gap in the offsets of on_event, and is no error here. An
//   `events` that ends below what we had read already is LOG_TRUNCATED (corrupt), and that partition stands
//   still.
// - Commits are sent one request at a time; those of one poll() share a request and its sent_at.
// - ask_end() for what cannot be answered within half a second is dropped: ask again.
// - append() to a partition or topic that does not exist is answered `unknown`, TOPIC_MISSING.
// - A partition of `events` that `parked` or `attempts` lacks is not handed over: on_log_error names it,
//   PARTITION_WITHOUT_TWIN (conflict).
namespace postrider {

// Blocks up to config.reach_timeout: INVALID_CONFIGURATION, KAFKA_UNREACHABLE, KAFKA_DENIED or TOPIC_MISSING,
// each with what to do. What the topics are set to is topics.h's affair.
Result<std::unique_ptr<Log>> open_kafka_log(const KafkaConfig& config);

}  // namespace postrider
