#include "engine/kafka/kafka_client.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/core/partitioner.h"
#include "engine/kafka/appender.h"
#include "engine/kafka/bounds.h"
#include "engine/kafka/client.h"

namespace postrider::kafka {
namespace {

constexpr Millis kPatience{30'000};
constexpr Millis kShapesFor{5'000};  // partition counts are asked for anew after that

// A client that reads one partition at a time.
class Reader {
 public:
  static Result<std::unique_ptr<Reader>> open(const KafkaConfig& config) {
    std::unique_ptr<Reader> reader(new Reader);
    auto client =
        Client::open(config, RD_KAFKA_CONSUMER,
                     {{"enable.auto.commit", "false"},
                      {"enable.auto.offset.store", "false"},
                      {"auto.offset.reset", "error"},
                      {"enable.partition.eof", "true"},
                      {"check.crcs", "true"},
                      // A producer's aborted transaction was never published; an open one is not yet.
                      {"isolation.level", "read_committed"},
                      {"fetch.wait.max.ms", "10"},
                      {"fetch.error.backoff.ms", "100"},
                      {"fetch.message.max.bytes", "1048576"},
                      {"fetch.max.bytes", "8388608"},
                      {"receive.message.max.bytes", "67108864"},
                      {"queued.max.messages.kbytes", "8192"}});
    if (!client) return fail(client.error());
    reader->client_ = std::move(*client);
    return reader;
  }
  const Client& client() const { return *client_; }

  Result<void> scan(const Environment& environment, Topic topic, Partition partition, Offset from, Offset to,
                    const std::function<bool(const Record&)>& each) {
    const TopicHandle handle = client_->topic(environment, topic);
    const Queue queue(rd_kafka_queue_new(client_->get()));
    if (rd_kafka_consume_start_queue(handle.get(), partition, from, queue.get()))
      return fail(to_error(rd_kafka_last_error(), "reading " + full_name(environment, topic)));
    auto done = read(*queue, topic, from, to, each);
    rd_kafka_consume_stop(handle.get(), partition);
    return done;
  }

 private:
  Reader() = default;
  // Ends at `to`, at the end of the partition, and when `each` has had enough.
  static Result<void> read(rd_kafka_queue_t& queue, Topic topic, Offset from, Offset to,
                           const std::function<bool(const Record&)>& each) {
    std::array<rd_kafka_message_t*, 500> messages{};
    auto deadline = steady_now() + kPatience;
    for (Offset next = from; next < to;) {
      // It waits for as many as it was asked for: no more than there are.
      const auto size = std::min(messages.size(), static_cast<std::size_t>(to - next));
      const auto got = rd_kafka_consume_batch_queue(&queue, 100, messages.data(), size);
      std::vector<Message> batch;
      for (ssize_t i = 0; i < got; ++i) batch.emplace_back(messages[static_cast<std::size_t>(i)]);
      for (const Message& message : batch) {
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
          if (message->offset >= to) return {};
          continue;  // a new leader that is a moment behind: what was acknowledged comes
        }
        if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
          return fail(Errc::not_found, "RECORD_GONE",
                      "offset " + std::to_string(next) + " is gone from the topic",
                      "read again from its present beginning");
        if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
            message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
            message->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
            message->err == RD_KAFKA_RESP_ERR__BAD_MSG)
          return fail(to_error(message->err, "reading the topic"));
        if (message->err || message->offset < next) continue;
        if (message->offset >= to || !each(to_record(*message, topic))) return {};
        next = message->offset + 1;
        deadline = steady_now() + kPatience;
      }
      if (steady_now() >= deadline) return fail(to_error(RD_KAFKA_RESP_ERR__TIMED_OUT, "reading the topic"));
    }
    return {};
  }

  std::unique_ptr<Client> client_;
};

// The producer, and the thread that hears its delivery reports.
class Producer {
 public:
  static Result<std::unique_ptr<Producer>> open(const KafkaConfig& config) {
    auto client = open_producer(config, kPatience, Millis(0));
    if (!client) return fail(client.error());
    return std::unique_ptr<Producer>(new Producer(config, std::move(*client)));
  }
  ~Producer() {
    ending_ = true;
    listener_.join();
  }

