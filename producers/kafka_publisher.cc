#include "producers/kafka_publisher.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/wire/cloud_event.h"
#include "producers/kafka_client.h"

namespace postrider::producers {
namespace {

constexpr Millis kConnectTimeout{10'000};

// How many events have no answer yet.
class Outstanding {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  void remove() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  bool wait(Millis span) {
    std::unique_lock lock(mutex_);
    return none_.wait_for(lock, span, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  std::size_t count_ = 0;
};

// One event under way: made by publish(), freed by the delivery callback.
struct Pending {
  PublishedEvent published;
  Publisher::Done done;
  Outstanding* outstanding;
};

Error delivery_error(rd_kafka_resp_err_t error) {
  if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
    return {Errc::invalid, "EVENT_TOO_LARGE", "the broker refuses an event of this size",
            "raise max.message.bytes of the topic, or publish a reference to the data"};
  }
  if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
    return {Errc::denied, "LOG_DENIED", "the broker does not let this client write to the topic",
            "grant it WRITE on the topic"};
  }
  return {Errc::unavailable, "LOG_UNREACHABLE",
          std::string("the log did not acknowledge the event: ") + rd_kafka_err2str(error),
          "publish it again under the same id: if it is there already, that is dropped as a repeat"};
}

void delivered(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  const std::unique_ptr<Pending> pending(static_cast<Pending*>(message->_private));
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    pending->done(fail(delivery_error(message->err)));
  } else {
    pending->published.position = {message->partition, message->offset};
    pending->done(std::move(pending->published));
  }
  pending->outstanding->remove();
}

class KafkaPublisher : public Publisher {
 public:
  static Result<std::unique_ptr<Publisher>> open(PublisherOptions options) {
    auto publisher = std::make_unique<KafkaPublisher>();
    publisher->environment_ = options.environment;
    publisher->topic_ = options.environment.str() + ".postrider.events";
    auto client =
        make_kafka(RD_KAFKA_PRODUCER, options, properties(options), {&publisher->trouble_, delivered});
    if (!client) return fail(client.error());
    publisher->client_ = *std::move(client);
    const auto partitions =
        kafka_partitions(publisher->client_.get(), publisher->topic_, publisher->trouble_, kConnectTimeout);
    if (!partitions) return fail(partitions.error());
    publisher->poller_ = std::thread([raw = publisher.get()] { raw->poll(); });
    return publisher;
  }

  ~KafkaPublisher() override {
    stopping_ = true;
    if (poller_.joinable()) poller_.join();
    if (!client_) return;
    rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(client_.get(), 1000);  // calls back for what was purged
  }

  using Publisher::publish;
  void publish(Event event, Done done) override {
    if (auto checked = check_event(event, environment_); !checked) return done(fail(checked.error()));
    auto pending = std::make_unique<Pending>();
    pending->published.id = event.id;
    pending->published.webhook_id = webhook_id(event.tenant, event.source, event.id);
    pending->published.topic = topic_;
    pending->done = std::move(done);
    pending->outstanding = &outstanding_;
    outstanding_.add();
    produce(wire::encode_kafka(event), std::move(pending));
  }

  bool flush(Millis span) override { return outstanding_.wait(span); }

 private:
  // Not idempotent: librdkafka 2.0.2 can end an idempotent producer for good. One request in flight keeps the
  // order, and a repeat is dropped by its id.
  static KafkaProperties properties(const PublisherOptions& options) {
    return {{"acks", "all"},
            {"partitioner", "murmur2_random"},
            {"enable.idempotence", "false"},
            {"max.in.flight.requests.per.connection", "1"},
            {"message.timeout.ms", std::to_string(options.timeout.count())},
            {"socket.nagle.disable", "true"},
            {"linger.ms", "2"},
            {"queue.buffering.max.messages", "20000"}};
  }

  void poll() {
    while (!stopping_) rd_kafka_poll(client_.get(), 50);
  }

  static rd_kafka_headers_t* kafka_headers(const Headers& headers) {
    auto* list = rd_kafka_headers_new(headers.size());
    for (const auto& [name, value] : headers) {
      rd_kafka_header_add(list, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                          static_cast<ssize_t>(value.size()));
    }
    return list;
  }

  void produce(const wire::KafkaMessage& message, std::unique_ptr<Pending> pending) {
    auto* headers = kafka_headers(message.headers);
    while (true) {
      const auto error = rd_kafka_producev(
          client_.get(), RD_KAFKA_V_TOPIC(topic_.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
          RD_KAFKA_V_KEY(message.key.data(), message.key.size()),
          RD_KAFKA_V_VALUE(const_cast<char*>(message.value.data()), message.value.size()),
          RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(pending.get()), RD_KAFKA_V_END);
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return (void)pending.release();  // delivered() frees it
      if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        rd_kafka_headers_destroy(headers);
        pending->done(fail(delivery_error(error)));
        return outstanding_.remove();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // back-pressure: the poller makes room
    }
  }

  KafkaTrouble trouble_;
  Outstanding outstanding_;
  KafkaHandle client_;
  Environment environment_;
  std::string topic_;
  std::atomic<bool> stopping_ = false;
  std::thread poller_;
};

}  // namespace

Result<std::unique_ptr<Publisher>> open_kafka_publisher(PublisherOptions options) {
  return KafkaPublisher::open(std::move(options));
}

}  // namespace postrider::producers
