#include "engine/core/registry.h"
#include "engine/kafka/membership.h"
#include "engine/wire/codec.h"
#include "tests/log/kafka_fixture.h"

// Topics as they are made, checked, mended and grown, and what is said when Kafka is not as it should be.
namespace postrider::log_test {
namespace {

using Weight = TopicDifference::Weight;
using namespace std::chrono_literals;

class KafkaTopics : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("POSTRIDER_WITHOUT_KAFKA")) GTEST_SKIP() << "POSTRIDER_WITHOUT_KAFKA is set";
    static int number = 0;
    config_.brokers = TestBroker::shared();
    config_.environment = Environment("topics" + std::to_string(getpid()) + "-" + std::to_string(++number));
    config_.instance = "one";
    plan_.partitions = 2;
  }
  // The differences that are not the single broker's fault.
  std::vector<TopicDifference> differences() {
    auto found = check_topics(config_, plan_);
    EXPECT_TRUE(found) << found.error().message;
    if (!found) return {};
    std::erase_if(*found, [](const auto& each) { return each.weight == Weight::refuse_in_production; });
    return *found;
  }
  void set(Topic topic, const std::string& name, const std::string& value) {
    set_topic(config_, topic, name, value);
  }

  KafkaConfig config_;
  TopicPlan plan_;
};

TEST_F(KafkaTopics, AreMadeOnceWithOneIdentity) {
  auto first = create_topics(config_, plan_);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->created.size(), 10u);
  EXPECT_TRUE(first->identity_written);
  EXPECT_TRUE(first->identity.str().starts_with("log_"));
  auto second = create_topics(config_, plan_);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_TRUE(second->created.empty());
  EXPECT_FALSE(second->identity_written);
  EXPECT_EQ(second->identity, first->identity);

  auto client = open_kafka_client(config_);
  ASSERT_TRUE(client);
  EXPECT_EQ((*client)->partitions(Topic::events).value_or(0), 2);
  EXPECT_EQ((*client)->partitions(Topic::attempts).value_or(0), 2);
  EXPECT_EQ((*client)->partitions(Topic::parked).value_or(0), 2);
  EXPECT_EQ((*client)->partitions(Topic::keys).value_or(0), 1);
  EXPECT_EQ((*client)->partitions(Topic::health).value_or(0), 1);
}

TEST_F(KafkaTopics, AFreshEnvironmentLacksOnlyReplicas) {
  ASSERT_TRUE(create_topics(config_, plan_));
  auto found = check_topics(config_, plan_);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_FALSE(found->empty());
  for (const TopicDifference& each : *found) {
    EXPECT_EQ(each.weight, Weight::refuse_in_production) << each.topic << ": " << each.sentence;
    EXPECT_FALSE(refuses(each, Environment("development")));
    EXPECT_FALSE(refuses(each, Environment("staging")));
    EXPECT_TRUE(refuses(each, Environment("production")));
  }
  const bool named = std::any_of(found->begin(), found->end(),
                                 [](const auto& each) { return each.topic == "__consumer_offsets"; });
  EXPECT_TRUE(named) << "the group's offsets are as dear as our records";
}

TEST_F(KafkaTopics, EachSettingThatCouldLoseDataIsNamedAndMended) {
  ASSERT_TRUE(create_topics(config_, plan_));
  const std::tuple<Topic, std::string, std::string> wrong[] = {
      {Topic::events, "retention.ms", "3600000"},
      {Topic::events, "retention.bytes", "1000000"},
      {Topic::parked, "cleanup.policy", "delete"},
      {Topic::parked, "min.compaction.lag.ms", "0"},
      {Topic::attempts, "message.timestamp.type", "CreateTime"},
      {Topic::keys, "max.compaction.lag.ms", "86400000"},
      {Topic::dead_letters, "max.message.bytes", "1000000"},
      {Topic::endpoints, "cleanup.policy", "compact,delete"}};
  for (const auto& [topic, name, value] : wrong) set(topic, name, value);
  auto found = differences();
  EXPECT_EQ(found.size(), std::size(wrong));
  for (const auto& [topic, name, value] : wrong) {
    const std::string full = full_name(config_.environment, topic);
    const bool named = std::any_of(found.begin(), found.end(), [&](const auto& each) {
      return each.topic == full && each.sentence.starts_with(name + " is " + value) &&
             each.weight == Weight::refuse;
    });
    EXPECT_TRUE(named) << full << " " << name;
  }
  auto mended = mend_topics(config_, plan_);
  ASSERT_TRUE(mended) << mended.error().message;
  EXPECT_EQ(mended->size(), 6u) << "one sentence a topic";
  EXPECT_TRUE(differences().empty());
  EXPECT_TRUE(mend_topics(config_, plan_)->empty());
}

TEST_F(KafkaTopics, OursMustTakeMoreThanEventsDoes) {
  ASSERT_TRUE(create_topics(config_, plan_));
  set(Topic::events, "max.message.bytes", "2097152");
  auto found = differences();
  ASSERT_EQ(found.size(), 9u) << "every topic but events";
  for (const auto& each : found)
    EXPECT_NE(each.sentence.find("must be at least 2162688"), std::string::npos) << each.sentence;
}