  Appended append(const NewRecord& record, Partition partition) {
    Waiting waiting;
    const auto err =
        produce(*client_, topics_[static_cast<std::size_t>(record.topic)].get(), partition, record, &waiting);
    if (err) {
      waiting.appended.error = to_error(err, "appending to " + std::string(name_of(record.topic)));
      waiting.appended.status = Appended::Status::refused;
      return waiting.appended;
    }
    // Always answered: librdkafka reports every record at its message.timeout.ms at the latest.
    std::unique_lock lock(mutex_);
    heard_.wait(lock, [&] { return waiting.done; });
    return waiting.appended;
  }

 private:
  struct Waiting {
    bool done = false;
    Appended appended;
  };
  Producer(const KafkaConfig& config, std::unique_ptr<Client> client) : client_(std::move(client)) {
    for (int i = 0; i < kTopicCount; ++i)
      topics_[static_cast<std::size_t>(i)] = client_->topic(config.environment, static_cast<Topic>(i));
    reports_.reset(rd_kafka_queue_get_main(client_->get()));
    listener_ = std::thread([this] { listen(); });
  }
  void listen() {
    while (!ending_) {
      const Event event(rd_kafka_queue_poll(reports_.get(), 200));
      if (!event || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_DR) continue;
      std::lock_guard lock(mutex_);
      while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event.get())) {
        auto* waiting = static_cast<Waiting*>(message->_private);
        waiting->appended = to_appended(*message);
        waiting->done = true;
      }
      heard_.notify_all();
    }
  }

  std::unique_ptr<Client> client_;
  std::array<TopicHandle, kTopicCount> topics_;
  Queue reports_;
  std::mutex mutex_;
  std::condition_variable heard_;
  std::atomic<bool> ending_ = false;
  std::thread listener_;
};

class KafkaClient final : public LogClient {
 public:
  explicit KafkaClient(const KafkaConfig& config) : config_(config) {}
  Result<void> open() {
    if (auto done = check(config_); !done) return done;
    auto reader = Reader::open(config_);
    if (!reader) return fail(reader.error());
    asker_ = std::move(*reader);
    auto shapes = topic_shapes(asker_->client(), config_, config_.reach_timeout);
    if (!shapes) return fail(shapes.error());
    remember(*shapes);
    return {};
  }

  Result<Partition> partitions(Topic topic) override {
    auto shapes = this->shapes();
    if (!shapes) return fail(shapes.error());
    const Partition count = (*shapes)[static_cast<std::size_t>(topic)].partitions;
    if (count > 0) return count;
    return fail(Errc::not_found, "TOPIC_MISSING",
                "the topic " + full_name(config_.environment, topic) + " does not exist",
                "run: postrider-ops topics create");
  }

  Result<Extent> extent(Topic topic, Partition partition) override {
    if (auto there = exists(topic, partition); !there) return fail(there.error());
    const TopicPartition which{topic, partition};
    auto begin = begins_of(asker_->client(), config_.environment, {&which, 1}, kPatience);
    if (!begin) return fail(begin.error());
    auto end = ends_of(asker_->client(), config_.environment, {&which, 1}, kPatience);
    if (!end) return fail(end.error());
    return Extent{begin->front(), end->front()};
  }

  Result<Offset> offset_at(Topic topic, Partition partition, LogTime time) override {
    if (auto there = exists(topic, partition); !there) return fail(there.error());
    auto found = kafka::offset_at(asker_->client(), config_.environment, {topic, partition}, time, kPatience);
    if (!found) return fail(found.error());
    if (*found) return **found;
    auto all = extent(topic, partition);
    if (!all) return fail(all.error());
    return all->end;
  }

