#include <gtest/gtest.h>

#include <algorithm>

#include "engine/core/bytes.h"
#include "engine/wire/codec.h"
#include "tests/flow/world.h"

// The index of first positions (DESIGN §4, "Repeat"): a repeat is dropped across restarts and takeovers, and
// nothing else is. Until the index is whole again a repeat may be delivered.
namespace postrider::world {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

std::size_t arrived(const World& world, const std::string& id) {
  const std::string webhook = webhook_id(kTenant, "/shop", id).str();
  return static_cast<std::size_t>(
      std::count_if(world.transport.arrivals.begin(), world.transport.arrivals.end(),
                    [&](const Arrival& arrival) { return arrival.header("webhook-id") == webhook; }));
}

void publish_and_settle(World& world, const std::string& id, const std::string& type = "order.created") {
  const Position at = world.publish(id, type);
  ASSERT_TRUE(world.run_until([&] { return world.committed() > at.offset; }, minutes(1))) << id;
}

// No more at a time than a queue takes.
void publish_many(World& world, const std::string& name, int count) {
  for (int i = 0; i < count; i += 500) {
    for (int j = i; j < i + 500; ++j) world.publish(name + std::to_string(j));
    ASSERT_TRUE(world.run_until([&] { return world.committed() == i + 500; }, minutes(1)));
  }
}

void release(World& world, Instance& instance) {
  instance.log->released.clear();
  instance.log->revoke({0});
  ASSERT_TRUE(world.run_until([&] { return !instance.log->released.empty(); }, seconds(5)));
}

void give(World& world, Instance& instance) {
  ASSERT_TRUE(world.run_until([&] { return instance.log->joined; }, seconds(5)));
  instance.log->assign({0});
  world.run(Millis(300));
}

// To an instance that never held the partition.
Instance& take_over(World& world) {
  for (auto& instance : world.instances) release(world, *instance);
  Instance& next = world.add_instance();
  give(world, next);
  return next;
}

bool whole(const Instance& instance) {
  return instance.observer.last.repeat_index.size() == 1 &&
         instance.observer.last.repeat_index.front().complete;
}

bool becomes_whole(World& world, const Instance& instance) {
  return world.run_until([&] { return whole(instance); }, minutes(1));
}

Readiness readiness(Instance& instance) {
  Readiness ready;
  instance.shard->service().readiness([&](Result<Readiness> answer) { ready = *answer; });
  return ready;
}

TEST(Firsts, AreKnownAfterARestart) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  world.one().restart();
  give(world, world.one());
  EXPECT_TRUE(becomes_whole(world, world.one()));
  EXPECT_TRUE(world.one().log->tailed[Topic::attempts].empty()) << "nobody else had it: nothing is read back";
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 1u);
  EXPECT_EQ(world.one().observer.repeats, 1);
}

TEST(Firsts, AreNoRepeatsOfThemselvesWhenTheyAreReadAgain) {
  World world;
  world.begin();
  world.declare("main");
  world.one().log->commits_succeed = false;
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return arrived(world, "e1") == 1; }));
  world.run(seconds(1));
  ASSERT_FALSE(world.one().store.rows[Family::repeats].empty()) << "settled, and not committed";
  world.one().restart();
  give(world, world.one());
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  EXPECT_EQ(world.one().observer.repeats, 0);
}

TEST(Firsts, AreBuiltAgainByAnInstanceThatNeverHeldThePartition) {
  World world;
  world.begin();
  world.declare("main");
  for (int i = 0; i < 20; ++i) publish_and_settle(world, "e" + std::to_string(i));
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  publish_and_settle(world, "e7");
  EXPECT_EQ(arrived(world, "e7"), 1u);
  EXPECT_EQ(second.observer.repeats, 1);
  EXPECT_EQ(second.observer.perhaps_repeats, 0);
}

TEST(Firsts, OfALostViewAreBuiltAgain) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  world.one().store.rows.clear();
  world.one().restart();
  give(world, world.one());
  ASSERT_TRUE(becomes_whole(world, world.one()));
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 1u);
}

