#include "tests/log/contract.h"

#include <poll.h>

#include "engine/core/partitioner.h"

namespace postrider::log_test {
namespace {

using Status = Appended::Status;

TEST_P(LogContract, AcknowledgesAnAppendWithItsPlaceAndTime) {
  Recorder recorder;
  auto log = joined(recorder);
  NewRecord what = event(1, "acme", "one");
  what.headers = {{"ce_id", "1"}, {"ce_type", "order.created"}};
  const Appended first = append(*log, recorder, what);
  const Appended second = append(*log, recorder, event(1, "acme", "two"));
  ASSERT_EQ(first.status, Status::acknowledged) << first.error.message;
  ASSERT_EQ(second.status, Status::acknowledged) << second.error.message;
  EXPECT_EQ(first.partition, 1);
  EXPECT_EQ(second.offset, first.offset + 1);
  EXPECT_GT(to_ms(first.appended), 1'600'000'000'000);

  auto client = log_->client();
  auto read = client->fetch(Topic::events, 1, first.offset);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->key, "acme");
  EXPECT_EQ(read->value, "one");
  EXPECT_EQ(read->headers, what.headers);
  EXPECT_EQ(read->appended, first.appended);
  EXPECT_EQ(read->offset, first.offset);
}

TEST_P(LogContract, KeepsEachKeyOnOnePartitionAndInOrder) {
  constexpr int kRecords = 200, kKeys = 10;
  Recorder recorder;
  auto log = joined(recorder);
  for (Partition p = 0; p < log_->partitions(); ++p) log->begin(p, recorder.assignment(p)->events_begin);
  for (int i = 0; i < kRecords; ++i) {
    NewRecord what = event(0, "tenant" + std::to_string(i % kKeys), std::to_string(i));
    what.partition.reset();
    log->append(std::move(what), next_token_++);
  }
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.events.size() >= kRecords; }));
  std::map<std::string, int> last;
  for (const Record& each : recorder.events) {
    EXPECT_EQ(each.partition, murmur2_partition(each.key, log_->partitions())) << each.key;
    const int number = std::stoi(*each.value);
    if (last.contains(each.key)) {
      EXPECT_EQ(number, last[each.key] + kKeys) << each.key;
    }
    last[each.key] = number;
  }
  EXPECT_EQ(last.size(), static_cast<std::size_t>(kKeys));
}

TEST_P(LogContract, ResumesFromTheCommittedOffset) {
  Recorder before;
  {
    auto log = joined(before);
    const Offset from = before.assignment(0)->events_begin;
    EXPECT_FALSE(before.assignment(0)->committed) << "nothing was committed yet";
    for (int i = 0; i < 10; ++i) append(*log, before, event(0, "acme", std::to_string(i)));
    log->begin(0, from);
    ASSERT_TRUE(pump_until(*log, before, [&] { return before.events.size() >= 10; }));
    log->commit(0, before.events[6].offset, "six are done");
    ASSERT_TRUE(pump_until(*log, before, [&] { return !before.committed.empty(); }));
    ASSERT_TRUE(before.committed[0].acknowledged);
  }
  log_->reopen();
  Recorder after;
  auto log = joined(after);
  const Assignment* mine = after.assignment(0);
  ASSERT_TRUE(mine);
  ASSERT_EQ(mine->committed, before.events[6].offset);
  EXPECT_EQ(mine->metadata, "six are done");
  EXPECT_EQ(mine->events_end, before.events[9].offset + 1);
  log->begin(0, *mine->committed);
  ASSERT_TRUE(pump_until(*log, after, [&] { return after.events.size() >= 4; }));
  ASSERT_EQ(after.events.size(), 4u);
  EXPECT_EQ(after.events[0].value, "6");
  EXPECT_EQ(after.events[3].value, "9");
}

