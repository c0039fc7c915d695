#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "engine/flow/fair_round.h"
#include "tests/flow/world.h"

// No customer slows another: whose turn it is, how many flights who hangs may hold, how an endpoint is slowed
// that asks for it.
namespace postrider::world {
namespace {

using flow::EndpointState;
using flow::FairRound;
using flow::TenantTurn;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const TenantId kOther{"other"};

// --- whose turn it is

// Endpoints that always have more to send, each attempt at that cost.
struct Senders {
  TenantTurn tenant;
  std::vector<std::unique_ptr<EndpointState>> endpoints;
  std::int64_t cost = 1;

  Senders(FairRound& round, int count, std::int64_t each) : cost(each) {
    for (int i = 0; i < count; ++i) {
      endpoints.push_back(std::make_unique<EndpointState>());
      endpoints.back()->tenant_turn = &tenant;
      round.add(*endpoints.back());
    }
  }
};

// How much each endpoint spends in so many turns.
std::map<const EndpointState*, std::int64_t> spend(FairRound& round, int turns,
                                                   const std::vector<const Senders*>& all) {
  std::map<const EndpointState*, std::int64_t> spent;
  std::map<const TenantTurn*, std::int64_t> costs;
  for (const Senders* senders : all) costs[&senders->tenant] = senders->cost;
  for (int i = 0; i < turns; ++i) {
    const FairRound::Turn turn = round.begin();
    std::int64_t now = 0;
    while (now < turn.credit) now += costs.at(turn.endpoint.tenant_turn);
    spent[&turn.endpoint] += now;
    round.end(turn, now, true);
  }
  return spent;
}

TEST(FairRound, ATenantOfManyEndpointsGetsWhatATenantOfOneGets) {
  FairRound round;
  Senders many(round, 1000, 1), one(round, 1, 1);
  auto spent = spend(round, 10'000, {&many, &one});
  EXPECT_EQ(spent[one.endpoints[0].get()], 5000 * FairRound::kQuantum);
  for (const auto& endpoint : many.endpoints) EXPECT_EQ(spent[endpoint.get()], 5 * FairRound::kQuantum);
}

TEST(FairRound, LargeBodiesCountForMoreThanSmallOnes) {
  EXPECT_EQ(FairRound::cost_of(100), 1);
  EXPECT_EQ(FairRound::cost_of(256 * 1024), 17);
  FairRound round;
  Senders large(round, 3, 17), small(round, 3, 1);
  auto spent = spend(round, 10'000, {&large, &small});
  std::int64_t of_large = 0, of_small = 0;
  for (const auto& endpoint : large.endpoints) of_large += spent[endpoint.get()];
  for (const auto& endpoint : small.endpoints) of_small += spent[endpoint.get()];
  EXPECT_NEAR(static_cast<double>(of_large), static_cast<double>(of_small), 100);
}

// One turn of whoever's it is.
const EndpointState* turn(FairRound& round, std::int64_t spent, bool again) {
  const FairRound::Turn now = round.begin();
  round.end(now, spent, again);
  return &now.endpoint;
}

TEST(FairRound, WhoHadNothingToSendHasNothingSavedUp) {
  FairRound round;
  Senders idle(round, 1, 1), busy(round, 1, 1);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(turn(round, 0, false), idle.endpoints[0].get());
    ASSERT_EQ(turn(round, 4, true), busy.endpoints[0].get());
    round.add(*idle.endpoints[0]);
    ASSERT_EQ(turn(round, 4, true), busy.endpoints[0].get());
  }
  EXPECT_EQ(spend(round, 4, {&idle, &busy})[idle.endpoints[0].get()], 2 * FairRound::kQuantum);
}

TEST(FairRound, WhatWasSpentInAdvanceIsNotForgottenWhileThereIsNothingToSend) {
  FairRound round;
  Senders once(round, 1, 17), busy(round, 1, 1);
  ASSERT_EQ(turn(round, 17, false), once.endpoints[0].get());
  round.add(*once.endpoints[0]);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(turn(round, 4, true), busy.endpoints[0].get());
  EXPECT_EQ(turn(round, 17, true), once.endpoints[0].get());
}

TEST(FairRound, EndsWithTheLastAndBeginsAnew) {
  FairRound round;
  EXPECT_TRUE(round.empty());
  Senders some(round, 3, 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(round.empty());
    round.end(round.begin(), 1, false);
  }
  EXPECT_TRUE(round.empty());
  round.add(*some.endpoints[1]);
  EXPECT_EQ(&round.begin().endpoint, some.endpoints[1].get());
}

// --- in a world

// An instance with so many flights.
Instance& begin_with(World& world, std::size_t in_flight_max) {
  Instance& one = world.begin();
  one.config.in_flight_max = in_flight_max;
  one.restart();
  world.run_until([&] { return one.log->joined; }, seconds(5));
  one.log->assign({0});
  world.run(Millis(200));
  return one;
}

void of_other(EndpointSpec& spec) {
  spec.tenant = kOther;
}
void by_other(Event& event) {
  event.tenant = kOther;
}

TEST(Fairness, ATenantWithManyEndpointsLeavesHalfTheTurnsToOneWithASingleEndpoint) {
  World world;
  begin_with(world, 8);
  for (int i = 0; i < 50; ++i) world.declare("many" + std::to_string(i));
  world.declare("single", of_other);
  for (int i = 0; i < 40; ++i) world.publish("a" + std::to_string(i));
  for (int i = 0; i < 40; ++i) world.publish("b" + std::to_string(i), "order.created", by_other);
  ASSERT_TRUE(world.run_until([&] { return world.transport.at("single.example").size() == 40; }));
  const auto& arrivals = world.transport.arrivals;
  const auto last = std::find_if(arrivals.rbegin(), arrivals.rend(),
                                 [](const Arrival& arrival) { return arrival.host == "single.example"; });
  EXPECT_LE(arrivals.rend() - last, 40 + 80) << "of 2000 that stood before it";
  ASSERT_TRUE(world.run_until([&] { return arrivals.size() == 2040; }));
}

struct Hangs {
  std::set<std::string> hosts;
  std::optional<Outcome> operator()(const std::string& host, int) const {
    if (host.starts_with("hangs")) return std::nullopt;
    return answered(200);
  }
};

void declare_many(World& world, int number) {
  for (int i = 0; i < number; ++i) world.declare("hangs" + std::to_string(i));
}

// How long the event took to the healthy endpoint.
std::int64_t takes(World& world, const std::string& id) {
  const std::int64_t from = world.clocks.steady_ms;
  const std::size_t had = world.transport.at("healthy.example").size();
  world.publish(id, "order.created", by_other);
  if (!world.run_until([&] { return world.transport.at("healthy.example").size() > had; }, minutes(5)))
    return INT64_MAX;
  return world.transport.at("healthy.example").back().steady_ms - from;
}

TEST(Fairness, EndpointsThatHangLeaveHalfTheFlightsToOthers) {
  World world;
  begin_with(world, 64);
  declare_many(world, 200);
  world.declare("healthy", of_other);
  world.transport.answer = Hangs{};
  EXPECT_LE(takes(world, "first"), 50);
  world.publish("a0");
  for (int second = 0; second < 400; ++second) {
    if (second % 10 == 0) world.publish("b" + std::to_string(second));
    world.run(Millis(700));
    EXPECT_LE(takes(world, "e" + std::to_string(second)), 50) << second;
    if (second > 360) {  // each has had its chance
      EXPECT_LE(world.transport.hanging(), 32u);
    }
  }
  EXPECT_GE(world.transport.hanging(), 24u) << "what they may have they use";
}

// They have only begun to hang, and nobody can know: what is left is for who has just answered.
TEST(Fairness, EndpointsThatAllBeginToHangAtOnceLeaveFlightsToWhoAnswers) {
  World world;
  begin_with(world, 64);
  declare_many(world, 100);
  world.declare("healthy", of_other);
  world.publish("all");
  world.run(seconds(1));
  EXPECT_LE(takes(world, "first"), 50);
  world.transport.answer = Hangs{};
  for (int i = 0; i < 20; ++i) world.publish("a" + std::to_string(i));
  for (int i = 0; i < 14; ++i) {
    EXPECT_LE(takes(world, "e" + std::to_string(i)), 50) << i;
    world.run(Millis(900));
  }
  EXPECT_GE(world.transport.hanging(), 50u);
}

// Each second attempt at once would open a connection, and nobody is the faster for it.
TEST(Fairness, WhereManyAreBusyEachHasFewAttemptsAtOnce) {
  World world;
  begin_with(world, 64);
  declare_many(world, 30);
  world.transport.answer = Hangs{};
  world.publish("first");
  world.run(seconds(1));
  ASSERT_EQ(world.transport.hanging(), 30u);
  for (int i = 0; i < 5; ++i) world.publish("a" + std::to_string(i));
  world.run(seconds(1));
  EXPECT_EQ(world.transport.hanging(), 30u);
}

TEST(Fairness, ARestartKnowsFromTheLogWhoHangs) {
  World world;
  Instance& one = begin_with(world, 64);
  declare_many(world, 200);
  world.declare("healthy", of_other);
  world.transport.answer = Hangs{};
  world.publish("a");
  world.run(minutes(3));  // each has failed once
  one.restart();
  world.transport.cancel_all(one.line.get());
  ASSERT_TRUE(world.run_until([&] { return one.log->joined; }));
  one.log->assign({0});
  world.run(seconds(1));
  const std::size_t before = world.transport.hanging();
  for (int i = 0; i < 5; ++i) world.publish("b" + std::to_string(i));
  world.run(seconds(1));
  EXPECT_LE(world.transport.hanging(), before + 32);
  EXPECT_LE(takes(world, "e"), 50);
}

TEST(Fairness, WhoAnswersAgainNeedNotWaitForAFlightOfWhoHangs) {
  World world;
  begin_with(world, 8);
  declare_many(world, 20);
  world.transport.answer = Hangs{};
  world.publish("a");
  world.run(minutes(3));
  world.transport.answer = nullptr;
  world.run(minutes(1));  // what hung has ended
  for (int i = 0; i < 20; ++i) world.publish("b" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, hours(1)));
  EXPECT_TRUE(world.dead_letters().empty());
}

// Slow endpoints of one tenant whose deliveries fill what is loaded of the parked ones.
TEST(Fairness, WhatComesBackDueOfOneTenantLeavesRoomForAnothers) {
  World world;
  Instance& one = world.begin();
  one.config.due_loaded_max = 20;
  one.config.window_max = 20;
  one.restart();
  ASSERT_TRUE(world.run_until([&] { return one.log->joined; }));
  one.log->assign({0});
  for (int i = 0; i < 5; ++i)
    world.declare("slow" + std::to_string(i), [](EndpointSpec& spec) { spec.limits.rate_per_second = 0.05; });
  world.declare("healthy", of_other);
  world.transport.answer = [](const std::string& host, int n) {
    return answered(host == "healthy.example" && n == 1 ? 500 : 200);
  };
  world.publish("first", "order.created", by_other);
  for (int i = 0; i < 100; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.at("healthy.example").size() == 1; }));
  EXPECT_TRUE(
      world.run_until([&] { return world.transport.at("healthy.example").size() == 2; }, seconds(10)));
  EXPECT_GE(one.observer.last.queued, 15u);
}

