#include <librdkafka/rdkafka.h>

#include <thread>

#include "engine/core/partitioner.h"
#include "tests/log/kafka_fixture.h"

// What only Kafka has: several members, fencing, brokers that die, logs that end below what was read.
namespace postrider::log_test {
namespace {

using Status = Appended::Status;
using namespace std::chrono_literals;

class KafkaLog : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("POSTRIDER_WITHOUT_KAFKA")) GTEST_SKIP() << "POSTRIDER_WITHOUT_KAFKA is set";
    fixture_ = std::make_unique<KafkaFixture>();
  }
  bool until(Log& log, Recorder& recorder, const std::function<bool()>& done) {
    return pump(log, recorder, done, fixture_->patience());
  }
  std::unique_ptr<Log> joined(Recorder& recorder) {
    auto log = fixture_->shard();
    log->join();
    EXPECT_TRUE(until(*log, recorder, [&] { return recorder.assigned.size() >= 3; }));
    return log;
  }
  Appended append(Log& log, Recorder& recorder, NewRecord what) {
    const std::uint64_t token = next_token_++;
    log.append(std::move(what), token);
    EXPECT_TRUE(until(log, recorder, [&] { return recorder.appended.contains(token); }));
    return recorder.appended[token];
  }

  std::unique_ptr<KafkaFixture> fixture_;
  std::uint64_t next_token_ = 1;
};

// A member as a shard is one: begins what it is given, commits what it has seen, lets go when asked.
struct Member : Recorder {
  std::unique_ptr<Log> log;
  std::set<Partition> mine;
  std::map<Partition, Offset> next;
  std::vector<Record> after_release;
  int seen = 0;

  explicit Member(std::unique_ptr<Log> of) : log(std::move(of)) { log->join(); }
  void on_assigned(std::span<const Assignment> all) override {
    Recorder::on_assigned(all);
    for (const Assignment& each : all) {
      mine.insert(each.partition);
      next[each.partition] = each.committed.value_or(each.events_begin);
      log->begin(each.partition, next[each.partition]);
    }
  }
  void on_revoked(std::span<const Partition> all, bool was_lost) override {
    Recorder::on_revoked(all, was_lost);
    for (Partition p : all) {
      if (!was_lost) log->commit(p, next[p], "");
      mine.erase(p);
    }
    log->release(all);
  }
  void on_event(Record record) override {
    ++seen;
    if (!mine.contains(record.partition)) after_release.push_back(record);
    next[record.partition] = record.offset + 1;
    Recorder::on_event(std::move(record));
  }
  void poll() { log->poll(*this, 1000); }
};

TEST_F(KafkaLog, TwoMembersShareThePartitionsAndLoseNothingWhenTheyMove) {
  auto client = fixture_->client();
  Member first(fixture_->shard());
  std::unique_ptr<Member> second;
  std::set<std::pair<Partition, Offset>> appended;
  std::map<std::pair<Partition, Offset>, int> seen;
  const auto deadline = Clock::now() + fixture_->patience();
  int step = 0;
  const auto all_seen = [&] {
    seen.clear();
    for (const Record& each : first.events) ++seen[{each.partition, each.offset}];
    if (second)
      for (const Record& each : second->events) ++seen[{each.partition, each.offset}];
    return seen.size() >= appended.size();
  };
  while (Clock::now() < deadline) {
    // A hundred while one owns all, a hundred while partitions move, a hundred when they have moved.
    const bool moved = second && !second->mine.empty() && !first.mine.empty();
    if (appended.size() < (second ? 200u : 100u) || (moved && appended.size() < 300)) {
      auto answer = client->append(event(Partition(step++ % 3), "acme", "x"));
      ASSERT_TRUE(answer) << answer.error().message;
      appended.insert({answer->partition, answer->offset});
    }
    // Only who owns something can be asked to give it up.
    if (appended.size() >= 100 && !first.mine.empty() && !second)
      second = std::make_unique<Member>(fixture_->shard());
    first.poll();
    if (second) second->poll();
    if (appended.size() == 300 && second && !second->mine.empty() && !first.mine.empty() && all_seen()) break;
  }
  ASSERT_TRUE(all_seen());
  EXPECT_EQ(first.mine.size() + second->mine.size(), 3u);
  for (Partition p : first.mine) EXPECT_FALSE(second->mine.contains(p)) << "owned twice";
  EXPECT_TRUE(first.after_release.empty()) << "handed out after the release";
  EXPECT_FALSE(first.lost);
  EXPECT_GE(first.revocations, 1);
  // An orderly hand-over repeats nothing: the drain's commit came first.
  for (const auto& [position, times] : seen) EXPECT_EQ(times, 1) << position.first << " " << position.second;
}

