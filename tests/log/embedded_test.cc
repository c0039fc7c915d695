#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/core/registry.h"
#include "engine/embedded/log_directory.h"
#include "engine/wire/codec.h"
#include "tests/log/embedded_fixture.h"

// RocksDB's calls of it come here, before libc's: counts the syncs of this program.
static std::atomic<int> syncs{0};
extern "C" int fdatasync(int descriptor) {
  ++syncs;
  return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}

// What the embedded log promises beyond the contract: its directory, its clock, what its cleaner spares, its
// cipher.
namespace postrider::log_test {
namespace {

namespace fs = std::filesystem;
using Status = Appended::Status;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool stands_in_files(const std::string& directory, const std::string& canary) {
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file() && contents(entry.path()).find(canary) != std::string::npos) return true;
  return false;
}

Offset appended(LogClient& client, NewRecord what) {
  auto answer = client.append(std::move(what));
  EXPECT_TRUE(answer && answer->status == Status::acknowledged);
  return answer ? answer->offset : -1;
}

Offset begin_of(EmbeddedFixture& log, Topic topic, Partition partition) {
  return log.client()->extent(topic, partition)->begin;
}

// Commits as the group's member.
void commit(EmbeddedFixture& log, Partition partition, Offset next) {
  Recorder recorder;
  auto shard = log.shard();
  shard->join();
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.assigned.empty(); }, log.patience()));
  shard->commit(partition, next, "");
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.committed.empty(); }, log.patience()));
  ASSERT_TRUE(recorder.committed[0].acknowledged);
}

std::string parked_at(Offset offset) {
  ParkedState state;
  state.delivery.id = DeliveryId("dlv_0_" + std::to_string(offset));
  state.delivery.position = {0, offset};
  return wire::encode(Environment("development"), state);
}

TEST(EmbeddedLog, ItsIdentityIsTheFirstRecordOfTheRegistryAndStays) {
  EmbeddedFixture log;
  const LogIdentity identity = log.log().identity();
  EXPECT_TRUE(identity.str().starts_with("log_")) << identity.str();
  auto first = log.client()->fetch(Topic::endpoints, 0, 0);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->key, kIdentityKey);
  auto fact = wire::decode_registry(Environment("development"), *first->value);
  ASSERT_TRUE(fact) << fact.error().message;
  ASSERT_TRUE(std::holds_alternative<IdentityFact>(*fact));
  EXPECT_EQ(std::get<IdentityFact>(*fact).identity, identity);
  log.reopen();
  EXPECT_EQ(log.log().identity(), identity);
  EXPECT_EQ(log.client()->extent(Topic::endpoints, 0)->end, 1);
  EXPECT_NE(EmbeddedFixture().log().identity(), identity);
}

TEST(EmbeddedLog, IsOneProcessesAlone) {
  EmbeddedFixture log;
  auto second = log.open();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "LOG_LOCKED");
  EXPECT_EQ(second.error().errc, Errc::conflict);
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  EXPECT_FALSE(second.error().suggestion.empty());
  log.close();
  EXPECT_TRUE(log.open());
}

TEST(EmbeddedLog, RefusesAnotherEnvironmentsDirectory) {
  EmbeddedFixture log;
  log.close();
  log.options().environment = Environment("production");
  auto other = log.open();
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, "ENVIRONMENT_MISMATCH");
  EXPECT_NE(other.error().message.find("\"development\""), std::string::npos) << other.error().message;
}

TEST(EmbeddedLog, RefusesAVersionItDoesNotKnow) {
  EmbeddedFixture log;
  log.close();
  std::string about = contents(log.directory() + "/about");
  about.replace(about.find("version 1"), 9, "version 2");
  std::ofstream(log.directory() + "/about", std::ios::binary) << about;
  auto opened = log.open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "LOG_VERSION_UNKNOWN");
}

TEST(EmbeddedLog, RefusesALogWhoseDescriptionIsGone) {
  EmbeddedFixture log;
  log.close();
  fs::remove(log.directory() + "/about");
  auto opened = log.open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "LOG_DAMAGED");
  EXPECT_TRUE(fs::exists(log.directory() + "/db/CURRENT")) << "nothing may be made anew over it";
}

