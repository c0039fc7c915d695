#include <gtest/gtest.h>

#include <set>

#include "engine/wire/codec.h"
#include "tests/flow/world.h"

// Crashes, rebalances, zombies and lost views: they can repeat a delivery, never lose one.
namespace postrider::world {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

void restart(World& world, bool lose_view = false) {
  if (lose_view) world.one().store.rows.clear();
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }, seconds(10)));
  world.one().log->assign({0});
  world.run(Millis(300));
}

std::set<std::string> ids(const World& world) {
  std::set<std::string> found;
  for (const Arrival& arrival : world.transport.arrivals) found.insert(arrival.header("webhook-id"));
  return found;
}

class Restart : public testing::TestWithParam<bool> {};  // whether the view is lost too

TEST_P(Restart, ContinuesParkedDeliveriesAtTheirTime) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int n) { return answered(n <= 3 ? 503 : 200); };
  for (int i = 0; i < 3; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 3 && world.parked_now() == 3; }));
  const auto due = world.parked();
  restart(world, GetParam());
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, minutes(10)));
  EXPECT_EQ(world.transport.arrivals.size(), 6u);
  EXPECT_EQ(ids(world).size(), 3u);
  for (const AttemptFact& fact : world.attempts()) {
    if (fact.number == 2) {
      EXPECT_GE(fact.at, due.at(fact.delivery.id.str())->due) << "early";
    }
  }
  EXPECT_TRUE(world.dead_letters().empty());
}

TEST_P(Restart, FindsAndCountsWhatIsParked) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({"1h"}); });
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1 && world.parked_now() == 1; }));
  restart(world, GetParam());
  world.run(seconds(10));
  std::size_t found = 0;
  world.one().shard->service().find_deliveries(
      "e1", [&](Result<std::vector<DeliveryId>> ids) { found = ids->size(); });
  EXPECT_EQ(found, 1u);
  EXPECT_EQ(world.one().observer.last.parked, 1u);
}

TEST(Takeover, AFormerOwnerNoLongerSpeaksOfWhatHasNotEnded) {
  World world;
  Instance& one = world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({"1h"}); });
  world.transport.answer = [](const std::string&, int n) { return answered(n == 1 ? 200 : 503); };
  world.publish("delivered");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.publish("parked");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2 && world.parked_now() == 1; }));
  const auto attempts = world.attempts();
  ASSERT_EQ(attempts.size(), 2u);
  const auto knows = [&](const AttemptFact& attempt) {
    bool known = false;
    one.shard->service().show_delivery(
        attempt.delivery.id, [&](const Result<Delivery>& delivery) { known = delivery.has_value(); });
    return known;
  };
  EXPECT_TRUE(knows(attempts[0]));
  EXPECT_TRUE(knows(attempts[1]));
  one.log->revoke({0});
  ASSERT_TRUE(world.run_until([&] { return !one.log->released.empty(); }, seconds(5)));
  EXPECT_TRUE(knows(attempts[0])) << "it stays as it is";
  EXPECT_FALSE(knows(attempts[1])) << "its owner may have tried it again";
}

TEST_P(Restart, DeliversAnEventThatWasReadButNotSettled) {
  World world;
  world.begin();
  world.declare("main");
  world.one().log->acknowledge = false;  // sent, but its fact is not acknowledged
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  EXPECT_EQ(world.committed(), 0);
  restart(world, GetParam());
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  EXPECT_EQ(world.one().observer.repeats, 0) << "an event is never a repeat of itself";
  EXPECT_EQ(ids(world).size(), 1u);
}

TEST_P(Restart, KeepsHeldDeliveriesAndDrainsThemOnceEnabled) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(410); };
  world.publish("e0");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  world.transport.answer = nullptr;
  for (int i = 1; i <= 5; ++i) world.publish("e" + std::to_string(i));
  world.run(minutes(1));
  ASSERT_EQ(world.parked_now(), 5u);
  restart(world, GetParam());
  world.run(minutes(1));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
  bool done = false;
  world.one().shard->service().enable_endpoint(kTenant, EndpointId("main"), "alice", true,
                                               [&](Result<EndpointView> view) { done = view.has_value(); });
  ASSERT_TRUE(world.run_until([&] { return done && world.parked_now() == 0; }, minutes(2)));
  EXPECT_EQ(ids(world).size(), 6u);
}

