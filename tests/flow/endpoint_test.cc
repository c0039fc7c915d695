#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "tests/flow/world.h"

// Endpoints that fail, are stopped, deleted, rotated: their events are held, never lost.
namespace postrider::world {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

void command(World& world, const std::function<void(Service&, std::function<void()>)>& call) {
  bool done = false;
  call(world.one().shard->service(), [&] { done = true; });
  ASSERT_TRUE(world.run_until([&] { return done; }, seconds(30)));
}

void disable(World& world, const std::string& id) {
  command(world, [&](Service& service, std::function<void()> done) {
    service.disable_endpoint(kTenant, EndpointId(id), "maintenance", "alice", true,
                             [done](Result<EndpointView> view) {
                               EXPECT_TRUE(view);
                               done();
                             });
  });
}

void enable(World& world, const std::string& id) {
  command(world, [&](Service& service, std::function<void()> done) {
    service.enable_endpoint(kTenant, EndpointId(id), "alice", true, [done](Result<EndpointView> view) {
      EXPECT_TRUE(view);
      done();
    });
  });
}

void erase(World& world, const std::string& id) {
  command(world, [&](Service& service, std::function<void()> done) {
    service.delete_endpoint(kTenant, EndpointId(id), "alice", true, [done](Result<bool> gone) {
      EXPECT_TRUE(gone);
      done();
    });
  });
}

EndpointView show(World& world, const std::string& id) {
  EndpointView found;
  world.one().shard->service().show_endpoint(kTenant, EndpointId(id), [&](Result<EndpointView> view) {
    EXPECT_TRUE(view);
    if (view) found = *view;
  });
  return found;
}

TEST(Endpoint, ThatIsDisabledGetsItsEventsOnceItIsEnabled) {
  World world;
  world.begin();
  world.declare("main");
  disable(world, "main");
  for (int i = 0; i < 50; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 50; })) << "it holds back nobody's offset";
  world.run(hours(3));
  EXPECT_TRUE(world.transport.arrivals.empty());
  EXPECT_EQ(show(world, "main").held, 50u);
  const std::size_t records = world.cluster.records[{Topic::parked, 0}].size();
  EXPECT_LT(records, 50u + 200u) << "who waits without an attempt writes no new record";
  enable(world, "main");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 50; }));
  world.run(seconds(5));
  EXPECT_EQ(world.transport.arrivals.size(), 50u);
  EXPECT_EQ(world.parked_now(), 0u);
  EXPECT_EQ(show(world, "main").held, 0u);
}

TEST(Endpoint, ThatStaysDisabledHasItsEventsDieWithThatReason) {
  World world;
  world.begin();
  world.declare("main");
  disable(world, "main");
  world.publish("e1");
  world.run(minutes(1));
  world.clocks.advance(hours(97));
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  EXPECT_EQ(world.dead_letters().front().reason, DeadReason::endpoint_disabled);
  world.run(seconds(1));
  EXPECT_EQ(world.parked_now(), 0u);
}

TEST(Endpoint, ThatAnswersGoneIsDisabledAtOnce) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(410); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  EXPECT_EQ(world.dead_letters().front().reason, DeadReason::gone);
  world.publish("e2");
  world.run(minutes(1));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
  EXPECT_EQ(show(world, "main").health, HealthState::disabled);
  EXPECT_EQ(world.parked_now(), 1u) << "held, not lost";
}

TEST(Endpoint, IsQuarantinedByTheFifth401InARow) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(401); };
  for (int i = 0; i < 10; ++i) {
    world.publish("e" + std::to_string(i));
    world.run(seconds(2));
  }
  EXPECT_EQ(world.transport.arrivals.size(), 5u);
  EXPECT_EQ(show(world, "main").health, HealthState::quarantined);
  world.transport.answer = nullptr;
  enable(world, "main");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 10; }));
}

TEST(Endpoint, StaysStoppedAcrossARestart) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(410); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  world.run(seconds(2));
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  world.publish("e2");
  world.run(minutes(1));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
}