  Result<void> scan(Topic topic, Partition partition, Offset from, Offset to,
                    const std::function<bool(const Record&)>& each) override {
    auto all = extent(topic, partition);
    if (!all) return fail(all.error());
    from = std::max(from, all->begin);
    to = std::min(to, all->end);
    if (from >= to) return {};
    auto reader = borrow();
    if (!reader) return fail(reader.error());
    auto done = (*reader)->scan(config_.environment, topic, partition, from, to, each);
    give_back(std::move(*reader));
    return done;
  }

  Result<Record> fetch(Topic topic, Partition partition, Offset offset) override {
    std::optional<Record> found;
    auto done = scan(topic, partition, offset, offset + 1, [&](const Record& record) {
      if (record.offset == offset) found = record;
      return false;
    });
    if (!done) return fail(done.error());
    if (found) return std::move(*found);
    return fail(Errc::not_found, "RECORD_GONE",
                std::string(name_of(topic)) + " " + std::to_string(partition) +
                    " holds no record at offset " + std::to_string(offset),
                "check the position; retention or compaction may have taken the record");
  }

  Result<Appended> append(NewRecord record) override {
    auto count = partitions(record.topic);
    if (!count) return fail(count.error());
    const Partition partition = record.partition ? *record.partition : murmur2_partition(record.key, *count);
    if (auto there = exists(record.topic, partition); !there) return fail(there.error());
    auto producer = this->producer();
    if (!producer) return fail(producer.error());
    Appended appended = (*producer)->append(record, partition);
    if (appended.status != Appended::Status::acknowledged) return fail(std::move(appended.error));
    return appended;
  }

 private:
  Result<TopicShapes> shapes() {
    {
      std::lock_guard lock(mutex_);
      if (steady_now() - shapes_at_ < kShapesFor) return shapes_;
    }
    auto fresh = topic_shapes(asker_->client(), config_, kPatience);
    if (fresh) remember(*fresh);
    return fresh;
  }
  void remember(const TopicShapes& shapes) {
    std::lock_guard lock(mutex_);
    shapes_ = shapes;
    // A topic that is not there may be made any moment.
    const bool whole =
        std::all_of(shapes.begin(), shapes.end(), [](const auto& each) { return each.partitions > 0; });
    shapes_at_ = whole ? steady_now() : SteadyTime{} - kShapesFor;
  }
  Result<void> exists(Topic topic, Partition partition) {
    auto count = partitions(topic);
    if (!count) return fail(count.error());
    if (partition >= 0 && partition < *count) return {};
    return fail(Errc::not_found, "PARTITION_MISSING",
                std::string(name_of(topic)) + " has no partition " + std::to_string(partition),
                "it has 0 to " + std::to_string(*count - 1));
  }
  Result<std::unique_ptr<Reader>> borrow() {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) return Reader::open(config_);
    auto reader = std::move(idle_.back());
    idle_.pop_back();
    return reader;
  }
  void give_back(std::unique_ptr<Reader> reader) {
    std::lock_guard lock(mutex_);
    if (idle_.size() < 4) idle_.push_back(std::move(reader));
  }
  Result<Producer*> producer() {
    std::lock_guard lock(mutex_);
    if (!producer_) {
      auto opened = Producer::open(config_);
      if (!opened) return fail(opened.error());
      producer_ = std::move(*opened);
    }
    return producer_.get();
  }

  const KafkaConfig config_;
  std::unique_ptr<Reader> asker_;  // metadata and offsets; set once, before others see us
  std::mutex mutex_;
  TopicShapes shapes_{};
  SteadyTime shapes_at_{};
  std::vector<std::unique_ptr<Reader>> idle_;
  std::unique_ptr<Producer> producer_;
};

}  // namespace
}  // namespace postrider::kafka

namespace postrider {

Result<std::unique_ptr<LogClient>> open_kafka_client(const KafkaConfig& config) {
  auto client = std::make_unique<kafka::KafkaClient>(config);
  if (auto done = client->open(); !done) return fail(done.error());
  return client;
}

}  // namespace postrider