// Its queue is never long, and always half full.
TEST(Fairness, AShortQueueAtASlowEndpointKeepsNobodysEventsWaiting) {
  World world;
  world.begin();
  world.declare("short", [](EndpointSpec& spec) {
    spec.limits.queue_max = 2;
    spec.limits.rate_per_second = 5;
  });
  world.declare("quick", of_other);
  for (int i = 0; i < 100; ++i) {
    world.publish("e" + std::to_string(i));
    world.publish("o" + std::to_string(i), "order.created", by_other);
  }
  EXPECT_TRUE(world.run_until([&] { return world.transport.at("quick.example").size() == 100; }, seconds(1)));
  for (int round = 0; round < 20; ++round) {
    world.publish("f" + std::to_string(round));
    world.publish("g" + std::to_string(round));
    world.publish("p" + std::to_string(round), "order.created", by_other);
    const std::size_t wanted = 101 + static_cast<std::size_t>(round);
    EXPECT_TRUE(
        world.run_until([&] { return world.transport.at("quick.example").size() == wanted; }, Millis(100)))
        << round;
  }
}

// --- how many at once

// Arrivals at that host by the moment they came, from `from` on.
std::vector<std::size_t> at_once(const World& world, const std::string& host, std::int64_t from) {
  std::map<std::int64_t, std::size_t> counts;
  for (const Arrival& arrival : world.transport.at(host)) {
    if (arrival.steady_ms >= from) ++counts[arrival.steady_ms];
  }
  std::vector<std::size_t> found;
  for (const auto& [when, count] : counts) found.push_back(count);
  return found;
}

