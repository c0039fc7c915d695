#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "engine/core/ids.h"
#include "engine/core/result.h"
#include "engine/core/time.h"

namespace postrider {

// How to reach one environment's topics on a Kafka cluster.
struct KafkaConfig {
  std::string brokers;  // "host:port,host:port"
  // librdkafka's own properties, secrets already resolved: security, compression, buffers, timeouts. What
  // Postrider's promises hang on (acks, group.id, auto.offset.reset, …) is refused.
  std::map<std::string, std::string> properties;
  Environment environment;
  // group.instance.id: random, kept in the locked data directory, one per member. Only KafkaLog needs it.
  std::string instance;
  Millis session_timeout{15'000};  // properties["session.timeout.ms"] wins

  std::size_t unacknowledged_bytes_max = 8 * 1024 * 1024;
  std::size_t unacknowledged_records_max = 20'000;
  std::size_t prefetch_bytes_max = 4 * 1024 * 1024;  // of `events`, all partitions together; about

  Millis reach_timeout{10'000};  // opening fails when the cluster has not answered by then

  // librdkafka's log lines: `level` as in syslog(3). Called on librdkafka's threads; may be empty.
  std::function<void(int level, std::string_view line)> on_line;

  Millis effective_session_timeout() const;
  std::string group() const { return environment.str() + ".postrider"; }
};

// INVALID_CONFIGURATION names the property that librdkafka does not know, the value it does not take, or the
// property that is not the operator's to set. Contacts nobody.
Result<void> check(const KafkaConfig& config);

}  // namespace postrider
