#include "engine/kafka/follower.h"

#include <algorithm>

namespace postrider::kafka {

Batch::~Batch() {
  for (; taken_ < count_; ++taken_) rd_kafka_message_destroy(messages_[taken_]);
}

Message Batch::next(rd_kafka_queue_t* queue, std::size_t at_most) {
  if (taken_ == count_) {
    const auto got =
        rd_kafka_consume_batch_queue(queue, 0, messages_.data(), std::min(at_most, messages_.size()));
    taken_ = 0;
    count_ = got > 0 ? static_cast<std::size_t>(got) : 0;
    if (count_ == 0) return nullptr;
    ++number_;
  }
  return Message(messages_[taken_++]);
}

Follower::Follower(const KafkaConfig& config) : environment_(config.environment) {}

Result<std::unique_ptr<Follower>> Follower::open(const KafkaConfig& config, const Wake& wake) {
  std::unique_ptr<Follower> follower(new Follower(config));
  auto client =
      Client::open(config, RD_KAFKA_CONSUMER,
                   {{"enable.auto.commit", "false"},
                    {"enable.auto.offset.store", "false"},
                    {"auto.offset.reset", "error"},  // a silent reset would hide a loss
                    {"enable.partition.eof", "true"},
                    {"check.crcs", "true"},
                    // A producer's aborted transaction was never published.
                    {"isolation.level", "read_committed"},
                    {"fetch.wait.max.ms", "50"},
                    {"fetch.error.backoff.ms", "100"},
                    {"fetch.message.max.bytes", "524288"},
                    {"fetch.max.bytes", "4194304"},
                    {"receive.message.max.bytes", "67108864"},
                    {"queued.max.messages.kbytes", std::to_string(config.prefetch_bytes_max / 1024)}});
  if (!client) return fail(client.error());
  follower->client_ = std::move(*client);
  follower->wake_ = &wake;
  for (int i = 0; i < kTopicCount; ++i)
    follower->topics_[static_cast<std::size_t>(i)] =
        follower->client_->topic(config.environment, static_cast<Topic>(i));
  follower->errors_.reset(rd_kafka_queue_get_main(follower->client_->get()));
  wake.attach(follower->errors_.get());
  for (Lane* lane : {&follower->registry_, &follower->tails_, &follower->events_}) {
    lane->queue.reset(rd_kafka_queue_new(follower->client_->get()));
    wake.attach(lane->queue.get());
  }
  return follower;
}

Follower::Lane& Follower::lane_of(Topic topic) {
  if (topic == Topic::events) return events_;
  const bool registry = topic == Topic::endpoints || topic == Topic::health || topic == Topic::keys;
  return registry ? registry_ : tails_;
}

void Follower::start(Topic topic, Partition partition, Offset from) {
  stop(topic, partition);
  const Offset at = std::max<Offset>(from, 0);
  Lane& lane = lane_of(topic);
  // Fails on a negative partition only, which nobody has.
  if (rd_kafka_consume_start_queue(topics_[static_cast<std::size_t>(topic)].get(), partition, at,
                                   lane.queue.get()))
    return;
  followed_[{topic, partition}] = {at, lane.messages.number()};
}

void Follower::stop(Topic topic, Partition partition) {
  if (followed_.erase({topic, partition}) == 0) return;
  // Waits for librdkafka's main thread, well under a millisecond: afterwards no message of this start is
  // queued.
  rd_kafka_consume_stop(topics_[static_cast<std::size_t>(topic)].get(), partition);
}

std::optional<Offset> Follower::next(Topic topic, Partition partition) const {
  const auto found = followed_.find({topic, partition});
  if (found == followed_.end()) return std::nullopt;
  return found->second.next;
}

void Follower::hold(bool held) {
  held_ = held;
  // The queue did not turn from empty meanwhile: nobody else would wake us.
  if (!held) wake_->signal();
}

std::size_t Follower::poll(LogListener& listener, std::size_t max_records) {
  while (Event event{rd_kafka_queue_poll(errors_.get(), 0)})
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR)
      if (auto error = to_error(client_->get(), event.get())) listener.on_log_error(*error);
  const std::size_t calls = poll(registry_, listener, max_records) + poll(tails_, listener, max_records);
  return held_ ? calls : calls + poll(events_, listener, max_records);
}

std::size_t Follower::poll(Lane& lane, LogListener& listener, std::size_t max_records) {
  std::size_t calls = 0;
  for (std::size_t taken = 0; taken < max_records; ++taken) {
    // The listener may hold us from inside: what is left waits in the batch.
    if (&lane == &events_ && held_) return calls;
    Message message = lane.messages.next(lane.queue.get(), max_records - taken);
    if (!message) return calls;
    if (hand_over(lane, *message, listener)) ++calls;
  }
  wake_->signal();  // there may be more
  return calls;
}

bool Follower::hand_over(const Lane& lane, const rd_kafka_message_t& message, LogListener& listener) {
  const Topic topic = topic_of(message);
  const auto found = followed_.find({topic, message.partition});
  if (found == followed_.end() || found->second.batch >= lane.messages.number()) return false;
  if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {  // at the end, behind control records too
    found->second.next = std::max(found->second.next, static_cast<Offset>(message.offset));
    return false;
  }
  if (message.err) {
    complain(message, found->second, listener);
    return true;
  }
  if (message.offset < found->second.next) return false;  // a fetch may begin before the offset asked for
  found->second.next = message.offset + 1;
  if (topic == Topic::events)
    listener.on_event(to_record(message, topic));
  else
    listener.on_tail(to_record(message, topic));
  return true;
}

void Follower::complain(const rd_kafka_message_t& message, Place& place, LogListener& listener) {
  const Topic topic = topic_of(message);
  if (message.err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
    astray_.push_back({topic, message.partition, place.next});
    return;
  }
  const SteadyTime now = steady_now();
  auto& last = complained_[message.err];
  if (last != SteadyTime{} && now - last < std::chrono::seconds(10)) return;
  last = now;
  listener.on_log_error(to_error(
      message.err, "reading " + full_name(environment_, topic) + " " + std::to_string(message.partition)));
}

}  // namespace postrider::kafka
