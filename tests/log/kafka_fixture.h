#pragma once
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "engine/kafka/kafka_client.h"
#include "engine/kafka/kafka_config.h"
#include "engine/kafka/kafka_log.h"
#include "engine/kafka/topics.h"
#include "tests/log/contract.h"

namespace postrider::log_test {

// A broker that tests/support/kafka-broker runs for us; it ends with this process.
class TestBroker {
 public:
  TestBroker();  // throws with the broker's last words
  ~TestBroker();
  const std::string& address() const { return address_; }
  void kill();  // SIGKILL
  void wake();  // returns when it answers again

  // One for the whole program, started when first asked for. POSTRIDER_TEST_KAFKA=HOST:PORT names one that
  // runs.
  static const std::string& shared();

 private:
  std::string directory_;
  std::string address_;
  int script_ = -1;
};

// One setting of one topic, the others left as they are.
void set_topic(const KafkaConfig& config, Topic topic, const std::string& name, const std::string& value);

// Fresh topics under an environment of their own.
class KafkaFixture : public LogUnderTest {
 public:
  explicit KafkaFixture(Partition partitions = 3, std::string brokers = TestBroker::shared());

  Partition partitions() const override { return partitions_; }
  std::unique_ptr<Log> shard() override;
  std::unique_ptr<LogClient> client() override;
  void reopen() override {}
  void nudge_compaction(Topic topic, Partition partition) override;
  bool nudge_retention(Topic topic, Partition partition) override;
  std::chrono::milliseconds patience() const override { return std::chrono::seconds(60); }
  std::size_t too_large_bytes() const override { return 2 * 1024 * 1024; }

  // Long, so that a broker on a busy machine acknowledges within 0.15 of it; nothing waits for its end, as
  // instance ids are given anew.
  Millis session_timeout{40'000};

  // Of the next shard: instance ids are given anew when their shard is gone, as a restarted daemon keeps its
  // own.
  KafkaConfig config();
  const TopicPlan& plan() const { return plan_; }
  std::string topic(Topic topic) const { return full_name(environment_, topic); }
  void set(Topic topic, const std::string& name, const std::string& value) {
    set_topic(config(), topic, name, value);
  }
  void grow_events_alone(Partition partitions);
  void delete_records_before(Topic topic, Partition partition, Offset offset);

 private:
  struct Instances {
    std::mutex mutex;
    std::set<int> taken;
  };
  Partition partitions_;
  std::string brokers_;
  Environment environment_;
  TopicPlan plan_;
  std::shared_ptr<Instances> instances_ = std::make_shared<Instances>();
  std::unique_ptr<LogClient> nudger_;
  std::set<Topic> short_lived_;
};

}  // namespace postrider::log_test
