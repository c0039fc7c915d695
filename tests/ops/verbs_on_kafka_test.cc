// The verbs about topics and the group's offsets, on a real broker.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/kafka/group_offsets.h"
#include "engine/kafka/kafka_client.h"
#include "engine/kafka/kafka_log.h"
#include "engine/wire/codec.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

using Json = nlohmann::json;

// Ends with this process. POSTRIDER_TEST_KAFKA=HOST:PORT names one that runs.
class Broker {
 public:
  Broker() {
    if (const char* given = std::getenv("POSTRIDER_TEST_KAFKA")) {
      address_ = given;
      return;
    }
    directory_ = (std::filesystem::temp_directory_path() / "kafka-XXXXXX").string();
    int out[2];
    if (!::mkdtemp(directory_.data()) || ::pipe(out) != 0) std::abort();
    script_ = ::fork();
    if (script_ == 0) {
      ::dup2(out[1], STDOUT_FILENO);
      ::close(out[0]);
      ::close(out[1]);
      const std::string script = std::string(POSTRIDER_SOURCE_DIR) + "/tests/support/kafka-broker";
      ::execl(script.c_str(), script.c_str(), "start", directory_.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(out[1]);
    for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) address_.push_back(c);
    ::close(out[0]);
  }
  ~Broker() {
    if (script_ < 0) return;
    ::kill(script_, SIGTERM);
    ::waitpid(script_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  const std::string& address() const { return address_; }

 private:
  std::string directory_, address_;
  pid_t script_ = -1;
};

struct Answer {
  int code = -1;
  Error error;
  std::vector<Json> lines;
};

constexpr Partition kPartition = 1;
constexpr Offset kEvents = 10;  // in that partition

struct OnKafka : ::testing::Test {
  static const std::string& address() {
    static Broker broker;
    return broker.address();
  }
  // Topics of its own for each test.
  const std::string environment =
      "t" + std::to_string(::getpid()) + "-" +
      std::to_string(::testing::UnitTest::GetInstance()->current_test_info()->line());

  void SetUp() override { ASSERT_FALSE(address().empty()) << "the Kafka broker did not start"; }

  CommandLine line(const std::string& verb) {
    CommandLine made;
    made.verb = verb;
    made.log = "kafka://" + address();
    made.environment = environment;
    made.actor = "alice";
    made.partitions = 3;
    made.partition = kPartition;
    made.json = true;
    made.yes = true;
    return made;
  }

  static Answer run(Verb verb, const CommandLine& with) {
    Session session(with);
    ::testing::internal::CaptureStdout();
    const auto code = verb(session);
    std::istringstream printed(::testing::internal::GetCapturedStdout());
    Answer answer;
    for (std::string text; std::getline(printed, text);) answer.lines.push_back(Json::parse(text));
    if (code)
      answer.code = *code;
    else
      answer.error = code.error(), answer.code = exit_code_of(code.error());
    return answer;
  }

  KafkaConfig config() {
    KafkaConfig made;
    made.brokers = address();
    made.environment = Environment(environment);
    made.instance = "member-" + environment;
    return made;
  }

  void append(Topic topic, std::string key, std::string value) {
    auto client = open_kafka_client(config()).value();
    ASSERT_TRUE(client->append({topic, kPartition, std::move(key), std::move(value), {}}));
  }
  void append_mark(std::optional<Offset> committed, std::optional<OwnerMark::Read> read = std::nullopt) {
    OwnerMark mark;
    mark.log = LogIdentity("log_1");
    mark.instance = "someone";
    mark.committed = committed;
    mark.events_end = kEvents;
    mark.read = read;
    append(Topic::parked, std::string(kOwnerKey), wire::encode(config().environment, mark));
  }
  // The broker tells of new partitions a moment after it has made them.
  bool comes_to_have(Topic topic, Partition partitions) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline)
      if (open_kafka_client(config()).value()->partitions(topic).value() == partitions) return true;
    return false;
  }
  OwnerMark newest_mark() {
    auto client = open_kafka_client(config()).value();
    const auto extent = client->extent(Topic::parked, kPartition).value();
    OwnerMark newest;
    EXPECT_TRUE(client->scan(Topic::parked, kPartition, extent.begin, extent.end, [&](const Record& record) {
      newest = std::get<OwnerMark>(wire::decode_parked(config().environment, *record.value).value());
      return true;
    }));
    return newest;
  }
  // Topics with ten events in one partition.
  void make_events() {
    ASSERT_EQ(run(topics_create, line("topics create")).code, 0);
    auto client = open_kafka_client(config()).value();
    for (int i = 0; i < kEvents; ++i)
      ASSERT_TRUE(client->append({Topic::events, kPartition, "acme", "event", {}}));
  }
};

TEST_F(OnKafka, TopicsAreMadeOnceUnderOneIdentity) {
  const auto first = run(topics_create, line("topics create"));
  ASSERT_EQ(first.code, 0) << first.error.message;
  EXPECT_EQ(first.lines[0]["created"].size(), 10u);
  EXPECT_EQ(first.lines[0]["identity_written"], true);
  const auto second = run(topics_create, line("topics create"));
  EXPECT_EQ(second.code, 0);
  EXPECT_EQ(second.lines[0]["created"].size(), 0u);
  EXPECT_EQ(second.lines[0]["identity"], first.lines[0]["identity"]);
}

TEST_F(OnKafka, CheckNamesWhatIsMissing) {
  const auto answer = run(topics_check, line("topics check"));
  EXPECT_EQ(answer.code, 1);
  const auto findings = std::count_if(answer.lines.begin(), answer.lines.end(),
                                      [](const Json& difference) { return difference["finding"] == true; });
  EXPECT_EQ(findings, kTopicCount);
}

TEST_F(OnKafka, OneBrokersWorthIsAFindingInProductionAlone) {
  for (const auto& name : {environment, std::string("production")}) {
    auto with = line("topics create");
    with.environment = name;
    ASSERT_EQ(run(topics_create, with).code, 0);
    const auto answer = run(topics_check, with);
    EXPECT_EQ(answer.code, name == "production" ? 1 : 0);
    EXPECT_FALSE(answer.lines.empty());
    for (const auto& difference : answer.lines) {
      EXPECT_EQ(difference["weight"], "refuse_in_production") << difference;
      EXPECT_EQ(difference["finding"], name == "production") << difference;
    }
  }
}

TEST_F(OnKafka, TopicsGrowAndNeverShrink) {
  ASSERT_EQ(run(topics_create, line("topics create")).code, 0);
  auto with = line("topics grow");
  with.partitions = 5;
  EXPECT_EQ(run(topics_grow, with).code, 0);
  for (const Topic topic : {Topic::events, Topic::parked, Topic::attempts})
    EXPECT_TRUE(comes_to_have(topic, 5)) << name_of(topic);
  with.partitions = 4;
  EXPECT_EQ(run(topics_grow, with).code, 1);
}

TEST_F(OnKafka, OffsetsRebuildCommitsWhatTheNewestMarkVouchesFor) {
  make_events();
  EXPECT_EQ(run(offsets_rebuild, line("offsets rebuild")).lines[0]["changed"], false) << "there is no mark";
  append_mark(3);
  append_mark(5);
  const auto set = set_group_offset(config(), kPartition, 2);
  ASSERT_TRUE(set) << set.error().message;
  auto shy = line("offsets rebuild");
  shy.yes = false;
  EXPECT_EQ(run(offsets_rebuild, shy).code, 2);
  EXPECT_EQ(group_offset(config(), kPartition).value(), 2);

  const auto restored = run(offsets_rebuild, line("offsets rebuild"));
  EXPECT_EQ(restored.code, 0) << restored.error.message;
  EXPECT_EQ(restored.lines[0]["changed"], true);
  EXPECT_EQ(group_offset(config(), kPartition).value(), 5);
  EXPECT_FALSE(group_offset(config(), 0).value()) << "of one partition alone";

  ASSERT_TRUE(set_group_offset(config(), kPartition, 7));
  EXPECT_EQ(run(offsets_rebuild, line("offsets rebuild")).lines[0]["changed"], false);
  EXPECT_EQ(group_offset(config(), kPartition).value(), 7) << "never backwards";
}

TEST_F(OnKafka, OffsetsRebuildSeesThatTheSourceItselfIsShorter) {
  make_events();
  append_mark(50);
  const auto answer = run(offsets_rebuild, line("offsets rebuild"));
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.error.code, "SOURCE_REPLACED");
}

