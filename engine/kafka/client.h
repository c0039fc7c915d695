#pragma once
#include <librdkafka/rdkafka.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "engine/kafka/kafka_config.h"
#include "engine/ports/log.h"

// librdkafka's handles with owners. Included by .cc files of this room only.
namespace postrider::kafka {

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* what) const {
    Destroy(what);
  }
};
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroyer<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroyer<rd_kafka_event_destroy>>;
using Message = std::unique_ptr<rd_kafka_message_t, Destroyer<rd_kafka_message_destroy>>;
using PartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, Destroyer<rd_kafka_topic_partition_list_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Destroyer<rd_kafka_topic_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroyer<rd_kafka_metadata_destroy>>;

using Settings = std::initializer_list<std::pair<const char*, std::string>>;

// One librdkafka instance: its threads, connections and log lines. Every queue and topic handle taken from it
// must be gone before it is destroyed (librdkafka waits for them for ever otherwise).
class Client {
 public:
  // `settings` win over the operator's properties.
  static Result<std::unique_ptr<Client>> open(const KafkaConfig& config, rd_kafka_type_t type,
                                              Settings settings);
  // Leaves no group: a static member keeps its partitions for its next life.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  rd_kafka_t* get() const { return rk_; }
  // A topic handle whose messages know their Topic: topic_of().
  TopicHandle topic(const Environment& environment, Topic topic) const;

 private:
  explicit Client(std::function<void(int, std::string_view)> on_line) : on_line_(std::move(on_line)) {}
  static void log_line(const rd_kafka_t* rk, int level, const char* facility, const char* text);

  std::function<void(int, std::string_view)> on_line_;
  rd_kafka_t* rk_ = nullptr;
};

// Of a message that came through a Client::topic() handle.
Topic topic_of(const rd_kafka_message_t& message);
Record to_record(const rd_kafka_message_t& message, Topic topic);

// What a librdkafka error means for the caller; `doing`: "reading events 3".
Error to_error(rd_kafka_resp_err_t err, std::string_view doing, std::string_view detail = {});

// An error event worth telling the operator: all brokers down, not authorised, fatal. nullopt: librdkafka
// deals with it (a connection that idled out).
std::optional<Error> to_error(rd_kafka_t* rk, rd_kafka_event_t* event);

// The cluster's topics as far as they are ours: partitions and the smallest replica count of each, 0: no
// such.
struct TopicShape {
  Partition partitions = 0;
  int replicas = 0;
};
using TopicShapes = std::array<TopicShape, kTopicCount>;
// Blocks up to `timeout`. Creates nothing. KAFKA_UNREACHABLE when nobody answers.
Result<TopicShapes> topic_shapes(const Client& client, const KafkaConfig& config, Millis timeout);

// CLOCK_BOOTTIME.
SteadyTime steady_now();

}  // namespace postrider::kafka