TEST(EmbeddedLog, MakesAgainWhatWasInterruptedInTheMaking) {
  EmbeddedFixture log;
  log.close();
  // As a crash leaves it between RocksDB's first files and the word "ready".
  const std::string path = log.directory() + "/about";
  auto about = embedded::decode_about(contents(path));
  ASSERT_TRUE(about);
  about->ready = false;
  std::ofstream(path, std::ios::binary) << embedded::encode_about(*about);
  fs::remove(log.directory() + "/db/CURRENT");
  log.reopen();
  EXPECT_NE(log.log().identity(), about->identity);
  appended(*log.client(), event(0, "acme", "x"));
}

TEST(EmbeddedLog, KeepsItsOwnNumberOfPartitions) {
  EmbeddedFixture log;
  log.options().partitions = 9;
  log.reopen();
  EXPECT_EQ(log.partitions(), 3);
}

TEST(EmbeddedLog, ItsClockNeverFallsBelowItsLastAppend) {
  EmbeddedFixture log;
  auto client = log.client();
  const auto before = client->append(event(0, "acme", "1"))->appended;
  client.reset();
  log.set_wall(1'000'000'000'000);  // a host whose clock fell back by years
  log.reopen();
  client = log.client();
  const auto after = client->append(event(1, "acme", "2"))->appended;
  EXPECT_GE(after, before);
  EXPECT_LT(after, before + std::chrono::minutes(10));
}

