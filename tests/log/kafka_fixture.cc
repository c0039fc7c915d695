#include "tests/log/kafka_fixture.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <thread>

#include "engine/kafka/admin.h"

namespace postrider::log_test {
namespace {

const std::string kScript = std::string(POSTRIDER_SOURCE_DIR) + "/tests/support/kafka-broker";

void run(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().code + ": " + result.error().message);
  return std::move(*result);
}

}  // namespace

TestBroker::TestBroker() {
  directory_ = (std::filesystem::temp_directory_path() / "kafka-XXXXXX").string();
  if (!::mkdtemp(directory_.data())) throw std::runtime_error("no temporary directory");
  int out[2];
  if (::pipe(out) != 0) throw std::runtime_error("no pipe");
  script_ = ::fork();
  if (script_ == 0) {
    ::dup2(out[1], STDOUT_FILENO);
    ::close(out[0]);
    ::close(out[1]);
    ::execl(kScript.c_str(), kScript.c_str(), "start", directory_.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(out[1]);
  for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) address_.push_back(c);
  ::close(out[0]);
  if (address_.empty()) throw std::runtime_error("the Kafka broker did not start; see " + directory_);
}

TestBroker::~TestBroker() {
  ::kill(script_, SIGTERM);
  ::waitpid(script_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void TestBroker::kill() {
  run(kScript + " kill " + directory_);
}
void TestBroker::wake() {
  run(kScript + " wake " + directory_ + " 1");
}

const std::string& TestBroker::shared() {
  static const std::string address = [] {
    if (const char* given = std::getenv("POSTRIDER_TEST_KAFKA")) return std::string(given);
    static TestBroker broker;
    return broker.address();
  }();
  return address;
}

KafkaFixture::KafkaFixture(Partition partitions, std::string brokers)
    : partitions_(partitions), brokers_(std::move(brokers)) {
  static int number = 0;
  environment_ = Environment("t" + std::to_string(::getpid()) + "-" + std::to_string(++number));
  plan_.partitions = partitions;
  // Compaction within seconds: every new record may end a segment, and the cleaner takes all it can.
  for (Topic topic : {Topic::parked, Topic::endpoints, Topic::health, Topic::keys})
    plan_.overrides[topic] = {
        {"segment.ms", "200"}, {"min.cleanable.dirty.ratio", "0.01"}, {"min.compaction.lag.ms", "0"}};
  must(create_topics(config(), plan_));
}

KafkaConfig KafkaFixture::config() {
  int number = 0;
  {
    std::lock_guard lock(instances_->mutex);
    while (instances_->taken.contains(number)) ++number;
    instances_->taken.insert(number);
  }
  // Lives as long as the last copy of the configuration, which the shard keeps.
  std::shared_ptr<int> lease(new int(number), [instances = instances_](int* taken) {
    std::lock_guard lock(instances->mutex);
    instances->taken.erase(*taken);
    delete taken;
  });
  KafkaConfig config;
  config.brokers = brokers_;
  config.environment = environment_;
  config.instance = "shard-" + std::to_string(number);
  config.session_timeout = session_timeout;
  config.on_line = [lease](int level, std::string_view line) {
    if (std::getenv("POSTRIDER_TEST_LINES"))
      fprintf(stderr, "<%d> %.*s\n", level, int(line.size()), line.data());
  };
  return config;
}

std::unique_ptr<Log> KafkaFixture::shard() {
  return must(open_kafka_log(config()));
}
std::unique_ptr<LogClient> KafkaFixture::client() {
  return must(open_kafka_client(config()));
}

void KafkaFixture::nudge_compaction(Topic topic, Partition partition) {
  if (!nudger_) nudger_ = client();
  must(nudger_->append(record(topic, partition, "nudge", "x")));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

void set_topic(const KafkaConfig& config, Topic topic, const std::string& name, const std::string& value) {
  auto client = must(kafka::Client::open(config, RD_KAFKA_CONSUMER, {}));
  const std::string full = full_name(config.environment, topic);
  auto described = must(kafka::describe_topic(*client, full, Millis(10'000)));
  described.explicit_[name] = value;
  if (auto done = kafka::set_settings(*client, full, described.explicit_, Millis(10'000)); !done)
    throw std::runtime_error(done.error().message);
}

void KafkaFixture::grow_events_alone(Partition partitions) {
  auto client = must(kafka::Client::open(config(), RD_KAFKA_CONSUMER, {}));
  if (auto done = kafka::set_partitions(*client, topic(Topic::events), partitions, Millis(10'000)); !done)
    throw std::runtime_error(done.error().message);
}

bool KafkaFixture::nudge_retention(Topic topic, Partition) {
  if (short_lived_.insert(topic).second) {
    set(topic, "segment.ms", "100");
    set(topic, "retention.ms", "100");
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  return true;
}

void KafkaFixture::delete_records_before(Topic which, Partition partition, Offset offset) {
  auto client = must(kafka::Client::open(config(), RD_KAFKA_CONSUMER, {}));
  kafka::PartitionList list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), topic(which).c_str(), partition)->offset = offset;
  rd_kafka_DeleteRecords_t* deletions[] = {rd_kafka_DeleteRecords_new(list.get())};
  kafka::Queue queue(rd_kafka_queue_new(client->get()));
  rd_kafka_DeleteRecords(client->get(), deletions, 1, nullptr, queue.get());
  kafka::Event event(rd_kafka_queue_poll(queue.get(), 20'000));
  rd_kafka_DeleteRecords_destroy(deletions[0]);
  if (!event || rd_kafka_event_error(event.get())) throw std::runtime_error("the records were not deleted");
}

namespace {

// Kafka's half needs Java, and Maven for the first time. Without them it must be left out on purpose.
const bool kLeftOut = std::getenv("POSTRIDER_WITHOUT_KAFKA") != nullptr;

INSTANTIATE_TEST_SUITE_P(Kafka, LogContract,
                         testing::Values(LogKind{"Kafka",
                                                 []() -> std::unique_ptr<LogUnderTest> {
                                                   if (kLeftOut) return nullptr;
                                                   return std::make_unique<KafkaFixture>();
                                                 },
                                                 "POSTRIDER_WITHOUT_KAFKA is set"}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace postrider::log_test