TEST(Endpoint, WhoseBreakerOpensIsProbedByOneAttemptOnly) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(500); };
  for (int i = 0; i < 40; ++i) world.publish("e" + std::to_string(i));
  world.run(seconds(4));
  const std::size_t before = world.transport.arrivals.size();
  EXPECT_LE(before, 26u) << "ten in a row and what was in flight beside them";
  EXPECT_TRUE(world.one().observer.breaker_open);
  EXPECT_EQ(show(world, "main").health, HealthState::failing);
  EXPECT_EQ(show(world, "main").stopped.why, "HTTP 500");
  EXPECT_EQ(show(world, "main").stopped.since, world.attempts().front().at);
  world.run(seconds(24));
  EXPECT_EQ(world.transport.arrivals.size(), before) << "open for 30 s";
  world.run(seconds(15));
  EXPECT_EQ(world.transport.arrivals.size(), before + 1) << "one probe";
  world.transport.answer = nullptr;
  ASSERT_TRUE(
      world.run_until([&] { return world.attempts().size() > 0 && world.parked_now() == 0; }, hours(6)));
  EXPECT_TRUE(world.dead_letters().empty());
}

TEST(Endpoint, ThatHangsDelaysNoOther) {
  World world;
  world.begin();
  world.declare("slow");
  world.declare("quick");
  world.transport.answer = [](const std::string& host, int) -> std::optional<Outcome> {
    if (host == "slow.example") return std::nullopt;
    return answered(200);
  };
  for (int i = 0; i < 200; ++i) world.publish("e" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.at("quick.example").size() == 200; }, seconds(5)));
  EXPECT_LE(world.transport.hanging(), 16u) << "its concurrency";
}

// So many events have arrived, some more than once perhaps, and nothing is held.
bool has_arrived(World& world, std::size_t events) {
  std::set<std::string> ids;
  for (const Arrival& arrival : world.transport.arrivals) ids.insert(arrival.header("webhook-id"));
  return ids.size() == events && world.parked_now() == 0;
}

// And an endpoint `main`.
Instance& begin_with_queues_of(World& world, std::size_t bytes) {
  Instance& one = world.begin();
  one.config.endpoint_queue_bytes = bytes;
  one.restart();
  EXPECT_TRUE(world.run_until([&] { return one.log->joined; }, seconds(10)));
  one.log->assign({0});
  world.declare("main");
  return one;
}

TEST(Endpoint, WithAFullQueueHasTheRestParkedAndNoneDropped) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) {
    spec.limits.queue_max = 10;
    spec.limits.concurrency = 1;
  });
  bool hang = true;
  world.transport.answer = [&](const std::string&, int) -> std::optional<Outcome> {
    if (hang) return std::nullopt;
    return answered(200);
  };
  for (int i = 0; i < 100; ++i) world.publish("e" + std::to_string(i));
  world.run(seconds(10));
  EXPECT_GE(world.parked_now(), 85u);
  hang = false;
  ASSERT_TRUE(world.run_until([&] { return has_arrived(world, 100); }, hours(1)));
  EXPECT_EQ(world.committed(), 100);
}

// What its queue held and gave back counts once each: the second time there is as much room as the first.
TEST(Endpoint, OfLargeEventsHoldsNoMoreThanItsQueueMay) {
  World world;
  Instance& one = begin_with_queues_of(world, 2 << 20);
  bool hang = true;
  world.transport.answer = [&](const std::string&, int) -> std::optional<Outcome> {
    if (hang) return std::nullopt;
    return answered(200);
  };
  for (std::size_t wave = 1; wave <= 2; ++wave) {
    hang = true;
    for (int i = 0; i < 60; ++i)
      world.publish("e" + std::to_string(wave) + "-" + std::to_string(i), "order.created",
                    [](Event& event) { event.data.assign(100 * 1024, 'x'); });
    std::uint64_t most = 0;
    for (int i = 0; i < 100; ++i) {
      world.run(Millis(100));
      most = std::max<std::uint64_t>(most, one.observer.last.queued);
    }
    EXPECT_GE(most, 8U) << "wave " << wave;
    EXPECT_LE(most, 12U) << "wave " << wave << ": each counts its body and what goes out";
    EXPECT_GE(world.parked_now(), 30U);
    hang = false;
    ASSERT_TRUE(world.run_until([&] { return has_arrived(world, 60 * wave); }, hours(1)));
  }
  EXPECT_EQ(world.committed(), 120);
}