TEST(EmbeddedLog, AWallClockThatIsSetWhileItRunsMovesNothing) {
  EmbeddedFixture log;
  auto client = log.client();
  const auto before = client->append(event(0, "acme", "1"))->appended;
  log.set_wall(to_ms(before) + 1'000'000'000);
  log.advance(std::chrono::seconds(90));
  const auto after = client->append(event(0, "acme", "2"))->appended;
  EXPECT_GE(after, before + std::chrono::seconds(90));
  EXPECT_LT(after, before + std::chrono::minutes(10));
}

TEST(EmbeddedRetention, NeverTakesAnEventThatNobodyHasConsumed) {
  EmbeddedFixture log;
  auto client = log.client();
  for (int i = 0; i < 5; ++i) appended(*client, event(0, "acme", std::to_string(i)));
  log.clean_after(std::chrono::hours(24 * 400));
  EXPECT_EQ(begin_of(log, Topic::events, 0), 0);
  commit(log, 0, 3);
  log.clean_after(Millis(0));
  EXPECT_EQ(begin_of(log, Topic::events, 0), 3) << "at or above the watermark all stays";
  EXPECT_EQ(client->fetch(Topic::events, 0, 3)->value, "3");
  EXPECT_FALSE(client->fetch(Topic::events, 0, 2));
}

TEST(EmbeddedRetention, KeepsWhatIsYoungEnough) {
  EmbeddedFixture log;
  auto client = log.client();
  appended(*client, event(0, "acme", "old"));
  log.advance(std::chrono::hours(100));
  appended(*client, event(0, "acme", "young"));
  commit(log, 0, 2);
  log.clean_after(std::chrono::hours(21));
  EXPECT_EQ(begin_of(log, Topic::events, 0), 1);
}

TEST(EmbeddedRetention, NeverTakesAnEventThatAParkedDeliveryNames) {
  EmbeddedFixture log;
  auto client = log.client();
  for (int i = 0; i < 6; ++i) appended(*client, event(0, "acme", std::to_string(i)));
  appended(*client, record(Topic::parked, 0, "owner", wire::encode(Environment("development"), OwnerMark{})));
  appended(*client, record(Topic::parked, 0, "d1", parked_at(1)));
  appended(*client, record(Topic::parked, 0, "d2", parked_at(2)));
  commit(log, 0, 6);
  log.clean_after(std::chrono::hours(24 * 10));
  EXPECT_EQ(begin_of(log, Topic::events, 0), 1);
  appended(*client, record(Topic::parked, 0, "d1", std::nullopt));
  log.clean_after(Millis(0));
  EXPECT_EQ(begin_of(log, Topic::events, 0), 2);
  appended(*client, record(Topic::parked, 0, "d2", std::nullopt));
  log.clean_after(Millis(0));
  EXPECT_EQ(begin_of(log, Topic::events, 0), 6);
  EXPECT_EQ(log.client()->extent(Topic::events, 0)->end, 6);
  log.reopen();
  EXPECT_EQ(begin_of(log, Topic::events, 0), 6);
  client = log.client();
  EXPECT_EQ(appended(*client, event(0, "acme", "next")), 6) << "an offset was given twice";
}

TEST(EmbeddedRetention, TakesNothingWhileAParkedStateCannotBeRead) {
  EmbeddedFixture log;
  auto client = log.client();
  appended(*client, event(0, "acme", "0"));
  appended(*client, record(Topic::attempts, 0, "d", "old"));
  appended(*client, record(Topic::parked, 0, "d1", "\xff\xff garbage"));
  commit(log, 0, 1);
  log.advance(std::chrono::hours(24 * 40));
  const auto cleaned = log.log().clean();
  ASSERT_FALSE(cleaned);
  EXPECT_EQ(cleaned.error().errc, Errc::corrupt);
  EXPECT_EQ(begin_of(log, Topic::events, 0), 0);
  EXPECT_EQ(begin_of(log, Topic::attempts, 0), 1) << "the other topics need not wait";
}

TEST(EmbeddedCompaction, ARecordIsSafeUntilWhatSupersedesItIsOldEnough) {
  EmbeddedFixture log;
  auto client = log.client();
  const Offset old = appended(*client, record(Topic::parked, 0, "k", "old"));
  log.advance(std::chrono::hours(1));
  appended(*client, record(Topic::parked, 0, "k", "new"));
  log.clean_after(std::chrono::minutes(9));
  EXPECT_TRUE(client->fetch(Topic::parked, 0, old)) << "its successor is younger than the lag";
  log.clean_after(std::chrono::minutes(2));
  EXPECT_FALSE(client->fetch(Topic::parked, 0, old));
}

TEST(EmbeddedCompaction, ATombstoneStaysADayAndThenGoesWithoutATrace) {
  EmbeddedFixture log;
  auto client = log.client();
  const Offset value = appended(*client, record(Topic::parked, 0, "k", "v"));
  const Offset tombstone = appended(*client, record(Topic::parked, 0, "k", std::nullopt));
  const Offset last = appended(*client, record(Topic::parked, 0, "l", std::nullopt));
  log.clean_after(std::chrono::hours(23));
  EXPECT_FALSE(client->fetch(Topic::parked, 0, value));
  EXPECT_TRUE(client->fetch(Topic::parked, 0, tombstone));
  log.clean_after(std::chrono::hours(2));
  EXPECT_FALSE(client->fetch(Topic::parked, 0, tombstone));
  EXPECT_TRUE(client->fetch(Topic::parked, 0, last)) << "who reads to the end must get there";
  EXPECT_EQ(client->extent(Topic::parked, 0)->end, last + 1);
  log.reopen();
  client = log.client();
  EXPECT_EQ(appended(*client, record(Topic::parked, 0, "k", "again")), last + 1);
}

// A tail that stands before the hole that compaction left passes over it, and gets to the end.
TEST(EmbeddedCompaction, ATailPassesOverWhatIsGone) {
  EmbeddedFixture log;
  Recorder recorder;
  auto shard = log.shard();
  auto client = log.client();
  appended(*client, record(Topic::parked, 0, "k", "v"));
  appended(*client, record(Topic::parked, 0, "k", std::nullopt));
  const Offset last = appended(*client, record(Topic::parked, 0, "l", std::nullopt));
  log.clean_after(std::chrono::hours(48));
  shard->tail(Topic::parked, 0, 0);
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.tails.empty(); }, log.patience()));
  EXPECT_EQ(recorder.tails[0].offset, last);
  EXPECT_EQ(shard->poll(recorder, 10), 0u);
  appended(*client, record(Topic::parked, 0, "k2", "v2"));
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return recorder.tails.size() > 1; }, log.patience()));
  EXPECT_EQ(recorder.tails[1].value, "v2");
}

TEST(EmbeddedCompaction, ADestroyedKeyIsNoLongerReadableInTheFiles) {
  EmbeddedFixture log;
  auto client = log.client();
  const std::string wrapped = "CANARY-wrapped-key-0123456789";
  appended(*client, record(Topic::keys, 0, "acme/key_1", wrapped));
  appended(*client, record(Topic::keys, 0, "acme/key_2", "another"));
  ASSERT_TRUE(stands_in_files(log.directory(), wrapped)) << "the search itself must be able to find it";
  appended(*client, record(Topic::keys, 0, "acme/key_1", "destroyed"));
  log.clean_after(std::chrono::minutes(1));
  EXPECT_FALSE(stands_in_files(log.directory(), wrapped));
  EXPECT_EQ(client->fetch(Topic::keys, 0, 1)->value, "another");
}