// A log that cannot carry every byte encodes them itself.
TEST_P(LogContract, CommitMetadataKeepsItsBytes) {
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte.push_back(static_cast<char>(i));
  {
    Recorder recorder;
    auto log = joined(recorder);
    append(*log, recorder, event(0, "acme", "x"));
    log->commit(0, recorder.assignment(0)->events_begin + 1, every_byte);
    log->commit(1, recorder.assignment(1)->events_begin, "");
    ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.committed.size() >= 2; }));
    for (const auto& each : recorder.committed) EXPECT_TRUE(each.acknowledged);
  }
  Recorder recorder;
  auto log = joined(recorder);
  EXPECT_EQ(recorder.assignment(0)->metadata, every_byte);
  EXPECT_EQ(recorder.assignment(1)->metadata, "");
  EXPECT_TRUE(recorder.assignment(1)->committed);
}

TEST_P(LogContract, CompactionKeepsTheNewestOfEachKey) {
  for (const auto& [topic, partition] : {std::pair{Topic::parked, 1}, std::pair{Topic::endpoints, 0}}) {
    Recorder recorder;
    auto log = joined(recorder);
    append(*log, recorder, record(topic, partition, "a", "a1"));
    const Appended b1 = append(*log, recorder, record(topic, partition, "b", "b1"));
    const Appended a2 = append(*log, recorder, record(topic, partition, "a", "a2"));
    append(*log, recorder, record(topic, partition, "c", "c1"));
    NewRecord tombstone = record(topic, partition, "c", std::nullopt);
    tombstone.headers = {{"epoch", "1"}, {"sequence", "2"}};
    append(*log, recorder, tombstone);

    auto client = log_->client();
    std::map<std::string, std::vector<Record>> of;
    const auto compacted = [&] {
      of.clear();
      for (Record& each : all_of(*client, topic, partition)) of[each.key].push_back(std::move(each));
      return of["a"].size() == 1 && of["c"].size() <= 1;
    };
    const auto deadline = Clock::now() + 2 * log_->patience();
    while (!compacted() && Clock::now() < deadline) {
      log_->nudge_compaction(topic, partition);
      Recorder ignored;
      pump(
          *log, ignored, [] { return false; }, std::chrono::milliseconds(20));
    }
    ASSERT_EQ(of["a"].size(), 1u) << name_of(topic);
    EXPECT_EQ(of["a"][0].value, "a2");
    EXPECT_EQ(of["a"][0].offset, a2.offset) << "compaction moved a record";
    ASSERT_EQ(of["b"].size(), 1u) << name_of(topic);
    EXPECT_EQ(of["b"][0].offset, b1.offset);
    // The tombstone may stay or go; what it buried may not come back.
    for (const Record& each : of["c"]) {
      EXPECT_FALSE(each.value);
      EXPECT_EQ(each.headers, tombstone.headers);
    }
  }
}

TEST_P(LogContract, TailsOnePartitionWithWhatIsStillToCome) {
  Recorder recorder;
  auto log = joined(recorder);
  const Appended first = append(*log, recorder, record(Topic::parked, 1, "k1", "old"));
  append(*log, recorder, record(Topic::parked, 0, "k0", "another partition's"));
  log->tail(Topic::parked, 1, first.offset);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.tails.size() >= 1; }));
  const Appended own = append(*log, recorder, record(Topic::parked, 1, "k2", "new"));
  append(*log, recorder, record(Topic::parked, 1, "k1", std::nullopt));
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.tails.size() >= 3; }));
  EXPECT_EQ(recorder.tails[0].value, "old");
  EXPECT_EQ(recorder.tails[0].topic, Topic::parked);
  EXPECT_EQ(recorder.tails[1].offset, own.offset);
  EXPECT_EQ(recorder.tails[1].partition, 1);
  EXPECT_EQ(recorder.tails[2].key, "k1");
  EXPECT_FALSE(recorder.tails[2].value);

  log->untail(Topic::parked, 1);
  append(*log, recorder, record(Topic::parked, 1, "k3", "unheard"));
  Recorder silence;
  pump(
      *log, silence, [&] { return !silence.tails.empty(); }, std::chrono::milliseconds(200));
  EXPECT_TRUE(silence.tails.empty());
  EXPECT_EQ(recorder.tails.size(), 3u);
}

