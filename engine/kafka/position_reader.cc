#include "engine/kafka/position_reader.h"

#include <limits>

namespace postrider::kafka {
namespace {

// Further apart than this, a new fetch is cheaper than reading what lies between.
constexpr Offset kStride = 200;
constexpr Offset kEnd = std::numeric_limits<Offset>::max();

}  // namespace

Error PositionReader::gone(Position position) {
  return {Errc::not_found, "RECORD_GONE",
          "events " + std::to_string(position.partition) + " holds no record at offset " +
              std::to_string(position.offset),
          "retention may have taken it: look at retention.ms of the topic"};
}

Result<std::unique_ptr<PositionReader>> PositionReader::open(const KafkaConfig& config, const Wake& wake) {
  std::unique_ptr<PositionReader> reader(new PositionReader(config));
  auto client = Client::open(config, RD_KAFKA_CONSUMER,
                             {{"enable.auto.commit", "false"},
                              {"enable.auto.offset.store", "false"},
                              {"auto.offset.reset", "error"},
                              {"enable.partition.eof", "true"},
                              {"check.crcs", "true"},
                              // An end must lie above every acknowledged record, of open transactions too.
                              {"isolation.level", "read_uncommitted"},
                              {"fetch.wait.max.ms", "10"},  // only fetches while something is wanted
                              {"fetch.error.backoff.ms", "100"},
                              {"fetch.message.max.bytes", "262144"},
                              {"fetch.max.bytes", "4194304"},
                              {"receive.message.max.bytes", "67108864"},
                              {"queued.max.messages.kbytes", "2048"}});
  if (!client) return fail(client.error());
  reader->client_ = std::move(*client);
  reader->events_ = reader->client_->topic(config.environment, Topic::events);
  reader->errors_.reset(rd_kafka_queue_get_main(reader->client_->get()));
  reader->queue_.reset(rd_kafka_queue_new(reader->client_->get()));
  wake.attach(reader->errors_.get());
  wake.attach(reader->queue_.get());
  return reader;
}

void PositionReader::want(Position position, std::uint64_t token) {
  Cursor& cursor = cursors_[position.partition];
  cursor.wanted.emplace(position.offset, token);
  if (!cursor.running) run(position.partition, cursor, position.offset);
}

void PositionReader::run(Partition partition, Cursor& cursor, Offset from) {
  cursor.running = true;
  cursor.from = from;
  cursor.batch = messages_.number();
  rd_kafka_consume_start_queue(events_.get(), partition, from, queue_.get());
}

void PositionReader::stop(Partition partition, Cursor& cursor) {
  cursor.running = false;
  rd_kafka_consume_stop(events_.get(), partition);
}

std::size_t PositionReader::poll(LogListener& listener) {
  calls_ = 0;
  while (Event event{rd_kafka_queue_poll(errors_.get(), 0)})
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR)
      if (auto error = to_error(client_->get(), event.get())) listener.on_log_error(*error);
  while (Message message = messages_.next(queue_.get(), 100)) see(*message, listener);
  return calls_;
}

void PositionReader::see(const rd_kafka_message_t& message, LogListener& listener) {
  const auto found = cursors_.find(message.partition);
  if (found == cursors_.end()) return;
  Cursor& cursor = found->second;
  if (!cursor.running || cursor.batch >= messages_.number()) return;
  switch (message.err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      record(cursor, message, listener);
      return go_on(message.partition, cursor, message.offset + 1);
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      none_below(message.partition, cursor, message.offset, listener);
      doubt(message.partition, cursor, kEnd);
      return go_on(message.partition, cursor, kEnd);
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:  // the run's first offset is below the beginning or above the
                                                // end
      doubt(message.partition, cursor, cursor.from + 1);
      return go_on(message.partition, cursor, kEnd);
    default:
      return;  // librdkafka tries again; the follower's complaints name what is wrong with the topic
  }
}

void PositionReader::record(Cursor& cursor, const rd_kafka_message_t& message, LogListener& listener) {
  none_below(message.partition, cursor, message.offset, listener);
  cursor.from = message.offset + 1;
  while (true) {
    const auto found = cursor.wanted.find(message.offset);
    if (found == cursor.wanted.end()) return;
    const std::uint64_t token = found->second;
    cursor.wanted.erase(found);
    ++calls_;
    listener.on_fetched(token, to_record(message, Topic::events));
  }
}

void PositionReader::none_below(Partition partition, Cursor& cursor, Offset below, LogListener& listener) {
  const Offset from = cursor.from;
  while (true) {
    const auto found = cursor.wanted.lower_bound(from);
    if (found == cursor.wanted.end() || found->first >= below) return;
    const auto [offset, token] = *found;
    cursor.wanted.erase(found);
    ++calls_;
    listener.on_fetched(token, fail(gone({partition, offset})));
  }
}

void PositionReader::doubt(Partition partition, Cursor& cursor, Offset below) {
  const auto begin = cursor.wanted.lower_bound(cursor.from);
  auto end = begin;
  for (; end != cursor.wanted.end() && end->first < below; ++end)
    doubtful_.push_back({{partition, end->first}, end->second});
  cursor.wanted.erase(begin, end);
}

void PositionReader::go_on(Partition partition, Cursor& cursor, Offset next) {
  const auto ahead = cursor.wanted.lower_bound(next);
  if (ahead != cursor.wanted.end() && ahead->first - next < kStride) return;
  stop(partition, cursor);
  if (!cursor.wanted.empty()) run(partition, cursor, cursor.wanted.begin()->first);
}

}  // namespace postrider::kafka