TEST(Endpoint, OfEventsLargerThanItsQueueGetsOneAfterTheOther) {
  World world;
  begin_with_queues_of(world, 64 << 10);
  for (int i = 0; i < 5; ++i)
    world.publish("e" + std::to_string(i), "order.created",
                  [](Event& event) { event.data.assign(100 * 1024, 'x'); });
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 5 && world.parked_now() == 0; },
                              hours(1)));
  EXPECT_EQ(world.committed(), 5);
}

TEST(Endpoint, KeepsToItsRate) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.limits.rate_per_second = 5; });
  for (int i = 0; i < 100; ++i) world.publish("e" + std::to_string(i));
  const std::int64_t begin = world.clocks.steady_ms;
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 55; }));
  const std::int64_t took = world.clocks.steady_ms - begin;
  EXPECT_GE(took, 9'900);
  EXPECT_LE(took, 11'500);
}

TEST(Endpoint, MadeAgainUnderTheSameIdGetsNothingOfItsNamesake) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  erase(world, "main");
  world.declare("main");
  world.transport.answer = nullptr;
  const std::size_t before = world.transport.arrivals.size();
  world.run(minutes(10));
  EXPECT_EQ(world.transport.arrivals.size(), before);
  ASSERT_EQ(world.one().observer.cancels.size(), 1u);
  EXPECT_EQ(world.one().observer.cancels.front().reason, CancelReason::endpoint_deleted);
  EXPECT_EQ(world.parked_now(), 0u);
}

TEST(Endpoint, IsNotSignedForWithARevokedSecretAfterTheAnswer) {
  World world;
  world.begin();
  const auto secret = [](const std::string& text) { return *parse_signing_secret(text); };
  const std::string old_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const std::string new_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
  world.declare("main", [&](EndpointSpec& spec) { spec.secrets.push_back(secret(old_secret)); });
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  world.declare("main", [&](EndpointSpec& spec) {
    spec.secrets.push_back(secret(old_secret));
    spec.secrets.push_back(secret(new_secret));
  });
  world.publish("e2");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 2; }));
  EXPECT_NE(world.transport.arrivals[1].header("webhook-signature").find(' '), std::string::npos)
      << "two, in the overlap";
  world.declare("main", [&](EndpointSpec& spec) { spec.secrets.push_back(secret(new_secret)); });
  world.publish("e3");
  ASSERT_TRUE(world.run_until([&] { return world.attempts().size() == 3; }));
  const auto facts = world.attempts();
  EXPECT_EQ(facts[1].secret_ids.size(), 2u);
  EXPECT_EQ(facts[2].secret_ids.size(), 1u);
  EXPECT_NE(facts[2].secret_ids.front(), facts[0].secret_ids.front());
}

Result<ApplyAnswer> rotate(World& world, Millis overlap, std::optional<SigningSecret> secret = {}) {
  std::optional<Result<ApplyAnswer>> told;
  SecretRotation rotation{kTenant, EndpointId("main"), std::move(secret), overlap, "alice", true, {}};
  world.one().shard->service().rotate_secret(std::move(rotation),
                                             [&](Result<ApplyAnswer> answer) { told = std::move(answer); });
  EXPECT_TRUE(world.run_until([&] { return told.has_value(); }, seconds(30)));
  return *std::move(told);
}

Result<ApplyAnswer> revoke(World& world, const std::string& secret_id) {
  std::optional<Result<ApplyAnswer>> told;
  world.one().shard->service().revoke_secret(kTenant, EndpointId("main"), secret_id, "alice", true,
                                             [&](Result<ApplyAnswer> answer) { told = std::move(answer); });
  EXPECT_TRUE(world.run_until([&] { return told.has_value(); }, seconds(30)));
  return *std::move(told);
}

std::string code_of(const Result<ApplyAnswer>& answer) {
  return answer ? "" : answer.error().code;
}

// The secrets that sign the next event.
std::vector<std::string> signers(World& world) {
  static int last = 0;
  const std::size_t before = world.attempts().size();
  world.publish("s" + std::to_string(++last));
  EXPECT_TRUE(world.run_until([&] { return world.attempts().size() == before + 1; }));
  return world.attempts().back().secret_ids;
}

