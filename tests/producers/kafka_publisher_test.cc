#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "engine/core/partitioner.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "producers/outcome_wait.h"
#include "producers/publisher.h"

// Against librdkafka's mock cluster: what leaves, and what an answer is. The end-to-end tests use a real
// broker.
namespace postrider::producers {
namespace {

constexpr int kPartitions = 4;
const Environment kEnvironment("development");

class Cluster {
 public:
  Cluster() {
    auto* conf = rd_kafka_conf_new();
    set(conf, "client.id", "MOCK");
    rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    cluster_ = rd_kafka_mock_cluster_new(client_, 1);
  }
  ~Cluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(client_);
  }
  void topic(const char* name) { rd_kafka_mock_topic_create(cluster_, name, kPartitions, 1); }
  void fail_next_produce(rd_kafka_resp_err_t error) {
    rd_kafka_mock_push_request_errors(cluster_, 0 /* Produce */, 1, error);
  }
  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  PublisherOptions options() const {
    return {"kafka://" + brokers(), kEnvironment, "", "", {}, Millis(10'000)};
  }

  static void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
    char why[256];
    ASSERT_EQ(rd_kafka_conf_set(conf, name, value.c_str(), why, sizeof why), RD_KAFKA_CONF_OK) << why;
  }

  struct Read {
    std::string key;
    Headers headers;
    std::string value;
  };
  // The record at a position.
  Read read(const std::string& topic_name, Position position) {
    auto* conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers());
    set(conf, "group.id", "test");
    auto* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
    auto* list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic_name.c_str(), position.partition)->offset = position.offset;
    rd_kafka_assign(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    auto* message = rd_kafka_consumer_poll(consumer, 10'000);
    Read record;
    if (message && !message->err) {
      record.key.assign(static_cast<const char*>(message->key), message->key_len);
      record.value.assign(static_cast<const char*>(message->payload), message->len);
      rd_kafka_headers_t* headers = nullptr;
      rd_kafka_message_headers(message, &headers);
      const char* name = nullptr;
      const void* value = nullptr;
      std::size_t size = 0;
      for (std::size_t i = 0; headers && !rd_kafka_header_get_all(headers, i, &name, &value, &size); ++i) {
        record.headers.push_back({name, std::string(static_cast<const char*>(value), size)});
      }
    }
    if (message) rd_kafka_message_destroy(message);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return record;
  }

  void write(const char* topic_name, Partition partition, const std::string& value) {
    auto* conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers());
    auto* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic_name), RD_KAFKA_V_PARTITION(partition),
                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                      RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_END);
    EXPECT_EQ(rd_kafka_flush(producer, 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
  }

 private:
  rd_kafka_t* client_;
  rd_kafka_mock_cluster_t* cluster_;
};

Event event(const std::string& tenant, const std::string& id = "1") {
  Event made;
  made.id = id;
  made.source = "/test";
  made.type = "order.created";
  made.tenant = TenantId(tenant);
  made.datacontenttype = "application/json";
  made.extensions = {{"orderingkey", "7"}};
  made.data = "{\"a\": 1 }\n";
  return made;
}

TEST(KafkaPublisher, WritesBinaryModeUnderTheTenantWhereKafkasOwnProducersWould) {
  Cluster cluster;
  cluster.topic("development.postrider.events");
  auto publisher = open_publisher(cluster.options());
  ASSERT_TRUE(publisher) << publisher.error().message;
  for (const std::string tenant : {"acme", "globex", "initech"}) {
    const auto published = (*publisher)->publish(event(tenant)).get();
    ASSERT_TRUE(published) << published.error().message;
    EXPECT_EQ(published->id, "1");
    EXPECT_EQ(published->topic, "development.postrider.events");
    EXPECT_EQ(published->webhook_id, webhook_id(TenantId(tenant), "/test", "1"));
    EXPECT_EQ(published->position.partition, murmur2_partition(tenant, kPartitions));
    const auto record = cluster.read(published->topic, published->position);
    EXPECT_EQ(record.key, tenant);
    const auto decoded = wire::decode_kafka(record.key, record.headers, record.value, false);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->event, event(tenant));
  }
}