TEST(EmbeddedCipher, NeitherValueNorHeadersOfAnEventCanBeReadInTheDirectory) {
  FlippingCipher cipher;
  EmbeddedFixture log(&cipher);
  auto client = log.client();
  NewRecord what = event(0, "acme", "CANARY-in-the-value");
  what.headers = {{"ce_subject", "CANARY-in-a-header"}};
  appended(*client, what);
  appended(*client, record(Topic::audit, 0, "acme", "a line that may be read"));
  EXPECT_EQ(client->fetch(Topic::events, 0, 0)->headers, what.headers);
  ASSERT_TRUE(stands_in_files(log.directory(), "a line that may be read"));
  EXPECT_FALSE(stands_in_files(log.directory(), "CANARY"));
  client.reset();
  log.reopen();
  EXPECT_FALSE(stands_in_files(log.directory(), "CANARY"));
  EXPECT_EQ(log.client()->fetch(Topic::events, 0, 0)->value, "CANARY-in-the-value");
}

TEST(EmbeddedCipher, ARecordThatDoesNotOpenStopsItsPartitionAndIsNotPassedOver) {
  FlippingCipher cipher;
  EmbeddedFixture log(&cipher);
  auto client = log.client();
  appended(*client, event(0, "acme", "first"));
  appended(*client, event(0, "acme", "second"));
  Recorder recorder;
  auto shard = log.shard();
  cipher.broken = true;
  shard->begin(0, 0);
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.errors.empty(); }, log.patience()));
  EXPECT_EQ(recorder.errors[0].code, "SEAL_BROKEN");
  cipher.broken = false;
  pump(
      *shard, recorder, [&] { return !recorder.events.empty(); }, std::chrono::milliseconds(50));
  EXPECT_TRUE(recorder.events.empty());
  EXPECT_EQ(recorder.errors.size(), 1u) << "said once";
}

TEST(EmbeddedCipher, AKeyServiceThatIsDownDelaysAndLosesNothing) {
  FlippingCipher cipher;
  EmbeddedFixture log(&cipher);
  auto client = log.client();
  appended(*client, event(0, "acme", "first"));
  Recorder recorder;
  auto shard = log.shard();
  cipher.away = true;
  shard->begin(0, 0);
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.errors.empty(); }, log.patience()));
  shard->append(event(0, "acme", "second"), 1);
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return recorder.appended.contains(1); }, log.patience()));
  EXPECT_EQ(recorder.appended[1].status, Status::unknown) << "to be appended again";
  cipher.away = false;
  log.advance(std::chrono::seconds(2));
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.events.empty(); }, log.patience()));
  EXPECT_EQ(recorder.events[0].value, "first");
  EXPECT_EQ(client->extent(Topic::events, 0)->end, 1);
}

TEST(EmbeddedLog, ReadingOutsideWhatIsThereIsSaidAndHandsOverNothing) {
  EmbeddedFixture log;
  auto client = log.client();
  for (int i = 0; i < 3; ++i) appended(*client, event(0, "acme", std::to_string(i)));
  commit(log, 0, 2);
  log.clean_after(std::chrono::hours(24 * 10));
  for (const Offset from : {Offset{1}, Offset{4}}) {
    Recorder recorder;
    auto shard = log.shard();
    shard->begin(0, from);
    ASSERT_TRUE(pump(
        *shard, recorder, [&] { return !recorder.errors.empty(); }, log.patience()))
        << from;
    EXPECT_EQ(recorder.errors[0].code, "OFFSET_OUT_OF_RANGE");
    EXPECT_TRUE(recorder.events.empty());
  }
}