TEST(Endpoint, IsSignedForByBothSecretsWhileTheOverlapOfARotationLastsAndByTheNewOneAfter) {
  World world;
  world.begin();
  world.declare("main");
  const auto first = signers(world);
  ASSERT_EQ(first.size(), 1u);
  const auto rotated = rotate(world, minutes(10));
  ASSERT_TRUE(rotated) << rotated.error().message;
  EXPECT_FALSE(rotated->new_secret.empty());
  const auto both = signers(world);
  ASSERT_EQ(both.size(), 2u);
  EXPECT_NE(std::find(both.begin(), both.end(), first.front()), both.end());
  // An apply that names no secrets changes nothing of it, and a restart neither.
  world.declare("main");
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  EXPECT_EQ(signers(world).size(), 2u);
  world.run(minutes(11));
  const auto after = signers(world);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_NE(after, first);
  // Its row goes with the next rotation.
  ASSERT_TRUE(rotate(world, Millis(0)));
  const auto last = signers(world);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_NE(last, after);
  for (const EndpointSecret& secret : show(world, "main").secrets)
    EXPECT_EQ(secret.state, secret.id == last.front() ? SecretState::active : SecretState::revoked);
}

TEST(Endpoint, RotatedBetweenTwoOfAWritersStepsIsToldConflictAndLosesNoSecret) {
  World world;
  world.begin();
  world.declare("main");
  const auto first = signers(world);
  std::optional<Result<ApplyAnswer>> one, other;
  for (auto* told : {&one, &other})
    world.one().shard->service().rotate_secret(
        {kTenant, EndpointId("main"), std::nullopt, Millis(0), "alice", true, {}},
        [told](Result<ApplyAnswer> answer) { *told = std::move(answer); });
  ASSERT_TRUE(world.run_until([&] { return one && other; }, seconds(30)));
  EXPECT_NE(one->has_value(), other->has_value());
  const auto& lost = *one ? *other : *one;
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, "CONFLICT");
  EXPECT_EQ(signers(world).size(), 1u);
}

TEST(Endpoint, KeepsTheLastSecretThatSignsAndNoMoreThanFour) {
  World world;
  world.begin();
  world.declare("main");
  const auto first = signers(world);
  EXPECT_EQ(code_of(revoke(world, first.front())), "LAST_SECRET");
  EXPECT_EQ(code_of(revoke(world, "sec_unknown")), "NOT_FOUND");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rotate(world, hours(24)));
  EXPECT_EQ(signers(world).size(), 4u);
  EXPECT_EQ(code_of(rotate(world, hours(24))), "TOO_MANY_SECRETS");
  ASSERT_TRUE(revoke(world, first.front()));
  const auto left = signers(world);
  EXPECT_EQ(left.size(), 3u);
  EXPECT_EQ(std::count(left.begin(), left.end(), first.front()), 0);
  ASSERT_TRUE(rotate(world, hours(24)));
  const auto mine = [] { return *parse_signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"); };
  ASSERT_TRUE(rotate(world, Millis(0), mine()));
  EXPECT_EQ(signers(world).size(), 1u);
  EXPECT_EQ(code_of(rotate(world, hours(1), mine())), "INVALID_SECRET");
}

TEST(Endpoint, OfTwoWhoChangeItAtOnceTheOneWhoIsToldConflictLeavesNothingInForce) {
  World world;
  world.begin();
  world.declare("main");
  std::vector<std::string> in_force;  // hosts of those who were not told CONFLICT
  std::size_t conflicts = 0;
  for (const char* name : {"one", "other"}) {
    EndpointSpec spec;
    spec.tenant = kTenant;
    spec.id = EndpointId("main");
    spec.url = std::string("https://") + name + ".example/hook";
    spec.secrets.push_back({SecretKind::hmac, Secret(name + std::string(29, 'k'))});
    world.one().shard->service().apply_endpoint(std::move(spec), [&, name](Result<ApplyAnswer> answer) {
      if (answer) in_force.push_back(name);
      conflicts += !answer && answer.error().code == "CONFLICT";
    });
  }
  ASSERT_TRUE(world.run_until([&] { return in_force.size() + conflicts == 2; }));
  ASSERT_EQ(conflicts, 1u);
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.attempts().size() == 1; }));
  EXPECT_NE(world.attempts()[0].url.find(in_force.at(0)), std::string::npos);
  EXPECT_EQ(world.attempts()[0].secret_ids.size(), 1u);
  std::optional<EndpointView> shown;
  world.one().shard->service().show_endpoint(kTenant, EndpointId("main"),
                                             [&](Result<EndpointView> view) { shown = *view; });
  ASSERT_TRUE(shown);
  const auto not_revoked = [](const EndpointSecret& secret) { return secret.state != SecretState::revoked; };
  EXPECT_EQ(std::count_if(shown->secrets.begin(), shown->secrets.end(), not_revoked), 1);
  // The first of all, and what the other would have named.
  EXPECT_EQ(shown->secrets.size(), 3u);
}