TEST(Takeover, OnADiskThatFailsForAWhileDrainsWhatIsHeldAllTheSame) {
  World world;
  world.begin();
  world.declare("main");
  world.declare("other");
  const auto enable = [&](bool on, const char* endpoint) {
    bool done = false;
    const auto answered = [&](Result<EndpointView> view) { done = view.has_value(); };
    if (on)
      world.one().shard->service().enable_endpoint(kTenant, EndpointId(endpoint), "alice", true, answered);
    else
      world.one().shard->service().disable_endpoint(kTenant, EndpointId(endpoint), "", "alice", true,
                                                    answered);
    ASSERT_TRUE(world.run_until([&] { return done; }, minutes(1)));
  };
  enable(false, "main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  for (int i = 1; i <= 3; ++i) world.publish("e" + std::to_string(i));
  world.run(seconds(20));
  ASSERT_EQ(world.parked_now(), 6u);
  world.transport.answer = nullptr;
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }, seconds(10)));
  world.one().store.held_unreadable = true;
  world.one().log->assign({0});
  world.run(seconds(5));
  world.one().store.held_unreadable = false;
  world.run(seconds(20));
  enable(true, "main");
  EXPECT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, minutes(10)));
}

INSTANTIATE_TEST_SUITE_P(, Restart, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "WithoutItsView" : "WithItsView"; });

TEST(Takeover, FetchesAPayloadThatTheViewLacksFromItsPosition) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int n) { return answered(n == 1 ? 503 : 200); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  restart(world, true);
  ASSERT_TRUE(world.one().store.rows[Family::claims].empty());
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, minutes(1)));
  ASSERT_EQ(world.transport.arrivals.size(), 2u);
  EXPECT_EQ(*world.transport.arrivals[0].request.body, *world.transport.arrivals[1].request.body);
}

TEST(Takeover, CallsAPayloadThatIsNowhereLostAndNeverDone) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  restart(world, true);
  world.cluster.records[{Topic::events, 0}].clear();
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }, minutes(1)));
  EXPECT_EQ(world.dead_letters().front().reason, DeadReason::payload_lost);
}

TEST(Takeover, RebuildsTheSameViewFromACompactedLog) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int n) { return answered(n % 2 ? 503 : 200); };
  for (int i = 0; i < 20; ++i) world.publish("e" + std::to_string(i));
  world.run(minutes(3));
  ASSERT_GT(world.parked_now(), 0u);
  const auto before = world.one().store.rows[Family::due];
  world.cluster.compact(Topic::parked, 0);
  restart(world, true);
  EXPECT_EQ(world.one().store.rows[Family::due], before);
}

TEST(Takeover, ByAnotherInstanceBringsHomeWhatWasInFlight) {
  World world;
  Instance& first = world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int n) -> std::optional<Outcome> {
    if (n == 1) return std::nullopt;  // hangs
    return answered(200);
  };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  first.log->revoke({0});
  ASSERT_TRUE(world.run_until([&] { return !first.log->released.empty(); }, seconds(4)));
  ASSERT_EQ(world.attempts().size(), 1u);
  EXPECT_EQ(world.attempts().front().error, AttemptError::ambiguous);
  EXPECT_EQ(world.committed(), 1) << "parked, so settled";
  Instance& second = world.add_instance();
  ASSERT_TRUE(world.run_until([&] { return second.log->joined; }, seconds(5)));
  second.log->assign({0});
  ASSERT_TRUE(
      world.run_until([&] { return world.parked_now() == 0 && world.attempts().size() == 2; }, minutes(1)));
  EXPECT_EQ(ids(world).size(), 1u);
}

// What it parked has long ended elsewhere, and compaction has removed the tombstone.
class OldView : public testing::TestWithParam<bool> {};  // whether an assignment is cut short first