TEST(KafkaPublisher, AnswersManyEventsEachWithItsOwnPositionInOrder) {
  Cluster cluster;
  cluster.topic("development.postrider.events");
  auto publisher = *open_publisher(cluster.options());
  std::vector<std::future<Result<PublishedEvent>>> answers;
  for (int i = 0; i < 500; ++i) answers.push_back(publisher->publish(event("acme", std::to_string(i))));
  EXPECT_TRUE(publisher->flush(Millis(20'000)));
  Offset expected = 0;
  for (int i = 0; i < 500; ++i) {
    const auto published = answers[static_cast<std::size_t>(i)].get();
    ASSERT_TRUE(published);
    EXPECT_EQ(published->id, std::to_string(i));
    EXPECT_EQ(published->position.offset, expected++);
  }
}

TEST(KafkaPublisher, RefusesBadEventsBeforeSendingThem) {
  Cluster cluster;
  cluster.topic("development.postrider.events");
  auto publisher = *open_publisher(cluster.options());
  const auto code = [&](Event bad) { return publisher->publish(std::move(bad)).get().error().code; };
  EXPECT_EQ(code(event("")), "TENANT_MISSING");
  EXPECT_EQ(code(event("no such/tenant")), "TENANT_INVALID");
  auto bad = event("acme");
  bad.data.assign(kEventDataBytesMax + 1, 'x');
  EXPECT_EQ(code(bad), "EVENT_TOO_LARGE");
  bad = event("acme");
  bad.environment = "production";
  EXPECT_EQ(code(bad), "ENVIRONMENT_MISMATCH");
  bad = event("acme");
  bad.subject = "a\r\nb";
  EXPECT_EQ(code(bad), "ATTRIBUTE_INVALID");
  bad = event("acme");
  bad.id.clear();
  EXPECT_EQ(code(bad), "ATTRIBUTE_INVALID");
  bad = event("acme");
  bad.data.assign(kEventDataBytesMax, 'x');
  EXPECT_TRUE(publisher->publish(bad).get());
}

TEST(KafkaPublisher, SaysWhenTheTopicIsMissingAndMakesNone) {
  Cluster cluster;
  cluster.topic("other.postrider.events");
  for (int i = 0; i < 2; ++i) {
    const auto publisher = open_publisher(cluster.options());
    ASSERT_FALSE(publisher);
    EXPECT_EQ(publisher.error().code, "TOPIC_MISSING");
    EXPECT_NE(publisher.error().suggestion.find("postrider-ops topics create"), std::string::npos);
  }
}

TEST(KafkaPublisher, SaysWhenNobodyAnswersAndWhatIsWrongWithOptions) {
  const auto code = [](PublisherOptions options) { return open_publisher(std::move(options)).error().code; };
  EXPECT_EQ(code({"kafka://", kEnvironment, "", "", {}, Millis(1000)}), "DESTINATION_INVALID");
  EXPECT_EQ(code({"amqp://x", kEnvironment, "", "", {}, Millis(1000)}), "DESTINATION_INVALID");
  EXPECT_EQ(code({"kafka://x:1", Environment(""), "", "", {}, Millis(1000)}), "ENVIRONMENT_INVALID");
  EXPECT_EQ(code({"kafka://x:1", kEnvironment, "", "", {{"no.such", "1"}}, Millis(1000)}),
            "KAFKA_PROPERTY_INVALID");
  const auto missing =
      open_publisher({"kafka://x:1", kEnvironment, "", "", {{"sasl.password", "env:NOT_SET_X"}}, {}});
  EXPECT_EQ(missing.error().code, "KAFKA_PROPERTY_INVALID");
  const auto nobody = open_publisher({"kafka://127.0.0.1:1", kEnvironment, "", "", {}, Millis(1000)});
  EXPECT_EQ(nobody.error().code, "LOG_UNREACHABLE");
  EXPECT_TRUE(nobody.error().retryable());
}

TEST(KafkaPublisher, ARefusalOfTheBrokersIsTheEventsAnswer) {
  Cluster cluster;
  cluster.topic("development.postrider.events");
  auto publisher = *open_publisher(cluster.options());
  cluster.fail_next_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
  EXPECT_EQ(publisher->publish(event("acme")).get().error().code, "EVENT_TOO_LARGE");
  cluster.fail_next_produce(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);  // tried again
  const auto again = publisher->publish(event("acme")).get();
  EXPECT_TRUE(again) << again.error().message;
  cluster.fail_next_produce(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  EXPECT_EQ(publisher->publish(event("acme")).get().error().code, "LOG_DENIED");
}

TEST(KafkaOutcomeWait, HearsOfFactsWrittenAfterItWasOpenedAndOfNoneBefore) {
  Cluster cluster;
  cluster.topic("development.postrider.events");
  cluster.topic("development.postrider.attempts");
  const auto fact = [](Position position, Environment environment) {
    AttemptFact attempt;
    attempt.delivery.id = DeliveryId("dlv_1");
    attempt.delivery.position = position;
    attempt.delivery.target.endpoint = EndpointId("orders");
    attempt.status = 200;
    return wire::encode(environment, attempt);
  };
  const Partition partition = murmur2_partition("acme", kPartitions);
  cluster.write("development.postrider.attempts", partition,
                fact({partition, 0}, kEnvironment));  // of an older log
  auto publisher = *open_publisher(cluster.options());
  auto opened = open_outcome_wait(cluster.options());
  ASSERT_TRUE(opened) << opened.error().message;
  const auto published = publisher->publish(event("acme")).get();
  ASSERT_TRUE(published);
  std::vector<std::string> heard;
  const auto each = [&](const FirstOutcome& outcome) {
    heard.push_back(outcome.endpoint + ": " + outcome.text);
  };
  EXPECT_EQ((*opened)->wait({*published}, Millis(700), each), 1u);
  cluster.write("development.postrider.attempts", partition, "not one of ours");
  cluster.write("development.postrider.attempts", partition, fact(published->position, Environment("other")));
  cluster.write("development.postrider.attempts", partition, fact(published->position, kEnvironment));
  EXPECT_EQ((*opened)->wait({*published}, Millis(20'000), each), 0u);
  EXPECT_EQ(heard, std::vector<std::string>{"orders: delivered (HTTP 200)"});
}

}  // namespace
}  // namespace postrider::producers