TEST(Endpoint, ThatIsHealthyHasAllItWasDeclaredWithFromTheBeginning) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.limits.concurrency = 50; });
  const std::int64_t from = world.clocks.steady_ms;
  for (int i = 0; i < 500; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 500; }));
  EXPECT_EQ(at_once(world, "main.example", from), std::vector<std::size_t>(10, 50));
}

TEST(Endpoint, ThatRefusesGetsFewerAtOnceAndMoreAgainOnceItAnswers) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.limits.concurrency = 32; });
  const std::int64_t from = world.clocks.steady_ms;
  bool refuses = true;
  world.transport.answer = [&](const std::string&, int n) { return answered(refuses && n > 32 ? 429 : 200); };
  for (int i = 0; i < 500; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() > 120; }));
  const auto falling = at_once(world, "main.example", from);
  EXPECT_EQ(falling[0], 32u);
  EXPECT_LE(falling[4], 4u);
  refuses = false;
  world.run(seconds(2));
  const auto rising = at_once(world, "main.example", from);
  EXPECT_GE(*std::max_element(rising.begin() + static_cast<std::ptrdiff_t>(falling.size()), rising.end()),
            16u);
}

TEST(Endpoint, ThatComesBackAfterAnOutageIsWarmedNotStormed) {
  World world;
  world.begin();
  world.declare("main");
  bool away = true;
  world.transport.answer = [&](const std::string&, int) { return answered(away ? 500 : 200); };
  for (int i = 0; i < 20; ++i) world.publish("e" + std::to_string(i));
  world.run(seconds(5));
  ASSERT_TRUE(world.one().observer.breaker_open);
  away = false;
  ASSERT_TRUE(world.run_until([&] { return !world.one().observer.breaker_open; }));
  const std::int64_t from = world.clocks.steady_ms;
  for (int i = 0; i < 200; ++i) world.publish("o" + std::to_string(i));
  world.run(seconds(1));
  const auto counts = at_once(world, "main.example", from);
  ASSERT_GE(counts.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_LE(counts[i], std::min<std::size_t>(16, std::size_t{2} << i)) << i;
  EXPECT_EQ(*std::max_element(counts.begin(), counts.end()), 16u);
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, hours(1)));
}

