#pragma once
#include <map>
#include <utility>
#include <vector>

#include "engine/kafka/client.h"
#include "engine/kafka/follower.h"
#include "engine/kafka/wake.h"

namespace postrider::kafka {

// Answers fetch(): single records of `events` by position. Wishes for one partition are read in offset order,
// in one go where they lie close together. Its client, which reads uncommitted records too, also serves the
// worker's questions for ends: it must be destroyed after the worker.
class PositionReader {
 public:
  static Result<std::unique_ptr<PositionReader>> open(const KafkaConfig& config, const Wake& wake);

  void want(Position position, std::uint64_t token);
  std::size_t poll(LogListener& listener);
  const Client& client() const { return *client_; }

  // Beyond the end that a broker told, or out of its range. A leader that has just been elected may tell an
  // end that is too low for a moment, and not_found costs a customer his event: so the caller asks for begin
  // and end (which such a leader refuses to tell) and answers, or wants it again.
  struct Doubtful {
    Position position;
    std::uint64_t token;
  };
  std::vector<Doubtful> take_doubtful() { return std::exchange(doubtful_, {}); }
  static Error gone(Position position);

 private:
  explicit PositionReader(const KafkaConfig& config) : environment_(config.environment) {}
  struct Cursor {
    std::multimap<Offset, std::uint64_t> wanted;
    bool running = false;
    // Where this run stands: it answers nothing below. What is wanted there meanwhile waits for the next run.
    Offset from = 0;
    std::uint64_t batch = 0;  // messages of this batch and earlier ones are of a former run
  };
  void run(Partition partition, Cursor& cursor, Offset from);
  void stop(Partition partition, Cursor& cursor);
  void see(const rd_kafka_message_t& message, LogListener& listener);
  void record(Cursor& cursor, const rd_kafka_message_t& message, LogListener& listener);
  // Wishes in [where the run stands, below) that only an end or a range error speaks against.
  void doubt(Partition partition, Cursor& cursor, Offset below);
  // Answers all wishes in [where the run stands, below) with not_found.
  void none_below(Partition partition, Cursor& cursor, Offset below, LogListener& listener);
  void go_on(Partition partition, Cursor& cursor, Offset next);

  const Environment environment_;
  std::unique_ptr<Client> client_;
  TopicHandle events_;
  Queue errors_;
  Queue queue_;
  Batch messages_{100};
  std::map<Partition, Cursor> cursors_;
  std::vector<Doubtful> doubtful_;
  std::size_t calls_ = 0;
};

}  // namespace postrider::kafka