TEST_P(LogContract, ATailFromBelowTheBeginningStartsAtTheBeginning) {
  Recorder recorder;
  auto log = joined(recorder);
  append(*log, recorder, record(Topic::health, 0, "k", "v"));
  log->tail(Topic::health, 0, 0);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return !recorder.tails.empty(); }));
  EXPECT_EQ(recorder.tails[0].value, "v");
}

TEST_P(LogContract, ReadsOneEventByItsPosition) {
  Recorder recorder;
  auto log = joined(recorder);
  append(*log, recorder, event(1, "acme", "zero"));
  const Appended one = append(*log, recorder, event(1, "acme", "one"));
  append(*log, recorder, event(1, "acme", "two"));
  log->fetch({1, one.offset}, 71);
  log->fetch({1, one.offset + 1000}, 72);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.fetched.size() >= 2; }));
  ASSERT_TRUE(recorder.fetched.at(71)) << recorder.fetched.at(71).error().message;
  EXPECT_EQ(recorder.fetched.at(71)->value, "one");
  EXPECT_EQ(recorder.fetched.at(71)->appended, one.appended);
  ASSERT_FALSE(recorder.fetched.at(72));
  EXPECT_EQ(recorder.fetched.at(72).error().errc, Errc::not_found);
  EXPECT_TRUE(recorder.events.empty()) << "a fetch is no consumption";
}

TEST_P(LogContract, AppendTimesNeverFallBackAndFindTheirOffset) {
  Recorder recorder;
  auto log = joined(recorder);
  LogTime last{};
  for (int i = 0; i < 50; ++i) {
    const Appended answer = append(*log, recorder, event(0, "acme", std::to_string(i)));
    EXPECT_GE(answer.appended, last);
    last = answer.appended;
  }
  auto client = log_->client();
  const auto all = all_of(*client, Topic::events, 0);
  ASSERT_EQ(all.size(), 50u);
  auto found = client->offset_at(Topic::events, 0, all[30].appended);
  ASSERT_TRUE(found) << found.error().message;
  const auto at = static_cast<std::size_t>(*found - all[0].offset);
  ASSERT_LE(at, 30u);
  EXPECT_EQ(all[at].appended, all[30].appended);
  if (at > 0) {
    EXPECT_LT(all[at - 1].appended, all[30].appended);
  }
  auto none = client->offset_at(Topic::events, 0, last + std::chrono::hours(1));
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_EQ(*none, all.back().offset + 1);
}

TEST_P(LogContract, RetentionTakesTheOldEnd) {
  Recorder recorder;
  auto log = joined(recorder);
  const Appended first = append(*log, recorder, record(Topic::attempts, 1, "d", "0"));
  for (int i = 1; i < 5; ++i) append(*log, recorder, record(Topic::attempts, 1, "d", std::to_string(i)));
  auto client = log_->client();
  const auto deadline = Clock::now() + 2 * log_->patience();
  LogClient::Extent extent;
  do {
    if (!log_->nudge_retention(Topic::attempts, 1)) GTEST_SKIP() << "cannot be shown on this log";
    Recorder ignored;
    pump(
        *log, ignored, [] { return false; }, std::chrono::milliseconds(20));
    extent = client->extent(Topic::attempts, 1).value_or(LogClient::Extent{});
  } while (extent.begin <= first.offset && Clock::now() < deadline);
  EXPECT_GT(extent.begin, first.offset);
  EXPECT_GE(extent.end, first.offset + 5) << "offsets are never given twice";
  auto gone = client->fetch(Topic::attempts, 1, first.offset);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().errc, Errc::not_found);
  const Appended next = append(*log, recorder, record(Topic::attempts, 1, "d", "5"));
  EXPECT_GE(next.offset, first.offset + 5);
}

