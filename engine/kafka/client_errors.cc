#include <array>

#include "engine/kafka/client.h"

namespace postrider::kafka {
namespace {

struct Meaning {
  Errc errc;
  const char* code;
  const char* suggestion;
};

Meaning meaning_of(rd_kafka_resp_err_t err) {
  switch (err) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
      return {
          Errc::unavailable, "KAFKA_UNREACHABLE",
          "check that the brokers run, that their addresses are right, and that security.protocol is their "
          "listener's"};
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return {Errc::denied, "KAFKA_DENIED", "check security.protocol, sasl.* and ssl.* in [kafka]"};
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      return {Errc::denied, "KAFKA_DENIED", "give this user rights to our topics and our group"};
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      return {Errc::not_found, "TOPIC_MISSING", "run: postrider-ops topics create"};
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
      return {Errc::invalid, "RECORD_TOO_LARGE",
              "make the record smaller, or raise max.message.bytes of its topic"};
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
      return {Errc::invalid, "RECORD_REFUSED", "run: postrider-ops topics check"};
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      return {Errc::conflict, "INSTANCE_TWICE",
              "stop the other process that runs on a copy of this data directory"};
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
      return {Errc::corrupt, "KAFKA_RECORD_CORRUPT", "look at the broker's disks and logs"};
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return {Errc::overloaded, "LOG_OVERLOADED", "wait until earlier records are acknowledged"};
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
      return {Errc::invalid, "KAFKA_ERROR", "look at the log lines around this one"};
    default:
      return {Errc::unavailable, "KAFKA_ERROR", "try again; if it stays, look at the brokers' logs"};
  }
}

}  // namespace

Error to_error(rd_kafka_resp_err_t err, std::string_view doing, std::string_view detail) {
  const Meaning meaning = meaning_of(err);
  std::string message(doing);
  message += ": ";
  message += detail.empty() ? std::string_view(rd_kafka_err2str(err)) : detail;
  return {meaning.errc, meaning.code, std::move(message), meaning.suggestion};
}

std::optional<Error> to_error(rd_kafka_t* rk, rd_kafka_event_t* event) {
  rd_kafka_resp_err_t err = rd_kafka_event_error(event);
  const char* text = rd_kafka_event_error_string(event);
  char why[512];
  if (const auto fatal = rd_kafka_fatal_error(rk, why, sizeof why)) {
    err = fatal;
    text = why;
  }
  switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__TRANSPORT:  // one connection: all of them is ALL_BROKERS_DOWN
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
      return std::nullopt;
    default:
      return to_error(err, "talking to Kafka", text ? text : "");
  }
}

namespace {

constexpr Millis kFirstSlice{1'000};
constexpr int kScramAsKafka4HasIt = 0x020601ff;  // 2.6.1, confluentinc/librdkafka#4895

// Before 2.6.1 librdkafka repeated its nonce in SCRAM's last message, which Kafka 4 refuses as it would a
// wrong password.
std::string denied_suggestion(const KafkaConfig& config, std::string suggestion) {
  for (const char* name : {"sasl.mechanisms", "sasl.mechanism"}) {
    const auto found = config.properties.find(name);
    if (found == config.properties.end() || !found->second.starts_with("SCRAM")) continue;
    if (rd_kafka_version() >= kScramAsKafka4HasIt) continue;
    suggestion += std::string("; the librdkafka that runs here, ") + rd_kafka_version_str() +
                  ", cannot do SCRAM with Kafka 4: see \"SCRAM\" in ops/runbook.md";
  }
  return suggestion;
}

// librdkafka tells why it cannot connect by events only. `error`: what is known so far.
Error why_unreachable(const Client& client, const KafkaConfig& config, Error error) {
  Queue queue(rd_kafka_queue_get_main(client.get()));
  while (Event event{rd_kafka_queue_poll(queue.get(), 0)}) {
    if (rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_ERROR) continue;
    const auto told = rd_kafka_event_error(event.get());
    if (told == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || error.errc == Errc::denied) continue;
    error = to_error(told, "the Kafka cluster at " + config.brokers + " cannot be reached",
                     rd_kafka_event_error_string(event.get()));
    if (error.errc == Errc::denied) error.suggestion = denied_suggestion(config, std::move(error.suggestion));
  }
  return error;
}

// In slices that double from a second: a broker that lets nobody in like that will not do so later.
Result<Metadata> ask_metadata(const Client& client, const KafkaConfig& config, Millis timeout) {
  std::optional<Error> error;
  for (Millis slice = std::min(kFirstSlice, timeout); timeout > Millis(0);
       slice = std::min(2 * slice, timeout)) {
    const rd_kafka_metadata_t* raw = nullptr;
    const auto err = rd_kafka_metadata(client.get(), 0, nullptr, &raw, static_cast<int>(slice.count()));
    if (!err) return Metadata(raw);
    if (!error) error = to_error(err, "the Kafka cluster at " + config.brokers + " does not answer");
    error = why_unreachable(client, config, *std::move(error));
    if (error->errc == Errc::denied) break;
    timeout -= slice;
  }
  return fail(*std::move(error));
}

}  // namespace

Result<TopicShapes> topic_shapes(const Client& client, const KafkaConfig& config, Millis timeout) {
  std::array<TopicHandle, kTopicCount> handles;  // asks for ours only: a cluster may hold thousands
  for (int i = 0; i < kTopicCount; ++i)
    handles[static_cast<std::size_t>(i)] = client.topic(config.environment, static_cast<Topic>(i));
  auto answered = ask_metadata(client, config, timeout);
  if (!answered) return fail(answered.error());
  const Metadata metadata = *std::move(answered);
  TopicShapes shapes{};
  for (int t = 0; t < metadata->topic_cnt; ++t) {
    const auto& topic = metadata->topics[t];
    if (topic.err) continue;
    for (int i = 0; i < kTopicCount; ++i) {
      if (full_name(config.environment, static_cast<Topic>(i)) != topic.topic) continue;
      auto& shape = shapes[static_cast<std::size_t>(i)];
      shape.partitions = topic.partition_cnt;
      for (int p = 0; p < topic.partition_cnt; ++p)
        shape.replicas = p == 0 ? topic.partitions[p].replica_cnt
                                : std::min(shape.replicas, topic.partitions[p].replica_cnt);
    }
  }
  return shapes;
}

}  // namespace postrider::kafka
