#pragma once
#include <array>
#include <deque>
#include <vector>

#include "engine/kafka/client.h"
#include "engine/kafka/wake.h"

namespace postrider::kafka {

// The shard's producer: what it takes is answered by on_appended exactly once. Acknowledged means on the
// disks or in the memories of all in-sync replicas (acks=all; min.insync.replicas is the topics' affair).
//
// The append time of an acknowledgement is the broker's own: with message.timestamp.type=LogAppendTime (all
// our topics) the produce response carries it and librdkafka puts it on the delivery report.
//
// Not idempotent on purpose: librdkafka 2.0.2 can end in a fatal state there. A retried batch may stand twice
// on the log; readers drop records equal in delivery id, epoch and sequence (DESIGN §2.8).
class Appender {
 public:
  static Result<std::unique_ptr<Appender>> open(const KafkaConfig& config, const Wake& wake);

  // Counts what no on_appended has answered yet.
  bool can_append(std::size_t bytes) const;
  // `partitions`: how many the topic has, for placing by key.
  void append(NewRecord record, std::uint64_t token, Partition partitions);
  std::size_t poll(LogListener& listener);

 private:
  Appender(const KafkaConfig& config) : config_(config) {}
  void answer_later(void* opaque, Appended appended);
  void* remember(std::uint64_t token, std::size_t bytes);
  std::uint64_t settle(void* opaque);  // the token
  std::size_t report(LogListener& listener, rd_kafka_event_t* event);

  // What librdkafka holds for us is known to it by its index in slots_.
  struct Slot {
    std::uint64_t token = 0;
    std::size_t bytes = 0;
  };
  struct Refusal {
    void* opaque;
    Appended appended;
  };

  const KafkaConfig config_;
  const Wake* wake_ = nullptr;
  std::unique_ptr<Client> client_;
  std::array<TopicHandle, kTopicCount> topics_;
  Queue reports_;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_slots_;
  std::deque<Refusal> refused_;  // answered without the broker
  std::size_t unanswered_bytes_ = 0;
  std::size_t unanswered_records_ = 0;
};

// Hands one record to librdkafka, which copies it. `token` comes back as the report's opaque.
rd_kafka_resp_err_t produce(const Client& client, rd_kafka_topic_t* topic, Partition partition,
                            const NewRecord& record, void* token);
// A delivery report as an Appended.
Appended to_appended(const rd_kafka_message_t& report);
// What librdkafka is told for a producer of ours; messages expire after `message_timeout`.
Result<std::unique_ptr<Client>> open_producer(const KafkaConfig& config, Millis message_timeout,
                                              Millis linger);

std::size_t bytes_of(const NewRecord& record);

}  // namespace postrider::kafka