TEST(Firsts, ThatAreNotKnownYetMakeARepeatADelivery) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  world.run(minutes(2));
  Instance& second = take_over(world);
  second.log->ends_answered = false;  // for the registry too: it is fresh for two seconds yet
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return arrived(world, "e1") == 2; }, seconds(1)));
  EXPECT_EQ(second.observer.repeats, 0);
  EXPECT_EQ(second.observer.perhaps_repeats, 1) << "delivered, and counted";
  EXPECT_FALSE(whole(second));
  Readiness ready = readiness(second);
  EXPECT_TRUE(ready.ready()) << "it costs no readiness";
  ASSERT_EQ(ready.notes.size(), 1u);
  EXPECT_NE(ready.notes.front().find("a repeat may be delivered"), std::string::npos) << ready.notes.front();
  second.log->ends_answered = true;
  ASSERT_TRUE(becomes_whole(world, second));
  EXPECT_TRUE(readiness(second).notes.empty());
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 2u);
}

TEST(Firsts, AreNoneWhereNothingMatched) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.types = {"order.created"}; });
  publish_and_settle(world, "e1", "user.deleted");
  publish_and_settle(world, "e2");
  world.declare("late", [](EndpointSpec& spec) { spec.types = {"user.deleted"}; });
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  publish_and_settle(world, "e1", "user.deleted");
  EXPECT_EQ(arrived(world, "e1"), 1u) << "nobody had it: no repeat";
}

TEST(Firsts, AreNoneWhereAnEventReadAgainMatchesNothingAnyMore) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return std::nullopt; };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return arrived(world, "e1") == 1; }));
  world.one().restart();  // it hung: nothing was recorded
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }, seconds(5)));
  world.declare("main", [](EndpointSpec& spec) { spec.types = {"user.deleted"}; });
  world.one().log->assign({0});
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  ASSERT_EQ(world.one().observer.no_matches, 1);
  world.transport.answer = nullptr;
  world.declare("main");
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 2u) << "the first was routed to nobody in the end";
}

// Else a crash would leave nothing of it, if the first then matches nothing.
TEST(Firsts, SettleBeforeWhatRepeatsThem) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) -> std::optional<Outcome> { return std::nullopt; };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  world.publish("e1");
  world.run(seconds(3));
  EXPECT_EQ(world.committed(), 0);
  EXPECT_EQ(world.cluster.commits[0].metadata, "") << "the repeat has not settled either";
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }, minutes(1)))
      << "the first has timed out, and is parked";
  EXPECT_EQ(world.one().observer.repeats, 1);
}

TEST(Firsts, AreNotProvenByAnAttemptThatFailed) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(404); };
  publish_and_settle(world, "e1");
  world.transport.answer = nullptr;
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 2u);
}

TEST(Firsts, AreProvenByWhatIsParked) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(410); };
  publish_and_settle(world, "e0");
  publish_and_settle(world, "e1");  // held without an attempt
  ASSERT_EQ(world.parked_now(), 1u);
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  publish_and_settle(world, "e1");
  EXPECT_EQ(second.observer.repeats, 1);
  EXPECT_EQ(world.parked_now(), 1u);
}

TEST(Firsts, CountForTheWindowAndNoLonger) {
  World world;
  world.begin();
  world.declare("main");
  const std::int64_t published = world.clocks.steady_ms;
  world.publish("e1");
  world.publish("e2");
  world.run(hours(1));
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  world.run(Millis(published + 24 * 3'600'000 - 1 - world.clocks.steady_ms));
  ASSERT_EQ(world.clocks.steady_ms, published + 24 * 3'600'000 - 1);
  world.publish("e1");
  world.clocks.advance(Millis(1));
  world.publish("e2");
  world.run(seconds(5));
  EXPECT_EQ(arrived(world, "e1"), 1u);
  EXPECT_EQ(arrived(world, "e2"), 2u) << "24 hours have passed";
}