// --- customers' rate limits

// Takes so many a window, and says so.
struct Counting {
  World& world;
  std::int64_t limit = 100, window_ms = 60'000;
  std::int64_t used = 0, window = -1;
  int refused = 0;
  std::optional<Outcome> take() {
    const std::int64_t now = world.clocks.steady_ms / window_ms;
    if (now != window) window = now, used = 0;
    const bool full = used >= limit;
    if (!full) ++used;
    refused += full;
    const std::int64_t reset = ((now + 1) * window_ms - world.clocks.steady_ms + 999) / 1000;
    return answered(full ? 429 : 200, {{"RateLimit-Limit", std::to_string(limit)},
                                       {"RateLimit-Remaining", std::to_string(limit - used)},
                                       {"RateLimit-Reset", std::to_string(reset)}});
  }
};

TEST(Endpoint, ThatTellsItsRateLimitIsHardlyEverRefused) {
  World world;
  world.begin();
  world.declare("main");
  Counting main{world};
  world.transport.answer = [&](const std::string&, int) { return main.take(); };
  const std::int64_t from = world.clocks.steady_ms;
  for (int i = 0; i < 500; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(
      world.run_until([&] { return world.attempts().size() >= 500 && world.parked_now() == 0; }, hours(1)));
  EXPECT_EQ(main.refused, 0);
  EXPECT_EQ(world.transport.arrivals.size(), 500u);
  EXPECT_LE(world.clocks.steady_ms - from, 8 * 60'000) << "and what it takes is used";
}

TEST(Endpoint, ThatTakesFewAWindowIsSentNoMoreThanThoseAtOnce) {
  World world;
  world.begin();
  world.declare("main");
  Counting main{world, 4, 5000};
  world.transport.answer = [&](const std::string&, int) { return main.take(); };
  for (int i = 0; i < 60; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 60 && world.parked_now() == 0; }, hours(1)));
  EXPECT_EQ(main.refused, 12) << "of the first sixteen, before it has told its limit";
}

TEST(Endpoint, ThatWaitsForItsResetHoldsNoMemoryAndDelaysNoOther) {
  World world;
  world.begin();
  world.declare("limits");
  world.declare("quick");
  world.transport.answer = [](const std::string& host, int) {
    return host == "limits.example" ? answered(429, {{"Retry-After", "86400"}}) : answered(200);
  };
  for (int i = 0; i < 300; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.at("quick.example").size() == 300; }, seconds(5)));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 300; }, seconds(30)));
  world.run(seconds(5));
  EXPECT_EQ(world.one().observer.last.queued, 0u);
  EXPECT_LE(world.transport.at("limits.example").size(), 16u);
  const std::size_t records = world.cluster.records[{Topic::parked, 0}].size();
  const std::size_t before = world.transport.at("limits.example").size();
  world.run(minutes(60));
  const std::size_t tried = world.transport.at("limits.example").size() - before;
  EXPECT_GE(tried, 6u) << "nobody stops it for ever";
  EXPECT_LE(tried, 13u);
  EXPECT_LE((world.cluster.records[{Topic::parked, 0}].size()), records + 300u);
  EXPECT_LE(world.one().keys->payloads_opened, 300) << "nothing is loaded before its turn";
}

TEST(Endpoint, ThatSaysNothingIsLeftAndTakesAllIsNotHeldBackForLong) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) {
    return answered(200, {{"X-RateLimit-Limit", "100"},
                          {"X-RateLimit-Remaining", "0"},
                          {"X-RateLimit-Reset", "9999999999999"}});
  };
  for (int i = 0; i < 300; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 300; }, minutes(15)));
}

}  // namespace
}  // namespace postrider::world