TEST_P(OldView, IsBuiltAgainBeforeItResurrectsWhatHasEnded) {
  World world;
  Instance& first = world.begin();
  first.config.stale_view = minutes(2);
  restart(world);
  world.declare("main");
  world.transport.answer = [](const std::string&, int n) { return answered(n == 1 ? 503 : 200); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  first.log->revoke({0});
  ASSERT_TRUE(world.run_until([&] { return !first.log->released.empty(); }, seconds(4)));
  Instance& second = world.add_instance();
  ASSERT_TRUE(world.run_until([&] { return second.log->joined; }, seconds(5)));
  second.log->assign({0});
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, minutes(1)));
  world.run(minutes(3));
  second.log->revoke({0});
  ASSERT_TRUE(world.run_until([&] { return !second.log->released.empty(); }, seconds(4)));
  std::erase_if(world.cluster.records[{Topic::parked, 0}],
                [](const auto& entry) { return entry.second.key != kOwnerKey; });
  if (GetParam()) {
    first.log->acknowledge = false;  // its mark is not answered
    first.log->assign({0});
    world.run(Millis(500));
    first.log->revoke({0}, true);
    world.run(Millis(500));
    first.log->acknowledge = true;
  }
  first.log->assign({0});
  world.run(minutes(2));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Takeover, OldView, testing::Bool());

TEST(Takeover, LeavesNothingToAnInstanceWhosePartitionWasRevoked) {
  World world;
  Instance& first = world.begin();
  world.declare("main");
  first.log->revoke({0});
  ASSERT_TRUE(world.run_until([&] { return !first.log->released.empty(); }, seconds(4)));
  world.publish("e1");
  world.run(minutes(1));
  EXPECT_TRUE(world.transport.arrivals.empty());
  EXPECT_EQ(world.committed(), 0);
}

// A process that was stopped and wakes sends nothing more.
TEST(Lease, EndsSendingWhenNoCommitIsAcknowledged) {
  World world;
  world.begin();
  world.declare("main");
  world.one().log->commits_succeed = false;
  world.run(seconds(13));  // 0.8 of 15 s since the last acknowledged commit was sent
  world.publish("e1");
  world.run(seconds(20));
  EXPECT_TRUE(world.transport.arrivals.empty());
  world.one().log->commits_succeed = true;
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }, seconds(10)));
}

TEST(Registry, ThatIsStaleHoldsRoutingAndSigning) {
  World world;
  world.begin();
  world.declare("main");
  world.one().log->ends_answered = false;
  world.run(seconds(3));
  world.publish("e1");
  world.run(seconds(20));
  EXPECT_TRUE(world.transport.arrivals.empty());
  world.one().log->ends_answered = true;
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }, seconds(5)));
}

TEST(Registry, CommandsAnswerOnceTheyAreInForceEverywhere) {
  World world;
  world.begin();
  Instance& second = world.add_instance();
  world.run(seconds(1));
  second.log->ends_answered = false;  // it cannot learn of the change
  world.declare("main");
  const SteadyTime now = second.clock.steady();
  EXPECT_TRUE(second.shard->registry().registry().find(kTenant, EndpointId("main")) ||
              !second.shard->registry().fresh(now));
}

ParkedState zombie_state(const World& world, const ParkedState& like) {
  ParkedState state = like;
  state.stamp = {like.stamp.epoch - 1, 99};
  state.due = world.clocks.wall_ms + 3'600'000;
  return state;
}

void append_foreign(World& world, const ParkedState& state) {
  world.cluster.append({.topic = Topic::parked,
                        .partition = state.delivery.position.partition,
                        .key = state.delivery.id.str(),
                        .value = wire::encode(kEnvironment, state),
                        .headers = {}});
}

TEST(Zombie, ItsLateWriteOnAnEndedDeliveryIsAnsweredByATombstone) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int n) { return answered(n == 1 ? 503 : 200); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  const ParkedState state = *world.parked().begin()->second;
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, minutes(1)));
  append_foreign(world, zombie_state(world, state));
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, seconds(2)));
  world.run(hours(2));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
}

TEST(Zombie, ItsLateWriteOnAParkedDeliveryIsAnsweredByItsStateAgain) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 2; }, minutes(1)));
  world.run(seconds(1));
  const ParkedState state = *world.parked().begin()->second;
  ASSERT_EQ(state.attempts, 2u);
  ParkedState stale = zombie_state(world, state);
  stale.attempts = 1;
  append_foreign(world, stale);
  world.run(seconds(1));
  EXPECT_EQ(world.parked().begin()->second->attempts, 2u);
  EXPECT_EQ(world.parked().begin()->second->due, state.due);
}