TEST_P(LogContract, TopicsAndPartitionsAreApart) {
  Recorder recorder;
  auto log = joined(recorder);
  const std::pair<Topic, Partition> places[] = {
      {Topic::events, 0},   {Topic::events, 1},       {Topic::parked, 0}, {Topic::attempts, 0},
      {Topic::health, 0},   {Topic::dead_letters, 0}, {Topic::audit, 0},  {Topic::keys, 0},
      {Topic::requests, 0}, {Topic::replays, 0}};
  std::vector<Appended> answers;
  for (const auto& [topic, partition] : places)
    answers.push_back(append(*log, recorder, record(topic, partition, "k", std::string(name_of(topic)))));
  auto client = log_->client();
  for (std::size_t i = 0; i < std::size(places); ++i) {
    const auto& [topic, partition] = places[i];
    ASSERT_EQ(answers[i].status, Status::acknowledged) << name_of(topic);
    const auto all = all_of(*client, topic, partition);
    ASSERT_EQ(all.size(), 1u) << name_of(topic);
    EXPECT_EQ(all[0].value, name_of(topic));
    EXPECT_EQ(all[0].topic, topic);
    EXPECT_EQ(all[0].partition, partition);
  }
  EXPECT_EQ(client->partitions(Topic::events).value_or(0), log_->partitions());
  EXPECT_EQ(client->partitions(Topic::parked).value_or(0), log_->partitions());
  EXPECT_EQ(client->partitions(Topic::endpoints).value_or(0), 1);
  EXPECT_EQ(log->partitions(), log_->partitions());
}

// The owner that lost a partition must not move its offset: the next one would skip what was never settled.
TEST_P(LogContract, ACommitAfterTheReleaseIsRefused) {
  Recorder old_recorder, new_recorder;
  auto old_owner = joined(old_recorder);
  for (Partition p = 0; p < log_->partitions(); ++p)
    for (int i = 0; i < 8; ++i) append(*old_owner, old_recorder, event(p, "acme", std::to_string(i)));
  std::map<Partition, Offset> begin;
  for (const Assignment& each : old_recorder.assigned) begin[each.partition] = each.events_begin;

  old_recorder.on_revoked_do = [&](std::span<const Partition> revoked) {
    for (Partition p : revoked) old_owner->commit(p, begin[p] + 4, "drained");
  };
  auto new_owner = log_->shard();
  new_owner->join();
  // A rebalance needs both members to poll.
  const auto both_until = [&](const std::function<bool()>& done) {
    return pump_until(*old_owner, old_recorder, [&] {
      new_owner->poll(new_recorder, 1000);
      return done();
    });
  };
  ASSERT_TRUE(both_until([&] { return !old_recorder.revoked.empty(); })) << "nothing was revoked";
  const std::vector<Partition> revoked = old_recorder.revoked;
  ASSERT_TRUE(both_until([&] { return old_recorder.committed.size() >= revoked.size(); }));
  for (const auto& each : old_recorder.committed) EXPECT_TRUE(each.acknowledged) << "the drain's own commit";

  old_owner->release(revoked);
  old_recorder.committed.clear();
  for (Partition p : revoked) old_owner->commit(p, begin[p] + 7, "too late");
  ASSERT_TRUE(both_until([&] { return old_recorder.committed.size() >= revoked.size(); }));
  for (const auto& each : old_recorder.committed) EXPECT_FALSE(each.acknowledged) << each.partition;

  ASSERT_TRUE(both_until([&] { return !new_recorder.assigned.empty(); })) << "nothing was handed over";
  for (const Assignment& each : new_recorder.assigned) {
    EXPECT_EQ(each.committed, begin[each.partition] + 4) << each.partition;
    EXPECT_EQ(each.metadata, "drained");
  }
}

// Unacknowledged is what no on_appended has answered: an owner that does not poll cannot fill the memory.
TEST_P(LogContract, AppendsAreBoundedAndRecover) {
  Recorder recorder;
  auto log = joined(recorder);
  const std::string body(16 * 1024, 'x');
  std::uint64_t sent = 0;
  constexpr std::uint64_t kAtMost = 256 * 1024 * 1024 / (16 * 1024);
  while (log->can_append(body.size()) && sent < kAtMost) {
    log->append(event(0, "acme", body), ++sent);
  }
  ASSERT_LT(sent, kAtMost) << "no bound on what is unacknowledged";
  ASSERT_GE(sent, 8u);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.appended.size() >= sent; }));
  for (const auto& [token, answer] : recorder.appended)
    ASSERT_EQ(answer.status, Status::acknowledged) << token << ": " << answer.error.message;
  EXPECT_TRUE(log->can_append(body.size()));
}