TEST_F(KafkaLog, ReleasesByItselfAfterFiveSeconds) {
  Recorder stubborn;
  auto log = joined(stubborn);
  Member other(fixture_->shard());
  const auto begin = Clock::now();
  ASSERT_TRUE(until(*log, stubborn, [&] {
    other.poll();
    return !other.mine.empty();
  }));
  EXPECT_GE(Clock::now() - begin, 4s);
  EXPECT_EQ(stubborn.revocations, 1);
  for (Partition p : other.mine) log->commit(p, 1, "mine no more");
  stubborn.committed.clear();
  ASSERT_TRUE(until(*log, stubborn, [&] { return stubborn.committed.size() >= other.mine.size(); }));
  for (const auto& each : stubborn.committed) EXPECT_FALSE(each.acknowledged);
}

// The member may be given a partition again while its owner still works for the former assignment.
TEST_F(KafkaLog, ACommitOfAFormerAssignmentIsRefusedUntilTheNextOneIsTold) {
  Recorder stubborn;
  auto log = joined(stubborn);
  Member other(fixture_->shard());
  std::optional<Clock::time_point> gone_at;
  const std::size_t before = stubborn.assigned.size();
  ASSERT_TRUE(until(*log, stubborn, [&] {
    other.poll();
    if (stubborn.revocations == 0 || stubborn.assigned.size() > before)
      return stubborn.assigned.size() > before;
    if (!gone_at) gone_at = Clock::now() + 5s;
    if (Clock::now() > *gone_at)
      for (Partition p = 0; p < 3; ++p) log->commit(p, 1, "mine no more");
    return false;
  }));
  ASSERT_GT(stubborn.committed.size(), 0u);
  for (const auto& each : stubborn.committed) EXPECT_FALSE(each.acknowledged);
  for (std::size_t i = before; i < stubborn.assigned.size(); ++i) {
    const Partition again = stubborn.assigned[i].partition;
    log->commit(again, 2, "mine again");
    ASSERT_TRUE(until(*log, stubborn, [&] {
      const auto& last = stubborn.committed.back();
      return last.partition == again && last.offset == 2 && last.acknowledged;
    }));
  }
}

TEST_F(KafkaLog, ARestartedMemberHasItsPartitionsBackAtOnce) {
  {
    Recorder recorder;
    auto log = joined(recorder);
  }
  const auto begin = Clock::now();
  Recorder recorder;
  auto log = joined(recorder);
  EXPECT_LT(Clock::now() - begin, 6s) << "waited for the session of its former life to end";
}

TEST_F(KafkaLog, ASecondProcessUnderTheSameInstanceTakesEverythingAndTheFirstIsTold) {
  const KafkaConfig config = fixture_->config();
  auto first_log = open_kafka_log(config);
  ASSERT_TRUE(first_log);
  Recorder first;
  first.on_revoked_do = [&](std::span<const Partition> all) { (*first_log)->release(all); };
  (*first_log)->join();
  ASSERT_TRUE(until(**first_log, first, [&] { return first.assigned.size() == 3; }));
  auto second_log = open_kafka_log(config);
  ASSERT_TRUE(second_log);
  Recorder second;
  (*second_log)->join();
  ASSERT_TRUE(until(**first_log, first,
                    [&] {
                      (*second_log)->poll(second, 100);
                      return second.assigned.size() == 3 && first.revocations == 1;
                    }))
      << second.assigned.size() << " " << first.revocations << " " << first.errors.size();
  EXPECT_TRUE(first.lost);
  ASSERT_FALSE(first.errors.empty());
  EXPECT_EQ(first.errors[0].code, "INSTANCE_TWICE");
  (*first_log)->commit(0, 1, "");
  ASSERT_TRUE(until(**first_log, first, [&] { return !first.committed.empty(); }));
  EXPECT_FALSE(first.committed[0].acknowledged);
}