TEST(Owner, WhoseGroupLostItsOffsetsStopsAndNamesTheCommand) {
  World world;
  world.begin();
  world.declare("main");
  for (int i = 0; i < 5; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 5; }));
  world.run(minutes(2));  // a fresh mark names the offset
  world.cluster.commits.clear();
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  world.run(seconds(10));
  EXPECT_TRUE(world.one().observer.noted("OFFSETS_LOST") || world.one().observer.noted("partition_stopped"));
  EXPECT_EQ(world.transport.arrivals.size(), 5u) << "never sent again by the million";
  Readiness readiness;
  world.one().shard->service().readiness([&](Result<Readiness> ready) { readiness = *ready; });
  ASSERT_EQ(readiness.complaints.size(), 1u);
  const std::string command = " offsets rebuild --partition 0 --yes";
  EXPECT_NE(readiness.complaints.front().find("--environment " + kEnvironment.str() + command),
            std::string::npos)
      << readiness.complaints.front();
}

std::string complaints(World& world) {
  std::string all;
  world.one().shard->service().readiness([&](Result<Readiness> ready) {
    for (const std::string& one : ready->complaints) all += one + "\n";
  });
  return all;
}

// `events` is deleted and made again, and `count` events are published to it.
void make_events_again(World& world, int count) {
  world.cluster.records[{Topic::events, 0}].clear();
  world.cluster.ends[{Topic::events, 0}] = 0;
  world.run(seconds(1));
  for (int i = 0; i < count; ++i) world.publish("new" + std::to_string(i));
}

TEST(Owner, RefusesATopicThatWasMadeAgainShorterOrLonger) {
  for (const int count : {2, 5, 40}) {
    for (const bool offsets_left : {false, true}) {
      World world;
      world.begin();
      world.declare("main");
      for (int i = 0; i < 5; ++i) world.publish("e" + std::to_string(i));
      ASSERT_TRUE(world.run_until([&] { return world.committed() == 5; }));
      world.run(minutes(2));  // a fresh mark names what was read
      world.one().log->events_stand_still = true;
      make_events_again(world, count);
      if (!offsets_left) world.cluster.commits.clear();
      world.one().restart();
      ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
      world.one().log->assign({0});
      world.run(seconds(10));
      EXPECT_NE(complaints(world).find("accept-source"), std::string::npos)
          << count << (offsets_left ? " " : " no ") << "offsets: " << complaints(world);
      EXPECT_EQ(world.transport.arrivals.size(), 5u);
    }
  }
}

// As after a producer's transaction: what stands there is no record.
TEST(Owner, RefusesATopicThatWasMadeAgainWithNothingToReadWhereItHadRead) {
  for (const int gone : {1, 3}) {
    World world;
    world.begin();
    world.declare("main");
    for (int i = 0; i < 5; ++i) world.publish("e" + std::to_string(i));
    ASSERT_TRUE(world.run_until([&] { return world.committed() == 5; }));
    world.run(minutes(2));  // a fresh mark names what was read
    world.one().log->events_stand_still = true;
    make_events_again(world, 40);
    for (int i = 0; i < gone; ++i) world.cluster.records[{Topic::events, 0}].erase(4 - i);
    world.one().restart();
    ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
    world.one().log->assign({0});
    world.run(seconds(10));
    EXPECT_NE(complaints(world).find("accept-source"), std::string::npos) << gone << complaints(world);
    EXPECT_EQ(world.transport.arrivals.size(), 5u);
  }
}

// Nobody says when: an append may be refused at once each time, for hours.
TEST(Owner, AsksForAWordOfUnknownFateAgainWithoutHaste) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  std::uint64_t tries = 0;
  bool away = true;
  world.cluster.fate = [&](const NewRecord& record) {
    if (record.topic != Topic::parked || record.key == kOwnerKey || !away)
      return Appended::Status::acknowledged;
    ++tries;
    return Appended::Status::unknown;
  };
  for (int i = 0; i < 100; ++i) world.publish("e" + std::to_string(i));
  world.run(seconds(1));
  const std::uint64_t before = tries;
  world.run(seconds(20));
  EXPECT_LE(tries - before, 100u * 20 * 6) << "some five a second each";
  away = false;
  world.transport.answer = [](const std::string&, int) { return answered(200); };
  ASSERT_TRUE(
      world.run_until([&] { return world.parked_now() == 0 && world.committed() == 100; }, minutes(30)));
}

TEST(Owner, RefusesALogOfAnotherIdentity) {
  World world;
  world.begin();
  world.run(seconds(5));
  OwnerMark mark;
  mark.log = LogIdentity("log_of_old");
  mark.instance = "former";
  world.cluster.append({.topic = Topic::parked,
                        .partition = 0,
                        .key = std::string(kOwnerKey),
                        .value = wire::encode(kEnvironment, mark),
                        .headers = {}});
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  world.run(seconds(10));
  EXPECT_NE(complaints(world).find("accept-source"), std::string::npos) << complaints(world);
}