TEST_P(LogContract, WhileHeldNoEventIsHandedOverAndNoneIsLost) {
  Recorder recorder;
  auto log = joined(recorder);
  for (int i = 0; i < 300; ++i) log->append(event(0, "acme", std::to_string(i)), next_token_++);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.appended.size() >= 300; }));
  log->begin(0, recorder.assignment(0)->events_begin);
  ASSERT_TRUE(pump(
      *log, recorder, [&] { return recorder.events.size() >= 20; }, log_->patience(), 20));
  const std::size_t before = recorder.events.size();
  ASSERT_LT(before, 300u) << "poll() must keep to about the number it was given";

  log->hold(true);
  log->tail(Topic::parked, 0, 0);
  append(*log, recorder, record(Topic::parked, 0, "k", "tails go on"));
  log->ask_end(Topic::events, 0);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return !recorder.tails.empty() && !recorder.ends.empty(); }));
  pump(
      *log, recorder, [&] { return recorder.events.size() > before; }, std::chrono::milliseconds(200));
  EXPECT_EQ(recorder.events.size(), before) << "handed over while held";

  log->hold(false);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.events.size() >= 300; }));
  ASSERT_EQ(recorder.events.size(), 300u);
  for (int i = 0; i < 300; ++i)
    ASSERT_EQ(recorder.events[static_cast<std::size_t>(i)].value, std::to_string(i));
}

TEST_P(LogContract, CarriesARecordOfOneMebibyte) {
  Recorder recorder;
  auto log = joined(recorder);
  std::string big(1024 * 1024, '\0');
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 + i / 997);
  const Appended answer = append(*log, recorder, event(0, "acme", big));
  ASSERT_EQ(answer.status, Status::acknowledged) << answer.error.message;
  log->begin(0, recorder.assignment(0)->events_begin);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return !recorder.events.empty(); }));
  EXPECT_TRUE(recorder.events[0].value == big);
}

TEST_P(LogContract, RefusesARecordThatIsTooLargeAndGoesOn) {
  Recorder recorder;
  auto log = joined(recorder);
  const Appended answer = append(*log, recorder, event(0, "acme", std::string(log_->too_large_bytes(), 'x')));
  EXPECT_EQ(answer.status, Status::refused);
  EXPECT_FALSE(answer.error.code.empty());
  EXPECT_EQ(append(*log, recorder, event(0, "acme", "small")).status, Status::acknowledged);
}

// What a record means is flow's affair: the log carries any bytes, and none stops it.
TEST_P(LogContract, CarriesPoisonedRecordsAsTheyAre) {
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte.push_back(static_cast<char>(i));
  std::vector<NewRecord> poison;
  poison.push_back(event(0, "acme", every_byte));
  poison.push_back(record(Topic::events, 0, "acme", std::nullopt));
  poison.push_back(event(0, "", "no key"));
  poison.push_back(event(0, "acme", ""));
  poison.push_back(event(0, every_byte, "a key of every byte"));
  NewRecord many = event(0, "acme", "many headers");
  for (int i = 0; i < 200; ++i) many.headers.push_back({"h" + std::to_string(i % 7), every_byte});
  many.headers.push_back({"empty", ""});
  poison.push_back(many);
  poison.push_back(event(0, "acme", "and on"));

  Recorder recorder;
  auto log = joined(recorder);
  for (const NewRecord& each : poison) ASSERT_EQ(append(*log, recorder, each).status, Status::acknowledged);
  log->begin(0, recorder.assignment(0)->events_begin);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.events.size() >= poison.size(); }));
  for (std::size_t i = 0; i < poison.size(); ++i) {
    EXPECT_EQ(recorder.events[i].key, poison[i].key) << i;
    EXPECT_EQ(recorder.events[i].value, poison[i].value) << i;
    EXPECT_EQ(recorder.events[i].headers, poison[i].headers) << i;
  }
  EXPECT_TRUE(recorder.errors.empty());
}