TEST_F(OnKafka, ATopicThatWasMadeAgainAndHasGrownIsSeenByWhatWasReadThere) {
  make_events();
  append_mark(5, OwnerMark::Read{4, 1});
  const auto refused = run(offsets_rebuild, line("offsets rebuild"));
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.error.code, "SOURCE_REPLACED") << refused.error.message;
  // What is committed is of the earlier topic: below it nothing would ever be read.
  ASSERT_TRUE(set_group_offset(config(), kPartition, 5));
  const auto accepted = run(topics_accept_source, line("topics accept-source"));
  EXPECT_EQ(accepted.code, 0) << accepted.error.message;
  EXPECT_EQ(group_offset(config(), kPartition).value(), 0);
  // The same record where it was read is the same topic.
  auto client = open_kafka_client(config()).value();
  const auto record = client->fetch(Topic::events, kPartition, 4).value();
  append_mark(5, OwnerMark::Read{4, to_ms(record.appended)});
  EXPECT_EQ(run(offsets_rebuild, line("offsets rebuild")).code, 0);
  EXPECT_EQ(run(topics_accept_source, line("topics accept-source")).code, 0);
  EXPECT_EQ(group_offset(config(), kPartition).value(), 5) << "what is committed stays";
}

TEST_F(OnKafka, AcceptSourceAlsoTakesBackACommitAboveTheEnd) {
  make_events();
  append_mark(50);
  ASSERT_TRUE(set_group_offset(config(), kPartition, 50));
  const auto answer = run(topics_accept_source, line("topics accept-source"));
  EXPECT_EQ(answer.code, 0) << answer.error.message;
  EXPECT_EQ(answer.lines[0]["events_end"], kEvents);
  EXPECT_EQ(group_offset(config(), kPartition).value(), 0);
  const auto mark = newest_mark();
  EXPECT_FALSE(mark.committed);
  EXPECT_EQ(mark.events_end, 0);
  EXPECT_NE(mark.log, LogIdentity("log_1")) << "the identity that the log has now";
}

