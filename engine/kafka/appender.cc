#include "engine/kafka/appender.h"

#include "engine/core/partitioner.h"

namespace postrider::kafka {
namespace {

// Above what a topic of ours takes (topics.cc), so that the broker decides; below, librdkafka refuses at
// once.
constexpr std::size_t kRequestBytesMax = 4 * 1024 * 1024;
// A batch may not exceed the smallest max.message.bytes of our topics, or its innocent records are refused
// with it.
constexpr std::size_t kBatchBytesMax = 256 * 1024;
// How long a fact may wait for others. Each batch costs two changes of thread and a request of the broker's;
// nothing that a customer sees waits for a fact, but for an event that is published through the API.
constexpr Millis kLinger{3};

}  // namespace

Result<std::unique_ptr<Client>> open_producer(const KafkaConfig& config, Millis message_timeout,
                                              Millis linger) {
  return Client::open(
      config, RD_KAFKA_PRODUCER,
      {{"acks", "all"},
       {"enable.idempotence", "false"},
       // One at a time, so that a retried batch cannot land behind a later one.
       {"max.in.flight.requests.per.connection", "1"},
       {"message.timeout.ms", std::to_string(message_timeout.count())},
       {"message.max.bytes", std::to_string(kRequestBytesMax)},
       {"batch.size", std::to_string(kBatchBytesMax)},
       {"linger.ms", std::to_string(linger.count())},
       {"retry.backoff.ms", "50"},
       // The bound is ours (unacknowledged_*_max): librdkafka's must lie above it.
       {"queue.buffering.max.messages", std::to_string(2 * config.unacknowledged_records_max + 1000)},
       {"queue.buffering.max.kbytes",
        std::to_string((2 * config.unacknowledged_bytes_max + 2 * kRequestBytesMax) / 1024)}});
}

std::size_t bytes_of(const NewRecord& record) {
  std::size_t bytes = record.key.size() + (record.value ? record.value->size() : 0);
  for (const Header& header : record.headers) bytes += header.name.size() + header.value.size();
  return bytes;
}

rd_kafka_resp_err_t produce(const Client& client, rd_kafka_topic_t* topic, Partition partition,
                            const NewRecord& record, void* token) {
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(record.headers.size());
    for (const Header& header : record.headers)
      rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                          header.value.data(), static_cast<ssize_t>(header.value.size()));
  }
  // A pointer that is not null, also when empty: null would be a tombstone.
  void* value = record.value ? const_cast<char*>(record.value->data()) : nullptr;
  const std::size_t value_bytes = record.value ? record.value->size() : 0;
  const auto err = rd_kafka_producev(client.get(), RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
                                     RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                     RD_KAFKA_V_KEY(record.key.data(), record.key.size()),
                                     RD_KAFKA_V_VALUE(value, value_bytes), RD_KAFKA_V_HEADERS(headers),
                                     RD_KAFKA_V_OPAQUE(token), RD_KAFKA_V_END);
  if (err && headers) rd_kafka_headers_destroy(headers);
  return err;
}

Appended to_appended(const rd_kafka_message_t& report) {
  Appended appended;
  appended.partition = report.partition;
  appended.offset = report.offset;
  if (!report.err) {
    rd_kafka_timestamp_type_t type{};
    appended.appended = from_ms<LogTime>(rd_kafka_message_timestamp(&report, &type));
    return appended;
  }
  appended.error = to_error(report.err, std::string("appending to ") + rd_kafka_topic_name(report.rkt));
  appended.status =
      appended.error.errc == Errc::invalid ? Appended::Status::refused : Appended::Status::unknown;
  return appended;
}

Result<std::unique_ptr<Appender>> Appender::open(const KafkaConfig& config, const Wake& wake) {
  std::unique_ptr<Appender> appender(new Appender(config));
  // Expired before the session can be: whoever takes over finds no late record of ours (DESIGN §3).
  const Millis message_timeout = config.effective_session_timeout() * 15 / 100;
  auto client = open_producer(config, message_timeout, kLinger);
  if (!client) return fail(client.error());
  appender->client_ = std::move(*client);
  appender->wake_ = &wake;
  for (int i = 0; i < kTopicCount; ++i)
    appender->topics_[static_cast<std::size_t>(i)] =
        appender->client_->topic(config.environment, static_cast<Topic>(i));
  appender->reports_.reset(rd_kafka_queue_get_main(appender->client_->get()));
  wake.attach(appender->reports_.get());
  return appender;
}

bool Appender::can_append(std::size_t bytes) const {
  // One record always may: else a large one would wait for ever.
  if (unanswered_records_ == 0) return true;
  return unanswered_records_ < config_.unacknowledged_records_max &&
         unanswered_bytes_ + bytes <= config_.unacknowledged_bytes_max;
}

void* Appender::remember(std::uint64_t token, std::size_t bytes) {
  unanswered_bytes_ += bytes;
  ++unanswered_records_;
  std::size_t slot = slots_.size();
  if (free_slots_.empty()) {
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[slot] = {token, bytes};
  return reinterpret_cast<void*>(slot);
}

std::uint64_t Appender::settle(void* opaque) {
  const auto slot = reinterpret_cast<std::size_t>(opaque);
  unanswered_bytes_ -= slots_[slot].bytes;
  --unanswered_records_;
  free_slots_.push_back(slot);
  return slots_[slot].token;
}

void Appender::append(NewRecord record, std::uint64_t token, Partition partitions) {
  void* opaque = remember(token, bytes_of(record));
  // A partition that does not exist is kept from librdkafka: 2.0.2 may free the headers twice there.
  const bool exists =
      partitions > 0 && (!record.partition || (*record.partition >= 0 && *record.partition < partitions));
  auto err = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
  if (exists) {
    const Partition partition =
        record.partition ? *record.partition : murmur2_partition(record.key, partitions);
    err = produce(*client_, topics_[static_cast<std::size_t>(record.topic)].get(), partition, record, opaque);
  }
  if (!err) return;
  Appended appended;
  appended.error = to_error(err, "appending to " + full_name(config_.environment, record.topic));
  appended.status =
      appended.error.errc == Errc::invalid ? Appended::Status::refused : Appended::Status::unknown;
  answer_later(opaque, std::move(appended));
}

void Appender::answer_later(void* opaque, Appended appended) {
  refused_.push_back({opaque, std::move(appended)});
  wake_->signal();
}

std::size_t Appender::report(LogListener& listener, rd_kafka_event_t* event) {
  std::size_t calls = 0;
  while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event)) {
    listener.on_appended(settle(message->_private), to_appended(*message));
    ++calls;
  }
  return calls;
}

std::size_t Appender::poll(LogListener& listener) {
  std::size_t calls = 0;
  // Only those that were there: the listener may append again from inside, and be refused again.
  for (std::size_t left = refused_.size(); left > 0; --left) {
    Refusal refusal = std::move(refused_.front());
    refused_.pop_front();
    listener.on_appended(settle(refusal.opaque), refusal.appended);
    ++calls;
  }
  while (Event event{rd_kafka_queue_poll(reports_.get(), 0)}) {
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) {
      calls += report(listener, event.get());
    } else if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR) {
      if (auto error = to_error(client_->get(), event.get())) listener.on_log_error(*error);
    }
  }
  return calls;
}

}  // namespace postrider::kafka