// The leader of `events` is away just then: what was read there is asked for until it can be told.
TEST(Owner, WaitsWithItsMarkUntilItKnowsThatTheSourceIsTheSame) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.run(minutes(2));
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->fetches_answered = false;
  world.one().log->assign({0});
  world.publish("e2");
  world.run(seconds(10));
  EXPECT_EQ(world.committed(), 1);
  world.one().log->fetches_answered = true;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }, seconds(10)));
  // And if no answer comes at all.
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->fetches_lost = true;
  world.one().log->assign({0});
  world.publish("e3");
  world.run(seconds(10));
  EXPECT_EQ(world.committed(), 2);
  world.one().log->fetches_lost = false;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 3; }, seconds(10)));
}

TEST(Owner, WhoWasRefusedAPartitionGoesOnFillingItsEmptyViewWhileAnotherRuns) {
  World world(2);
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  const Position at = world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  world.run(minutes(2));  // a fresh mark names the offset
  const ParkedState state = *world.parked().begin()->second;
  world.cluster.commits.erase(at.partition);
  auto& rows = world.one().store.rows;
  rows.clear();
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0, 1});
  world.run(seconds(10));
  ASSERT_NE(complaints(world).find("offsets rebuild"), std::string::npos);
  ASSERT_EQ(rows[Family::parked].size(), 1u);
  // Its former owner's last words land late: it was parked again, and then it ended.
  append_foreign(world, zombie_state(world, state));
  world.cluster.append({.topic = Topic::parked,
                        .partition = at.partition,
                        .key = state.delivery.id.str(),
                        .value = std::nullopt,
                        .headers = wire::stamp_headers({state.stamp.epoch, state.stamp.sequence + 2})});
  world.run(seconds(10));
  EXPECT_TRUE(rows[Family::parked].empty());
  EXPECT_EQ(world.one().observer.last.parked, 0u);
}

TEST(Owner, ComplainsNoMoreOfARefusedPartitionThatItHasLet) {
  World world;
  world.begin();
  world.declare("main");
  for (int i = 0; i < 5; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 5; }));
  world.run(minutes(2));
  world.cluster.commits.clear();
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  world.run(seconds(10));
  EXPECT_NE(complaints(world).find("offsets rebuild"), std::string::npos);
  world.one().log->revoke({0});
  world.run(seconds(10));
  EXPECT_EQ(complaints(world), "");
}

// It stood still after it was assigned, and compaction has left only what its successor wrote.
TEST(Owner, IsNotRefusedForTheMarkOfWhoTookOverAfterIt) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.one().store.rows.clear();
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  for (int i = 2; i < 5; ++i) world.publish("e" + std::to_string(i));
  OwnerMark later;
  later.log = kIdentity;
  later.instance = "another";
  later.committed = 4;
  later.events_end = 4;
  world.cluster.append({.topic = Topic::parked,
                        .partition = 0,
                        .key = std::string(kOwnerKey),
                        .value = wire::encode(kEnvironment, later),
                        .headers = {}});
  world.cluster.compact(Topic::parked, 0);
  world.run(seconds(10));
  EXPECT_FALSE(world.one().observer.noted("partition_stopped"));
}

TEST(Owner, NamesTheFirstOffsetThatItCommitsAtOnce) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.run(seconds(1));
  std::optional<OwnerMark> newest;
  for (const auto& [offset, record] : world.cluster.records[{Topic::parked, 0}]) {
    if (record.key != kOwnerKey) continue;
    newest = std::get<OwnerMark>(*wire::decode_parked(kEnvironment, record.value.value_or("")));
  }
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->committed, 1);
}

TEST(Stall, OfCommitsIsNamedWithinHalfAMinute) {
  World world;
  world.begin();
  world.run(seconds(5));
  EXPECT_EQ(complaints(world), "");
  world.one().log->commits_succeed = false;
  world.run(seconds(30));
  EXPECT_NE(complaints(world).find("acknowledged no commit"), std::string::npos);
  world.one().log->commits_succeed = true;
  world.run(seconds(5));
  EXPECT_EQ(complaints(world), "");
}