TEST_F(KafkaLog, RetentionThatOvertakesAReaderIsTold) {
  Recorder recorder;
  auto log = joined(recorder);
  for (int i = 0; i < 10; ++i) append(*log, recorder, event(0, "acme", std::to_string(i)));
  fixture_->delete_records_before(Topic::events, 0, 6);
  log->begin(0, 2);
  ASSERT_TRUE(until(*log, recorder, [&] { return recorder.events.size() >= 4; }));
  EXPECT_EQ(recorder.events[0].offset, 6);
  EXPECT_EQ(recorder.events[3].offset, 9);
  EXPECT_TRUE(recorder.errors.empty());
  ASSERT_EQ(recorder.gaps.size(), 1u) << "told, and not passed over";
  EXPECT_EQ(recorder.gaps[0].first, 2);
  EXPECT_EQ(recorder.gaps[0].next, 6);
}

TEST_F(KafkaLog, ALogThatEndsBelowWhatWasReadIsAnErrorAndSkipsNothing) {
  Recorder recorder;
  auto log = joined(recorder);
  append(*log, recorder, event(0, "acme", "a"));
  log->begin(0, 50);
  ASSERT_TRUE(until(*log, recorder, [&] { return !recorder.errors.empty(); }));
  EXPECT_EQ(recorder.errors[0].errc, Errc::corrupt);
  EXPECT_EQ(recorder.errors[0].code, "LOG_TRUNCATED");
  append(*log, recorder, event(0, "acme", "b"));
  EXPECT_TRUE(recorder.events.empty());
}