TEST_F(KafkaTopics, AMissingTopicRefusesEverywhere) {
  auto found = differences();
  ASSERT_EQ(found.size(), 10u);
  EXPECT_TRUE(refuses(found[0], Environment("development")));
  EXPECT_NE(found[0].sentence.find("topics create"), std::string::npos);
  auto log = open_kafka_log(config_);
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, "TOPIC_MISSING");
}

TEST_F(KafkaTopics, GrowTwinsFirstAndNeverShrink) {
  ASSERT_TRUE(create_topics(config_, plan_));
  auto grown = grow_topics(config_, 4);
  ASSERT_TRUE(grown) << grown.error().message;
  auto client = open_kafka_client(config_);
  for (Topic topic : {Topic::events, Topic::parked, Topic::attempts, Topic::dead_letters})
    EXPECT_EQ((*client)->partitions(topic).value_or(0), 4) << name_of(topic);
  EXPECT_EQ((*client)->partitions(Topic::endpoints).value_or(0), 1);
  EXPECT_TRUE(grow_topics(config_, 4)) << "again: nothing to do";
  auto shrunk = grow_topics(config_, 3);
  ASSERT_FALSE(shrunk);
  EXPECT_EQ(shrunk.error().errc, Errc::invalid);
  EXPECT_TRUE(differences().empty());
}

TEST_F(KafkaTopics, MoreReplicasThanBrokersAreRefusedWithAReason) {
  plan_.replication = 3;
  auto made = create_topics(config_, plan_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().errc, Errc::invalid);
  EXPECT_NE(made.error().suggestion.find("brokers"), std::string::npos);
}

TEST_F(KafkaTopics, AnotherEnvironmentsIdentityIsNoIdentity) {
  ASSERT_TRUE(create_topics(config_, plan_));
  auto client = open_kafka_client(config_);
  ASSERT_TRUE(client);
  IdentityFact foreign;
  foreign.identity = LogIdentity("log_0000000000000000000000");
  foreign.environment = Environment("elsewhere");
  ASSERT_TRUE((*client)->append(
      {Topic::endpoints, 0, std::string(kIdentityKey), wire::encode(foreign.environment, foreign), {}}));
  auto again = create_topics(config_, plan_);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().errc, Errc::denied);
}

TEST(KafkaConfiguration, AnUnknownPropertyIsNamed) {
  KafkaConfig config;
  config.brokers = "127.0.0.1:1";
  config.properties["compresion.type"] = "lz4";
  auto checked = check(config);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, "INVALID_CONFIGURATION");
  EXPECT_NE(checked.error().message.find("compresion.type"), std::string::npos);
}

TEST(KafkaConfiguration, AWrongValueAndOneThatIsOursAreNamed) {
  KafkaConfig config;
  config.brokers = "127.0.0.1:1";
  config.properties["compression.type"] = "tarball";
  EXPECT_NE(check(config).error().message.find("compression.type"), std::string::npos);
  config.properties = {{"acks", "1"}};
  EXPECT_NE(check(config).error().message.find("acks"), std::string::npos);
  EXPECT_EQ(check(config).error().code, "INVALID_CONFIGURATION");
  config.properties = {{"compression.type", "lz4"}, {"security.protocol", "plaintext"}};
  EXPECT_TRUE(check(config));
}

TEST(KafkaConfiguration, NobodyThereIsSaidWithinTheTimeGiven) {
  KafkaConfig config;
  config.brokers = "127.0.0.1:1";
  config.environment = Environment("development");
  config.instance = "one";
  config.reach_timeout = Millis(1500);
  const auto begin = Clock::now();
  auto log = open_kafka_log(config);
  ASSERT_FALSE(log);
  EXPECT_LT(Clock::now() - begin, 5s);
  EXPECT_EQ(log.error().errc, Errc::unavailable);
  EXPECT_EQ(log.error().code, "KAFKA_UNREACHABLE");
  EXPECT_NE(log.error().message.find("127.0.0.1:1"), std::string::npos);
  EXPECT_FALSE(log.error().suggestion.empty());
}

TEST(KafkaCommitMetadata, IsPinned) {
  EXPECT_EQ(kafka::encode_metadata("plain text 1+/="), "plain text 1+/=");
  EXPECT_EQ(kafka::encode_metadata(std::string("\0\xff", 2)), "base64:AP8=");
  EXPECT_EQ(kafka::encode_metadata("base64:x"), "base64:YmFzZTY0Ong=");
  EXPECT_EQ(kafka::decode_metadata("base64:AP8="), std::string("\0\xff", 2));
  EXPECT_EQ(kafka::decode_metadata("written by a tool"), "written by a tool");
  EXPECT_EQ(kafka::decode_metadata("base64:***"), "");
}

}  // namespace
}  // namespace postrider::log_test
