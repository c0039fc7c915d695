#include "producers/kafka_outcome_wait.h"

#include <set>

#include "engine/wire/codec.h"
#include "producers/kafka_client.h"

namespace postrider::producers {
namespace {

constexpr Millis kConnectTimeout{10'000};

struct DestroyMessage {
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
struct DestroyList {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};

// Reads `attempts` without a group. Its partitions are those of `events`: only the ones that events went to
// are read.
class KafkaOutcomeWait : public OutcomeWait {
 public:
  static Result<std::unique_ptr<OutcomeWait>> open(const PublisherOptions& options) {
    auto wait = std::make_unique<KafkaOutcomeWait>();
    wait->environment_ = options.environment;
    wait->topic_ = options.environment.str() + ".postrider.attempts";
    const KafkaProperties properties{{"group.id", "postrider-publish-wait"},
                                     {"enable.auto.commit", "false"},
                                     {"enable.auto.offset.store", "false"},
                                     {"auto.offset.reset", "earliest"},
                                     {"fetch.wait.max.ms", "50"}};
    auto client = make_kafka(RD_KAFKA_CONSUMER, options, properties, {&wait->trouble_, nullptr});
    if (!client) return fail(client.error());
    wait->client_ = *std::move(client);
    if (auto noted = wait->note_ends(); !noted) return fail(noted.error());
    return wait;
  }

  ~KafkaOutcomeWait() override {
    if (client_) rd_kafka_consumer_close(client_.get());
  }

  Result<std::size_t> wait(const std::vector<PublishedEvent>& published, Millis span,
                           const std::function<void(const FirstOutcome&)>& each) override {
    FirstOutcomes outcomes;
    for (const auto& one : published) outcomes.expect(one.position, one.id, one.webhook_id);
    assign(published);
    const auto deadline = std::chrono::steady_clock::now() + span;
    while (outcomes.missing() > 0) {
      const auto left = std::chrono::ceil<Millis>(deadline - std::chrono::steady_clock::now());
      if (left <= Millis(0)) break;
      read_one(outcomes, std::min(left, Millis(500)), each);
    }
    return outcomes.missing();
  }

 private:
  Result<void> note_ends() {
    const auto partitions = kafka_partitions(client_.get(), topic_, trouble_, kConnectTimeout);
    if (!partitions) return fail(partitions.error());
    for (Partition partition = 0; partition < *partitions; ++partition) {
      std::int64_t begin = 0, end = 0;
      const auto error = rd_kafka_query_watermark_offsets(client_.get(), topic_.c_str(), partition, &begin,
                                                          &end, static_cast<int>(kConnectTimeout.count()));
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return fail(Errc::unavailable, "LOG_UNREACHABLE",
                    std::string("the end of ") + topic_ + " is not known: " + rd_kafka_err2str(error),
                    "try again, or publish without --wait");
      }
      ends_.push_back(end);
    }
    return {};
  }

  void assign(const std::vector<PublishedEvent>& published) {
    std::set<Partition> partitions;
    for (const auto& one : published) partitions.insert(one.position.partition);
    const std::unique_ptr<rd_kafka_topic_partition_list_t, DestroyList> list(
        rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
    for (const auto partition : partitions) {
      auto* entry = rd_kafka_topic_partition_list_add(list.get(), topic_.c_str(), partition);
      // A partition that is younger than note_ends() is read from its beginning.
      const auto index = static_cast<std::size_t>(partition);
      entry->offset = index < ends_.size() ? ends_[index] : 0;
    }
    rd_kafka_assign(client_.get(), list.get());
  }

  void read_one(FirstOutcomes& outcomes, Millis span, const std::function<void(const FirstOutcome&)>& each) {
    const std::unique_ptr<rd_kafka_message_t, DestroyMessage> message(
        rd_kafka_consumer_poll(client_.get(), static_cast<int>(span.count())));
    if (!message || message->err != RD_KAFKA_RESP_ERR_NO_ERROR || !message->payload) return;
    const auto fact =
        wire::decode_attempts(environment_, {static_cast<const char*>(message->payload), message->len});
    if (!fact) return;  // a record that is not ours tells nothing about our events
    for (const auto& outcome : outcomes.apply(*fact)) each(outcome);
  }

  KafkaTrouble trouble_;
  KafkaHandle client_;
  Environment environment_;
  std::string topic_;
  std::vector<Offset> ends_;  // by partition, before anything was published
};

}  // namespace

Result<std::unique_ptr<OutcomeWait>> open_kafka_outcome_wait(const PublisherOptions& options) {
  return KafkaOutcomeWait::open(options);
}

}  // namespace postrider::producers