// The embedded log's session has no end; its daemon may have nothing to do for an hour.
TEST(Stall, IsNotSeenWhereThereIsNothingToDo) {
  for (const Millis session : {Millis(6'000), Millis(hours(24 * 365))}) {
    World world;
    world.begin();
    world.one().log->session = session;
    for (int minute = 0; minute < 10; ++minute) {
      world.run(Millis(17'777));
      EXPECT_EQ(complaints(world), "");
    }
  }
}

TEST(Stall, OfSettlingIsNamedWithItsOffset) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({}); });
  world.transport.answer = [](const std::string&, int) { return answered(400); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  world.one().keys->away = true;  // what is replayed cannot be opened
  world.replay_dead_letter();
  world.run(seconds(20));
  EXPECT_EQ(complaints(world), "");
  world.run(seconds(10));
  EXPECT_NE(complaints(world).find("nothing has settled for"), std::string::npos);
  EXPECT_NE(complaints(world).find("offset 1 is the first"), std::string::npos);
  world.one().keys->away = false;
  world.run(seconds(5));
  EXPECT_EQ(complaints(world), "");
}

TEST(Stall, OfReadingIsNamedWithWhatWaits) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.one().log->events_away = true;  // their leader
  world.publish("e2");
  world.run(seconds(25));
  EXPECT_EQ(complaints(world), "");
  world.run(seconds(15));
  EXPECT_NE(complaints(world).find("where `events` ends is not to be had"), std::string::npos);
  world.one().log->events_away = false;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  world.run(seconds(6));
  EXPECT_EQ(complaints(world), "");
  // Somebody tells where it ends, and yet nothing comes.
  world.one().log->events_stand_still = true;
  world.publish("e3");
  world.run(seconds(40));
  EXPECT_NE(complaints(world).find("though offset 2 waits"), std::string::npos);
  world.one().log->events_stand_still = false;
  world.run(seconds(6));
  EXPECT_EQ(complaints(world), "");
}

TEST(Stall, OfALogThatEndsBelowWhatWasReadIsNamed) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  world.publish("e2");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }));
  world.cluster.ends[{Topic::events, 0}] = 1;
  world.run(seconds(45));
  EXPECT_NE(complaints(world).find("at 1, below offset 2, which was read"), std::string::npos);
}

TEST(Stall, OfATakeoverIsNamed) {
  World world;
  world.begin();
  world.one().log->acknowledge = false;
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }, seconds(10)));
  world.one().log->acknowledge = false;
  world.one().log->assign({0});
  world.run(seconds(30));
  EXPECT_NE(complaints(world).find("is not read yet"), std::string::npos);
}

TEST(Owner, SettlesNothingTwiceThatTheBitmapNames) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.types = {"slow"}; });
  world.declare("other", [](EndpointSpec& spec) { spec.types = {"order.created"}; });
  world.transport.answer = [](const std::string& host, int) -> std::optional<Outcome> {
    if (host == "main.example") return std::nullopt;
    return answered(200);
  };
  world.publish("e0", "slow");
  for (int i = 1; i < 10; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.at("other.example").size() == 9; }));
  world.run(seconds(3));
  EXPECT_EQ(world.committed(), 0) << "the first hangs";
  restart(world, true);
  world.run(seconds(5));
  EXPECT_EQ(world.transport.at("other.example").size(), 9u);
}

TEST(Store, ThatIsFullStopsIntakeAndGoesOnByItself) {
  World world;
  world.begin();
  world.declare("main");
  world.one().store.full = true;
  world.publish("e1");
  world.run(seconds(2));
  for (int i = 2; i < 5; ++i) world.publish("e" + std::to_string(i));
  world.run(seconds(5));
  EXPECT_LE(world.transport.arrivals.size(), 1u);
  world.one().store.full = false;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 4; }, minutes(1)));
  EXPECT_EQ(ids(world).size(), 4u);
}

TEST(Clock, ThatIsWrongOnThisHostSendsNothingEarly) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int n) { return answered(n == 1 ? 503 : 200); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  world.one().clock.skew_ms = 3'600'000;
  const std::int64_t due = world.parked().begin()->second->due;
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 2; }, minutes(1)));
  EXPECT_GE(world.transport.arrivals[1].log_ms, due);
  EXPECT_LE(world.transport.arrivals[1].log_ms, due + 500);
}

}  // namespace
}  // namespace postrider::world