TEST(EmbeddedLog, AMemberThatDoesNotReleaseLosesItsPartitionsAndItsCommits) {
  EmbeddedFixture log;
  Recorder old_recorder, new_recorder;
  auto old_owner = log.shard(), new_owner = log.shard();
  old_owner->join();
  ASSERT_TRUE(pump(
      *old_owner, old_recorder, [&] { return !old_recorder.assigned.empty(); }, log.patience()));
  new_owner->join();
  ASSERT_TRUE(pump(
      *old_owner, old_recorder, [&] { return !old_recorder.revoked.empty(); }, log.patience()));
  EXPECT_FALSE(old_recorder.lost);
  log.advance(std::chrono::seconds(6));
  // Whatever is asked next wakes the writer, which then looks at its clock.
  old_owner->append(event(0, "acme", "x"), 1);
  ASSERT_TRUE(pump(
      *new_owner, new_recorder, [&] { return !new_recorder.assigned.empty(); }, log.patience()));
  old_owner->commit(0, 1, "too late");
  ASSERT_TRUE(pump(
      *old_owner, old_recorder, [&] { return !old_recorder.committed.empty(); }, log.patience()));
  EXPECT_TRUE(old_recorder.lost);
  EXPECT_FALSE(old_recorder.committed[0].acknowledged);
}

TEST(EmbeddedLog, EachShareOfThePartitionsHasAnOwnerOfItsOwn) {
  EmbeddedFixture log;
  log.options().shares = 2;
  log.reopen();
  const auto taken = [&](Log& shard, Recorder& recorder) {
    EXPECT_TRUE(pump(
        shard, recorder, [&] { return !recorder.assigned.empty(); }, log.patience()));
    std::vector<Partition> partitions;
    for (const Assignment& each : recorder.assigned) partitions.push_back(each.partition);
    return partitions;
  };
  Recorder even_recorder, odd_recorder, heir_recorder;
  auto even = log.log().shard(0), odd = log.log().shard(1), heir = log.log().shard(1);
  even->join();
  odd->join();
  EXPECT_EQ(taken(*even, even_recorder), (std::vector<Partition>{0, 2}));
  EXPECT_EQ(taken(*odd, odd_recorder), std::vector<Partition>{1});
  // Nobody commits what is another share's.
  even->commit(1, 1, "");
  ASSERT_TRUE(pump(
      *even, even_recorder, [&] { return !even_recorder.committed.empty(); }, log.patience()));
  EXPECT_FALSE(even_recorder.committed[0].acknowledged);
  // Who takes over takes over one share alone.
  heir->join();
  odd.reset();
  EXPECT_EQ(taken(*heir, heir_recorder), std::vector<Partition>{1});
  even->commit(2, 1, "");
  ASSERT_TRUE(pump(
      *even, even_recorder, [&] { return even_recorder.committed.size() == 2; }, log.patience()));
  EXPECT_TRUE(even_recorder.committed[1].acknowledged);
  EXPECT_TRUE(even_recorder.revoked.empty());
}

// SIGKILL cannot tell a synced write from one that the kernel still holds; a power cut can.
TEST(EmbeddedLog, NothingIsAcknowledgedBeforeASync) {
  EmbeddedFixture log;
  auto client = log.client();
  for (int i = 0; i < 20; ++i) {
    const int before = syncs;
    appended(*client, event(0, "acme", "x"));
    ASSERT_GT(syncs, before);
  }
  Recorder recorder;
  auto shard = log.shard();
  shard->join();
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.assigned.empty(); }, log.patience()));
  const int before = syncs;
  shard->commit(0, 1, "");
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.committed.empty(); }, log.patience()));
  EXPECT_GT(syncs, before);
}

TEST(EmbeddedLog, AppendsThatComeTogetherShareASync) {
  EmbeddedFixture log;
  Recorder recorder;
  auto shard = log.shard();
  const int syncs_before = syncs;
  const auto started = Clock::now();
  constexpr std::uint64_t kRecords = 5000;
  for (std::uint64_t sent = 0; sent < kRecords;) {
    ASSERT_TRUE(pump(
        *shard, recorder, [&] { return shard->can_append(1024); }, log.patience()));
    shard->append(event(0, "acme", std::string(1024, 'x')), ++sent);
  }
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return recorder.appended.size() == kRecords; }, log.patience()));
  const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
  EXPECT_LT(syncs - syncs_before, static_cast<int>(kRecords) / 10);
  std::printf("    %d records of 1 KiB a second, each synced before it is acknowledged\n",
              static_cast<int>(kRecords / seconds));
}

}  // namespace
}  // namespace postrider::log_test