TEST_P(LogContract, AnEndLiesAboveAllThatWasAcknowledgedBefore) {
  Recorder recorder;
  auto log = joined(recorder);
  for (int i = 0; i < 20; ++i) {
    const Appended answer = append(*log, recorder, record(Topic::endpoints, 0, "k", std::to_string(i)));
    recorder.ends.clear();
    log->ask_end(Topic::endpoints, 0);
    ASSERT_TRUE(pump_until(*log, recorder, [&] { return !recorder.ends.empty(); }));
    ASSERT_EQ(recorder.ends[0].end, answer.offset + 1);
    EXPECT_GT(to_ms(recorder.ends[0].asked_at), 0);
  }
}

TEST_P(LogContract, WakesItsOwnerWhenAnAnswerIsThere) {
  Recorder recorder;
  auto log = joined(recorder);
  ASSERT_GE(log->wake_fd(), 0);
  log->begin(0, recorder.assignment(0)->events_begin);
  for (int i = 0; i < 20; ++i) {
    while (log->poll(recorder, 1000) > 0) {
    }
    const auto token = next_token_++;
    log->append(event(0, "acme", "x"), token);
    const auto deadline = Clock::now() + log_->patience();
    // No timeout of ours rescues a lost wake-up: each sleep must end by the descriptor.
    while (!recorder.appended.contains(token) && Clock::now() < deadline) {
      pollfd ready{log->wake_fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&ready, 1, static_cast<int>(log_->patience().count())), 1) << "never woken";
      log->poll(recorder, 1000);
    }
    ASSERT_TRUE(recorder.appended.contains(token));
  }
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.events.size() >= 20; }));
}

// A shard hands each poll() only what its window has room for, and then sleeps on the descriptor.
TEST_P(LogContract, StaysReadableWhileThereIsMoreToHandOver) {
  Recorder recorder;
  auto log = joined(recorder);
  for (int i = 0; i < 100; ++i) log->append(event(0, "acme", "x"), next_token_++);
  ASSERT_TRUE(pump_until(*log, recorder, [&] { return recorder.appended.size() >= 100; }));
  log->begin(0, recorder.assignment(0)->events_begin);
  const auto deadline = Clock::now() + log_->patience();
  while (recorder.events.size() < 100 && Clock::now() < deadline) {
    pollfd ready{log->wake_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&ready, 1, static_cast<int>(log_->patience().count())), 1)
        << "asleep with " << recorder.events.size() << " of 100 handed over";
    log->poll(recorder, 7);
  }
  EXPECT_EQ(recorder.events.size(), 100u);
}

TEST_P(LogContract, AClientAppendsScansAndStopsWhereItIsTold) {
  auto client = log_->client();
  Offset first = 0;
  for (int i = 0; i < 10; ++i) {
    auto answer = client->append(record(Topic::audit, 0, "acme", std::to_string(i)));
    ASSERT_TRUE(answer) << answer.error().message;
    ASSERT_EQ(answer->status, Status::acknowledged);
    if (i == 0) first = answer->offset;
  }
  std::vector<std::string> seen;
  auto scanned = client->scan(Topic::audit, 0, first + 2, first + 8, [&](const Record& each) {
    seen.push_back(*each.value);
    return seen.size() < 4;
  });
  ASSERT_TRUE(scanned) << scanned.error().message;
  EXPECT_EQ(seen, (std::vector<std::string>{"2", "3", "4", "5"}));
  seen.clear();
  ASSERT_TRUE(client->scan(Topic::audit, 0, first + 8, first + 10, [&](const Record& each) {
    seen.push_back(*each.value);
    return true;
  }));
  EXPECT_EQ(seen, (std::vector<std::string>{"8", "9"}));
  EXPECT_EQ(client->extent(Topic::audit, 0)->end, first + 10);
  auto beyond = client->fetch(Topic::audit, 0, first + 10);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().errc, Errc::not_found);
}

}  // namespace
}  // namespace postrider::log_test