TEST(Firsts, AreKnownToARepeatThatIsReadLate) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  world.run(hours(23));
  world.one().log->events_stand_still = true;
  const Position repeat = world.publish("e1");
  world.run(hours(3));
  world.one().log->events_stand_still = false;
  ASSERT_TRUE(world.run_until([&] { return world.committed() > repeat.offset; }, minutes(1)));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
}

TEST(Firsts, OfAGapAreReadAndNoMore) {
  World world;
  Instance& first = world.begin();
  world.declare("main");
  publish_many(world, "a", 2500);
  world.run(minutes(5));
  publish_and_settle(world, "last");
  Instance& second = take_over(world);
  publish_and_settle(world, "b");
  world.run(minutes(5));
  release(world, second);
  give(world, first);
  EXPECT_FALSE(whole(first)) << "somebody else had it meanwhile";
  publish_and_settle(world, "a1");
  EXPECT_EQ(arrived(world, "a1"), 1u) << "what it knew is true all the same";
  ASSERT_TRUE(becomes_whole(world, first));
  EXPECT_EQ(first.log->tailed[Topic::attempts].size(), 1u) << "one piece, down to what it has";
  publish_and_settle(world, "b");
  EXPECT_EQ(arrived(world, "b"), 1u);
}

class Interrupted : public testing::TestWithParam<bool> {};  // by a crash; else by a revocation

TEST_P(Interrupted, RebuildingGoesOnWhereItStood) {
  World world;
  world.begin();
  world.declare("main");
  publish_many(world, "e", 3500);
  Instance& second = take_over(world);
  for (int i = 0; i < 1000 && second.log->tailed[Topic::attempts].size() < 2; ++i) world.run(Millis(10));
  ASSERT_EQ(second.log->tailed[Topic::attempts].size(), 2u) << "one piece was read";
  const Offset begun = second.log->tailed[Topic::attempts].back();
  ASSERT_GT(begun, 0);
  second.observer.last = {};
  if (GetParam()) {
    second.restart();
  } else {
    release(world, second);
    second.log->tailed.clear();
    world.run(minutes(1));
    EXPECT_TRUE(second.log->tailed[Topic::attempts].empty()) << "not ours any more";
  }
  give(world, second);
  ASSERT_TRUE(becomes_whole(world, second));
  EXPECT_LE(second.log->tailed[Topic::attempts].front(), begun) << "what was read is not read again";
  publish_and_settle(world, "e10");
  publish_and_settle(world, "e3490");
  EXPECT_EQ(arrived(world, "e10") + arrived(world, "e3490"), 2u);
}
INSTANTIATE_TEST_SUITE_P(, Interrupted, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "ByACrash" : "ByARevocation"; });

TEST(Firsts, AViewThatFailsMeanwhilePutsNothingInAWrongPlace) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  world.one().config.repeat_window = Millis(0);  // so that its repeat is delivered, and stands there twice
  world.one().restart();
  give(world, world.one());
  publish_and_settle(world, "e1");
  ASSERT_EQ(arrived(world, "e1"), 2u);
  Instance& second = take_over(world);
  second.store.unreadable = true;
  world.run(seconds(20));
  EXPECT_FALSE(whole(second));
  second.store.unreadable = false;
  ASSERT_TRUE(becomes_whole(world, second));
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 2u);
  std::vector<RepeatFact> facts;
  for (const auto& [offset, record] : world.cluster.records[{Topic::attempts, 0}]) {
    auto fact = wire::decode_attempts(kEnvironment, *record.value);
    if (const auto* repeats = std::get_if<RepeatFact>(&*fact)) facts.push_back(*repeats);
  }
  ASSERT_EQ(facts.size(), 1u);
  EXPECT_EQ(facts.front().repeats.front().first, 0) << "the lower one is the first";
}

TEST(Firsts, WhoseRecordIsGoneMakeNoRepeat) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  world.cluster.records[{Topic::events, 0}].clear();
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 2u) << "what cannot be compared is delivered";
}