TEST(Endpoint, OnAPrivateAddressIsRefusedWhenDeclaredAndAgainWhenSent) {
  World world;
  world.begin();
  world.one().resolver->hosts["inside.example"] = {"10.0.0.7"};
  EXPECT_THROW(world.declare("inside"), std::runtime_error);
  world.declare("moves");
  world.one().resolver->hosts["moves.example"] = {"169.254.169.254"};
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  EXPECT_EQ(world.dead_letters().front().reason, DeadReason::target_denied);
  EXPECT_TRUE(world.transport.arrivals.empty());
}

TEST(Endpoint, OfATenantThatHasEnoughAtItsHostIsRefused) {
  World world;
  world.begin().config.endpoints_per_host = 2;
  world.one().restart();
  world.one().log->assign({0});
  const auto at_one_host = [](EndpointSpec& spec) { spec.url = "https://hooks.example/" + spec.id.str(); };
  world.declare("one", at_one_host);
  world.declare("two", at_one_host);
  EXPECT_THROW(world.declare("three", at_one_host), std::runtime_error);
  world.declare("two", [&](EndpointSpec& spec) {  // what is there may change
    at_one_host(spec);
    spec.types = {"order.*"};
  });
  world.declare("two", [](EndpointSpec& spec) { spec.url += "/elsewhere"; });
  world.declare("three", at_one_host);
}

TEST(Endpoint, AppliedTwiceChangesNothing) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.url += "?token=abc"; });
  const std::size_t records = world.cluster.records[{Topic::endpoints, 0}].size();
  world.declare("main", [](EndpointSpec& spec) { spec.url += "?token=abc"; });
  EXPECT_EQ((world.cluster.records[{Topic::endpoints, 0}].size()), records);
}

// Deliveries that wait for nothing but ourselves are left on the log, not piled up in memory and parked.
TEST(Endpoint, IntakeWaitsWhileTheShardItselfIsTheSlowerParty) {
  World world;
  world.begin();
  for (const char* id : {"e1", "e2", "e3", "e4"}) world.declare(id);
  world.transport.answer = [&](const std::string&, int) {
    world.clocks.advance(Millis(20));  // what an attempt costs us
    return answered(200);
  };
  for (int i = 0; i < 200; ++i) world.publish("first" + std::to_string(i));
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() >= 200u; }));  // it knows its pace
  for (int i = 200; i < 4000; ++i) world.publish("e" + std::to_string(i));
  std::uint64_t most = 0;
  ASSERT_TRUE(world.run_until([&] {
    most = std::max(most, world.one().observer.last.queued);
    return world.transport.arrivals.size() == 16000u;
  }));
  EXPECT_LE(most, 3500u);
  EXPECT_EQ(world.one().observer.parked_unattempted, 0);
}

// Connecting may take seconds, and a revoked secret is never used after the answer.
TEST(Endpoint, WhatWasSignedBeforeAChangeIsNotSentAfterIt) {
  World world;
  Instance& one = world.begin();
  world.declare("e1");
  world.transport.answer = [](const std::string&, int) { return std::nullopt; };  // connects, and connects
  world.publish("o1");
  world.run(seconds(1));
  const std::uint64_t token = world.transport.last_token;
  EXPECT_TRUE(one.shard->may_still_send(token));
  world.declare("e1", [](EndpointSpec& spec) { spec.url = "https://moved.example/hook"; });
  EXPECT_FALSE(one.shard->may_still_send(token));

  world.transport.answer = nullptr;
  Outcome withheld;
  withheld.error = AttemptError::ambiguous;
  one.shard->on_outcome(token, withheld);
  world.run(seconds(1));
  EXPECT_EQ(world.transport.at("moved.example").size(), 1u);
  ASSERT_EQ(world.attempts().size(), 1u) << "nothing was sent: no attempt was made";
  EXPECT_EQ(world.attempts()[0].number, 1u);
  EXPECT_EQ(world.attempts()[0].status, 200);
}

}  // namespace
}  // namespace postrider::world
