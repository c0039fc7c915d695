#pragma once
#include <array>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "engine/kafka/client.h"
#include "engine/kafka/wake.h"

namespace postrider::kafka {

// Messages taken from a queue in one go and handed out one by one; what the caller leaves stays for the next
// time.
class Batch {
 public:
  explicit Batch(std::size_t size) : messages_(size) {}
  ~Batch();
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // nullptr: the queue is empty. `number()` tells which batch it came with.
  Message next(rd_kafka_queue_t* queue, std::size_t at_most);
  std::uint64_t number() const { return number_; }
  bool empty() const { return taken_ == count_; }

 private:
  std::vector<rd_kafka_message_t*> messages_;
  std::size_t count_ = 0, taken_ = 0;
  std::uint64_t number_ = 0;
};

// Reads partitions from the offsets that it is told, without a group: `events` for the owner, and the tails.
// One client for all, so that each broker is asked by one fetch at a time, and a full queue is noticed as
// empty again when that fetch returns (librdkafka 2.0.2 looks once a second otherwise). The registry's tails
// have a queue of their own, which is hardly ever full: so there is such a fetch while a million parked
// states come.
//
// librdkafka's per-partition calls are used rather than assign(): one partition starts and stops without
// disturbing the others, and each start names its queue anew.
class Follower {
 public:
  static Result<std::unique_ptr<Follower>> open(const KafkaConfig& config, const Wake& wake);

  // Anew, if it was followed before. Where the broker has no such offset, the partition goes astray (below).
  void start(Topic topic, Partition partition, Offset from);
  void stop(Topic topic, Partition partition);
  std::optional<Offset> next(Topic topic, Partition partition) const;

  void hold(bool held);
  // At most `max_records` of the registry, of the other tails, and of `events`, each. Returns its calls of
  // the listener.
  std::size_t poll(LogListener& listener, std::size_t max_records);

  // Partitions whose next offset the broker does not have; the caller finds the place to go on from, and
  // starts.
  struct Astray {
    Topic topic;
    Partition partition;
    Offset wanted;
  };
  std::vector<Astray> take_astray() { return std::exchange(astray_, {}); }

 private:
  explicit Follower(const KafkaConfig& config);
  struct Place {
    Offset next = 0;
    std::uint64_t batch = 0;  // messages of this batch and earlier ones are of a former start
  };
  struct Lane {
    explicit Lane(std::size_t batch) : messages(batch) {}
    Queue queue;
    Batch messages;
  };
  Lane& lane_of(Topic topic);
  std::size_t poll(Lane& lane, LogListener& listener, std::size_t max_records);
  // True: the listener was called.
  bool hand_over(const Lane& lane, const rd_kafka_message_t& message, LogListener& listener);
  void complain(const rd_kafka_message_t& message, Place& place, LogListener& listener);

  const Environment environment_;
  const Wake* wake_ = nullptr;
  std::unique_ptr<Client> client_;
  std::array<TopicHandle, kTopicCount> topics_;
  Queue errors_;
  Lane registry_{100}, tails_{1000}, events_{1000};
  bool held_ = false;
  std::map<std::pair<Topic, Partition>, Place> followed_;
  std::vector<Astray> astray_;
  std::map<rd_kafka_resp_err_t, SteadyTime> complained_;  // each kind of error at most every 10 s
};

}  // namespace postrider::kafka