// Of a shorter topic than was read, a commit within it may be of either.
TEST_F(OnKafka, ACommitStaysInAShorterTopicOnlyIfWhatLiesBelowItIsOlderThanWhatWasRead) {
  make_events();
  append_mark(50, OwnerMark::Read{49, 1});
  ASSERT_TRUE(set_group_offset(config(), kPartition, 2));
  EXPECT_EQ(run(topics_accept_source, line("topics accept-source")).code, 0);
  EXPECT_EQ(group_offset(config(), kPartition).value(), 0) << "made again: nothing of it was read";
  append_mark(50, OwnerMark::Read{49, 8'000'000'000'000});
  ASSERT_TRUE(set_group_offset(config(), kPartition, 2));
  EXPECT_EQ(run(topics_accept_source, line("topics accept-source")).code, 0);
  EXPECT_EQ(group_offset(config(), kPartition).value(), 2) << "cut: what was committed stays";
}

// A member as a daemon is one, until it is told to go.
class Member : public LogListener {
 public:
  explicit Member(const KafkaConfig& config) : log_(open_kafka_log(config).value()) {
    log_->join();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!assigned_ && std::chrono::steady_clock::now() < deadline) log_->poll(*this, 100);
  }
  bool assigned() const { return assigned_; }

  void on_assigned(std::span<const Assignment>) override { assigned_ = true; }
  void on_revoked(std::span<const Partition> revoked, bool) override { log_->release(revoked); }
  void on_event(Record) override {}
  void on_events_lost(Partition, Offset, Offset) override {}
  void on_tail(Record) override {}
  void on_appended(std::uint64_t, const Appended&) override {}
  void on_committed(Partition, Offset, SteadyTime, bool) override {}
  void on_end(Topic, Partition, Offset, SteadyTime) override {}
  void on_fetched(std::uint64_t, Result<Record>) override {}
  void on_log_error(const Error&) override {}

 private:
  std::unique_ptr<Log> log_;
  bool assigned_ = false;
};

TEST_F(OnKafka, TheGroupsOffsetsAreItsMembersWhileThereAreAny) {
  make_events();
  append_mark(5);
  Member member(config());
  ASSERT_TRUE(member.assigned());
  const auto answer = run(offsets_rebuild, line("offsets rebuild"));
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.error.code, "GROUP_IN_USE") << answer.error.message;
}

TEST_F(OnKafka, ASourceIsNotAcceptedWhileTheGroupHasMembers) {
  make_events();
  append_mark(5);
  ASSERT_TRUE(set_group_offset(config(), kPartition, 5));
  Member member(config());
  ASSERT_TRUE(member.assigned());
  const auto answer = run(topics_accept_source, line("topics accept-source"));
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.error.code, "GROUP_IN_USE") << answer.error.message;
  EXPECT_EQ(newest_mark().committed, 5) << "no mark of ours";
}

TEST_F(OnKafka, ATokenAndASummaryNeedNoDaemon) {
  ASSERT_EQ(run(topics_create, line("topics create")).code, 0);
  EXPECT_EQ(run(tokens_reset, line("tokens reset")).lines.at(0).count("token"), 1u);
  EXPECT_EQ(run(dead_letters_summary, line("dead-letters summary")).code, 0);
  auto with = line("replay");
  with.tenant = "acme";
  EXPECT_EQ(run(replay_dead_letters, with).lines.at(0)["matched"], 0);
}

TEST_F(OnKafka, TopicsThatAreNotThereAreToldByName) {
  const auto answer = run(dead_letters_list, line("dead-letters list"));
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.error.code, "TOPIC_MISSING");
  EXPECT_NE(answer.error.suggestion.find("topics create"), std::string::npos);
}

}  // namespace
}  // namespace postrider::ops
