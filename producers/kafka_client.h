#pragma once
#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/result.h"
#include "engine/core/time.h"
#include "producers/publisher.h"

// librdkafka's handles as this folder needs them. Internal.
namespace postrider::producers {

struct DestroyKafka {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
};
using KafkaHandle = std::unique_ptr<rd_kafka_t, DestroyKafka>;

// The newest reason that librdkafka gave for not reaching a broker ("SASL authentication failed", …).
class KafkaTrouble {
 public:
  KafkaTrouble();
  ~KafkaTrouble();
  void note(rd_kafka_resp_err_t error, std::string text);
  std::string text() const;
  bool all_brokers_down() const;  // at least once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

using KafkaProperties = std::vector<std::pair<std::string, std::string>>;
// A client with `ours` under options.kafka_properties. `trouble` outlives the handle. `delivered` (producers
// only) may be null. `opaque` is handed to callbacks.
struct KafkaCallbacks {
  KafkaTrouble* trouble = nullptr;
  void (*delivered)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr;
};
Result<KafkaHandle> make_kafka(rd_kafka_type_t type, const PublisherOptions& options,
                               const KafkaProperties& ours, KafkaCallbacks callbacks);

// Partitions of a topic, without creating it. Errc::unavailable (sooner than `timeout` if every broker
// refuses), not_found.
Result<Partition> kafka_partitions(rd_kafka_t* client, const std::string& topic, const KafkaTrouble& trouble,
                                   Millis timeout);

}  // namespace postrider::producers