// A proof tells an event's webhook-id, and not for whom alone it was meant.
TEST(Firsts, AreComparedWithWhatStandsThere) {
  World world;
  world.begin();
  world.declare("main");
  world.declare("other");
  const Endpoint* main = world.one().shard->registry().registry().find(kTenant, EndpointId("main"));
  ASSERT_NE(main, nullptr);
  const Target target{main->def.id, main->def.incarnation};
  world.publish("e1", "order.created", [&](Event& event) { event.target = target; });
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  ASSERT_EQ(arrived(world, "e1"), 1u);
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 3u) << "that one was for one endpoint alone: no repeat";
}

TEST(Firsts, ThatCannotBeFetchedHoldNothingBackForLong) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  second.log->fetches_answered = false;
  world.publish("e1");
  world.run(seconds(5));
  EXPECT_EQ(arrived(world, "e1"), 1u);
  ASSERT_TRUE(world.run_until([&] { return arrived(world, "e1") == 2; }, seconds(10)));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  Instance& third = take_over(world);
  ASSERT_TRUE(becomes_whole(world, third));
  third.log->fetches_lost = true;
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return arrived(world, "e1") == 3; }, seconds(11)));
}

TEST(Firsts, ThatAreLookedAtWhenThePartitionGoesAreForgotten) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  second.log->fetches_answered = false;
  world.publish("e1");
  world.run(seconds(1));
  second.log->revoke({0}, true);
  world.run(seconds(1));
  second.log->fetches_answered = true;
  world.run(seconds(20));
  EXPECT_EQ(arrived(world, "e1"), 1u);
  EXPECT_EQ(world.committed(), 1) << "not settled: the next owner reads it";
}

TEST(Firsts, AreNotAskedForWithoutAWindow) {
  World world;
  Instance& instance = world.add_instance();
  instance.config.repeat_window = Millis(0);
  instance.restart();
  give(world, instance);
  world.declare("main");
  publish_and_settle(world, "e1");
  publish_and_settle(world, "e1");
  EXPECT_EQ(arrived(world, "e1"), 2u);
  EXPECT_TRUE(instance.store.rows[Family::repeats].empty());
  EXPECT_TRUE(readiness(instance).notes.empty());
}

// Stored bytes: for ever (engine/flow/view.h).
TEST(Firsts, StandInTheViewUnderTheKeysThatArePinned) {
  World world;
  world.begin();
  world.declare("main");
  publish_and_settle(world, "e1");
  const auto pinned = [](Instance& instance, Family family, std::string_view prefix) {
    std::string text;
    for (const auto& [key, value] : instance.store.rows[family]) {
      if (key.starts_with(prefix)) text += hex_encode(key) + " " + hex_encode(value) + "\n";
    }
    return text;
  };
  // Event 0 of partition 0, under its repeat_key; complete below offset 1, as far back as the log goes.
  EXPECT_EQ(pinned(world.one(), Family::repeats, ""),
            "0000000050f592d63d91b69b5e6e05a7625516c8 "
            "0000018bda322d480000000000000000"
            "0000018bcfe57548\n");
  EXPECT_EQ(pinned(world.one(), Family::meta, "firsts"),
            "66697273747300000000 "
            "00000000000000010000018bcfe575480000000000000000"
            "ffffffffffffffff00000000000000000000000000000000\n");
  Instance& second = take_over(world);
  ASSERT_TRUE(becomes_whole(world, second));
  // The same under its proof_key and "p", with the time of the fact that proves it.
  EXPECT_EQ(pinned(second, Family::repeats, ""),
            "0000000077ef7be4536ce577d94cd7c2b84517a970 "
            "0000018bda322d5c00000000000000000000018bcfe5755c\n");
  EXPECT_EQ(pinned(second, Family::meta, "firsts"),
            "66697273747300000000 "
            "000000000000000100000000000000000000000000000000"
            "000000000000000000000000000000000000000000000000\n");
}

}  // namespace
}  // namespace postrider::world