TEST_F(KafkaLog, ATailFromBeyondTheEndHearsWhatIsStillToCome) {
  Recorder recorder;
  auto log = joined(recorder);
  append(*log, recorder, record(Topic::health, 0, "k", "old"));
  log->tail(Topic::health, 0, 1'000);
  // Led back to the end, however long that takes: what is appended until then may be missed.
  std::uint64_t token = 1000;
  ASSERT_TRUE(pump(
      *log, recorder,
      [&] {
        if (log->can_append(10)) log->append(record(Topic::health, 0, "k", "new"), ++token);
        std::this_thread::sleep_for(5ms);
        return !recorder.tails.empty();
      },
      fixture_->patience()));
  EXPECT_EQ(recorder.tails[0].value, "new");
}

// A producer of transactions: what it aborted was never published, and stands on the log all the same.
class Transactions {
 public:
  explicit Transactions(const KafkaConfig& config) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", config.brokers);
    set(conf, "transactional.id", "a-producer");
    rk_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    must(rd_kafka_init_transactions(rk_, 30'000));
  }
  ~Transactions() { rd_kafka_destroy(rk_); }
  void run(const std::string& topic, const std::string& value, bool commit) {
    must(rd_kafka_begin_transaction(rk_));
    rd_kafka_producev(rk_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(0),
                      RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    rd_kafka_flush(rk_, 30'000);
    must(commit ? rd_kafka_commit_transaction(rk_, 30'000) : rd_kafka_abort_transaction(rk_, 30'000));
  }

 private:
  static void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
    rd_kafka_conf_set(conf, name, value.c_str(), nullptr, 0);
  }
  static void must(rd_kafka_error_t* error) {
    if (!error) return;
    ADD_FAILURE() << rd_kafka_error_string(error);
    rd_kafka_error_destroy(error);
  }
  rd_kafka_t* rk_ = nullptr;
};

TEST_F(KafkaLog, NobodyReadsWhatAProducerAborted) {
  Transactions producer(fixture_->config());
  const std::string events = fixture_->topic(Topic::events);
  producer.run(events, "first", true);
  producer.run(events, "aborted", false);
  producer.run(events, "second", true);
  producer.run(events, "aborted, too", false);
  const auto client = fixture_->client();
  // Four records, four marks; the broker writes the marks when it comes to it.
  auto extent = client->extent(Topic::events, 0);
  for (int i = 0; i < 100 && (!extent || extent->end < 8); ++i) {
    std::this_thread::sleep_for(100ms);
    extent = client->extent(Topic::events, 0);
  }
  ASSERT_TRUE(extent) << extent.error().message;
  ASSERT_EQ(extent->end, 8);
  std::vector<std::string> values;
  const auto done = client->scan(Topic::events, 0, 0, extent->end, [&](const Record& record) {
    values.push_back(record.value.value_or(""));
    return true;
  });
  EXPECT_TRUE(done) << done.error().message;
  EXPECT_EQ(values, (std::vector<std::string>{"first", "second"}));
  Recorder recorder;
  const auto log = joined(recorder);
  log->begin(0, 0);
  EXPECT_TRUE(until(*log, recorder, [&] { return recorder.events.size() == 2; }));
}

TEST_F(KafkaLog, ReadsScatteredPositionsInAnyOrder) {
  Recorder recorder;
  auto log = joined(recorder);
  for (int i = 0; i < 1000; ++i) log->append(event(0, "acme", std::to_string(i)), next_token_++);
  ASSERT_TRUE(until(*log, recorder, [&] { return recorder.appended.size() >= 1000; }));
  fixture_->delete_records_before(Topic::events, 0, 5);
  const std::vector<Offset> wanted = {999, 7, 3, 500, 8, 500, 1000, 900, 0, 250};
  for (std::size_t i = 0; i < wanted.size(); ++i) log->fetch({0, wanted[i]}, i);
  log->fetch({2, 0}, 100);  // an empty partition
  ASSERT_TRUE(until(*log, recorder, [&] { return recorder.fetched.size() == wanted.size() + 1; }));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto& answer = recorder.fetched.at(i);
    if (wanted[i] < 5 || wanted[i] > 999) {
      ASSERT_FALSE(answer) << wanted[i];
      EXPECT_EQ(answer.error().errc, Errc::not_found);
    } else {
      ASSERT_TRUE(answer) << wanted[i] << " " << answer.error().message;
      EXPECT_EQ(answer->value, std::to_string(wanted[i]));
    }
  }
  EXPECT_EQ(recorder.fetched.at(100).error().errc, Errc::not_found);
}

// Due rows come in the order of time, not of offsets: what is wanted behind a run that is under way is there
// all the same.
TEST_F(KafkaLog, ReadsAPositionThatARunHasPassedBeforeItWasWanted) {
  struct Wishful : Recorder {
    void on_fetched(std::uint64_t token, Result<Record> record) override {
      Recorder::on_fetched(token, std::move(record));
      if (token == 150) log->fetch({0, 120}, 120);
    }
    Log* log = nullptr;
  } recorder;
  auto log = joined(recorder);
  recorder.log = log.get();
  for (int i = 0; i < 400; ++i) log->append(event(0, "acme", std::to_string(i)), next_token_++);
  ASSERT_TRUE(until(*log, recorder, [&] { return recorder.appended.size() >= 400; }));
  for (const Offset offset : {100, 150, 250}) log->fetch({0, offset}, static_cast<std::uint64_t>(offset));
  ASSERT_TRUE(until(*log, recorder, [&] { return recorder.fetched.size() == 4; }));
  for (const auto& [token, answer] : recorder.fetched) {
    ASSERT_TRUE(answer) << token << " " << answer.error().message;
    EXPECT_EQ(answer->value, std::to_string(token));
  }
}

TEST_F(KafkaLog, HandsOverNoPartitionWithoutItsTwin) {
  const KafkaConfig config = fixture_->config();
  // As if events had been grown by hand.
  fixture_->grow_events_alone(5);
  Recorder recorder;
  auto log = fixture_->shard();
  log->join();
  ASSERT_TRUE(until(*log, recorder, [&] { return recorder.assigned.size() >= 3; }));
  EXPECT_EQ(recorder.assigned.size(), 3u);
  ASSERT_EQ(recorder.errors.size(), 2u);
  EXPECT_EQ(recorder.errors[0].code, "PARTITION_WITHOUT_TWIN");
  ASSERT_TRUE(grow_topics(config, 5));
  Recorder after;
  auto again = fixture_->shard();
  // A new member makes the group look again; the old one polls and lets go.
  recorder.on_revoked_do = [&](std::span<const Partition> all) { log->release(all); };
  recorder.assigned.clear();
  again->join();
  ASSERT_TRUE(until(*log, recorder, [&] {
    again->poll(after, 100);
    return recorder.assigned.size() + after.assigned.size() == 5;
  }));
  EXPECT_EQ(log->partitions(), 5);
}

TEST_F(KafkaLog, AnAppendToAPartitionThatIsNotThereIsAnsweredAndHarmsNothing) {
  Recorder recorder;
  auto log = joined(recorder);
  NewRecord lost = event(77, "acme", "x");
  lost.headers = {{"a", "b"}};
  const Appended answer = append(*log, recorder, lost);
  EXPECT_EQ(answer.status, Status::unknown);
  EXPECT_EQ(answer.error.code, "TOPIC_MISSING");
  EXPECT_EQ(append(*log, recorder, event(0, "acme", "x")).status, Status::acknowledged);
}

TEST(KafkaBroker, KilledAndStartedAgainLosesNothingThatWasAcknowledged) {
  if (std::getenv("POSTRIDER_WITHOUT_KAFKA")) GTEST_SKIP() << "POSTRIDER_WITHOUT_KAFKA is set";
  TestBroker broker;
  KafkaFixture fixture(3, broker.address());
  fixture.session_timeout = Millis(10'000);  // appends expire after 1.5 s
  Member member(fixture.shard());
  ASSERT_TRUE(pump(
      *member.log, member, [&] { return member.assigned.size() == 3; }, fixture.patience()));

  std::map<std::uint64_t, std::string> sent;
  std::uint64_t token = 0;
  const auto send = [&] {
    if (!member.log->can_append(100)) return;
    ++token;
    sent[token] = "value-" + std::to_string(token);
    member.log->append(event(Partition(token % 3), "acme", sent[token]), token);
  };
  for (int i = 0; i < 200; ++i) send();
  ASSERT_TRUE(pump(
      *member.log, member, [&] { return member.appended.size() >= 100; }, fixture.patience()));
  broker.kill();
  // While it is down everything is answered `unknown` within the message's time, and nothing piles up.
  const auto down_until = Clock::now() + 4s;
  ASSERT_TRUE(pump(
      *member.log, member,
      [&] {
        if (Clock::now() < down_until && sent.size() < 400) send();
        return Clock::now() >= down_until && member.appended.size() == sent.size();
      },
      fixture.patience()));
  const auto answered_while_down = member.appended.size();
  EXPECT_GT(answered_while_down, 200u);
  broker.wake();
  for (int i = 0; i < 50; ++i) send();
  ASSERT_TRUE(pump(
      *member.log, member, [&] { return member.appended.size() == sent.size(); }, fixture.patience()));
  // Afterwards the member goes on: new appends are acknowledged and read.
  ASSERT_TRUE(pump(
      *member.log, member,
      [&] {
        const auto answer = member.appended.find(token);
        if (answer == member.appended.end()) return false;
        if (answer->second.status == Status::acknowledged) return true;
        send();
        return false;
      },
      fixture.patience()));

  std::set<std::string> there;
  auto client = fixture.client();
  for (Partition p = 0; p < 3; ++p) {
    auto extent = client->extent(Topic::events, p);
    ASSERT_TRUE(extent) << extent.error().message;
    auto scanned = client->scan(Topic::events, p, 0, extent->end, [&](const Record& each) {
      there.insert(*each.value);
      return true;
    });
    ASSERT_TRUE(scanned) << scanned.error().message;
  }
  int acknowledged = 0, unknown = 0;
  for (const auto& [each, answer] : member.appended) {
    ASSERT_NE(answer.status, Status::refused) << answer.error.message;
    if (answer.status == Status::unknown) ++unknown;
    if (answer.status != Status::acknowledged) continue;
    ++acknowledged;
    EXPECT_TRUE(there.contains(sent[each])) << sent[each] << " was acknowledged and is gone";
  }
  EXPECT_GT(acknowledged, 100);
  EXPECT_GT(unknown, 0);
  ASSERT_TRUE(pump(
      *member.log, member,
      [&] {
        std::set<std::string> read;
        for (const Record& each : member.events) read.insert(*each.value);
        return read.size() >= there.size();
      },
      fixture.patience()));
}

}  // namespace
}  // namespace postrider::log_test
