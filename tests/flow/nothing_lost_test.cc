#include <gtest/gtest.h>

#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "tests/flow/world.h"

// Interleavings by which a delivery was once lost, or a partition stood still for ever.
namespace postrider::world {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

void retry_after_a_second(EndpointSpec& spec) {
  spec.retry = *parse_retry_policy({"1s"});
}

void start_again(Instance& instance, World& world) {
  instance.restart();
  ASSERT_TRUE(world.run_until([&] { return instance.log->joined; }, seconds(10)));
  instance.log->assign({0});
}

// A mark of another instance on our `parked` partition.
void append_mark(World& world, const std::string& instance) {
  OwnerMark mark;
  mark.log = world.one().shard->registry().registry().identity()->identity;
  mark.instance = instance;
  world.cluster.append({.topic = Topic::parked,
                        .partition = 0,
                        .key = std::string(kOwnerKey),
                        .value = wire::encode(kEnvironment, mark),
                        .headers = {}});
}

TEST(NothingLost, ASiblingThatComesBackDoesNotSettleForOneThatIsStillUnderWay) {
  World world;
  world.begin();
  world.declare("fails", retry_after_a_second);
  world.declare("hangs");
  world.transport.answer = [](const std::string& host, int n) -> std::optional<Outcome> {
    if (host == "hangs.example") return std::nullopt;
    return answered(n == 1 ? 503 : 200);
  };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.at("fails.example").size() == 2; }, seconds(5)));
  world.run(seconds(3));
  EXPECT_EQ(world.committed(), 0) << "nothing is on the log of the delivery that hangs";
  start_again(world.one(), world);
  world.transport.answer = nullptr;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }, minutes(1)));
  EXPECT_EQ(world.transport.at("hangs.example").size(), 2u);
}

// Retention, or a hand, removes the first `count` events of partition 0.
void remove_events(World& world, std::size_t count) {
  auto& log = world.cluster.records[{Topic::events, 0}];
  log.erase(log.begin(), std::next(log.begin(), static_cast<std::ptrdiff_t>(count)));
}

TEST(NothingLost, WhatRetentionTakesFromARunningReaderIsToldBeforeItIsCommitted) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.one().log->events_stand_still = true;
  for (int i = 2; i <= 6; ++i) world.publish("e" + std::to_string(i));
  remove_events(world, 4);
  world.one().log->acknowledge = false;
  world.one().log->events_stand_still = false;
  world.run(seconds(2));
  EXPECT_EQ(world.committed(), 1) << "the fact is not acknowledged yet";
  world.one().log->acknowledge = true;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 6; }));
  const auto lost = world.lost_at_source();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].first, 1);
  EXPECT_EQ(lost[0].last, 3);
  EXPECT_EQ(world.transport.arrivals.size(), 3u);
  EXPECT_TRUE(world.one().observer.noted("source_lost"));
}

TEST(NothingLost, WhatRetentionTookBeforeATakeoverIsToldBeforeItIsCommitted) {
  World world;
  world.begin();
  world.declare("main");
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.one().log->events_stand_still = true;
  for (int i = 2; i <= 4; ++i) world.publish("e" + std::to_string(i));
  remove_events(world, 4);
  // The first fact vanishes, and the next one's acknowledgement is lost.
  int vanish = 2;
  world.cluster.fate = [&](const NewRecord& record) {
    const bool told = record.topic == Topic::attempts && record.key == "source-lost";
    return !told || vanish-- <= 0 ? Appended::Status::acknowledged
           : vanish == 1          ? Appended::Status::refused
                                  : Appended::Status::unknown;
  };
  start_again(world.one(), world);
  world.run(Millis(200));
  EXPECT_EQ(world.committed(), 1);
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 4; }));
  const auto lost = world.lost_at_source();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].first, 1);
  EXPECT_EQ(lost[0].last, 3);
  start_again(world.one(), world);
  world.publish("e5");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 5; }));
  EXPECT_EQ(world.lost_at_source().size(), 1u) << "told once";
}

TEST(NothingLost, AMarkThatIsRefusedIsNotWrittenAgainWithoutAPause) {
  World world;
  world.begin();
  int refused = 0;
  world.cluster.fate = [&](const NewRecord& record) {
    if (record.topic != Topic::parked || record.key != kOwnerKey) return Appended::Status::acknowledged;
    ++refused;
    return Appended::Status::refused;
  };
  start_again(world.one(), world);
  world.run(seconds(2));
  EXPECT_GT(refused, 5);
  EXPECT_LT(refused, 30);
}

TEST(NothingLost, EveryDeliveryOfAnEventIsFoundAfterOneOfThemWasRetried) {
  World world;
  world.begin();
  world.declare("fails", retry_after_a_second);
  world.declare("main");
  world.transport.answer = [](const std::string& host, int n) {
    return answered(host == "fails.example" && n == 1 ? 503 : 200);
  };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 3; }, seconds(5)));
  for (const std::string& id : {std::string("e1"), world.attempts().front().delivery.webhook_id.str()}) {
    std::size_t found = 0;
    world.one().shard->service().find_deliveries(
        id, [&](Result<std::vector<DeliveryId>> ids) { found = ids->size(); });
    EXPECT_EQ(found, 2u) << id;
  }
}

TEST(NothingLost, WhatTheBitmapNamesIsCountedFromTheCommittedOffsetWhateverRetentionRemoved) {
  World world;
  world.begin();
  world.declare("hangs", [](EndpointSpec& spec) { spec.types = {"slow"}; });
  world.declare("main", [](EndpointSpec& spec) { spec.types = {"order.created"}; });
  world.transport.answer = [](const std::string& host, int) -> std::optional<Outcome> {
    if (host == "hangs.example") return std::nullopt;
    return answered(200);
  };
  // Settled: 1 and 3; not settled: 0, 2, 4.
  for (int i = 0; i < 5; ++i) world.publish("e" + std::to_string(i), i % 2 == 0 ? "slow" : "order.created");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 5; }));
  world.run(seconds(3));
  ASSERT_EQ(world.committed(), 0);
  auto& events = world.cluster.records[{Topic::events, 0}];
  events.erase(0);  // retention; with the bits shifted by one, offset 2 and 4 would count as settled
  world.transport.answer = nullptr;
  start_again(world.one(), world);
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 5; }, minutes(1)));
  EXPECT_EQ(world.transport.at("hangs.example").size(), 5u);
  EXPECT_EQ(world.transport.at("main.example").size(), 2u);
}

TEST(NothingLost, AFormerOwnersMarkThatLandsLateStopsNobodyForLong) {
  World world;
  world.begin();
  world.declare("main");
  world.run(seconds(5));
  append_mark(world, "somebody-else");
  world.run(Millis(100));
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }, seconds(10)))
      << "our commits are acknowledged: we are the owner";
}

TEST(NothingLost, ANewOwnersMarkStopsTheOldOneAtOnce) {
  World world;
  world.begin();
  world.declare("main");
  world.run(seconds(5));
  world.one().log->commits_succeed = false;  // as the group refuses a member that it has put out
  append_mark(world, "the-new-owner");
  world.run(Millis(100));
  world.publish("e1");
  world.run(seconds(10));
  EXPECT_TRUE(world.transport.arrivals.empty());
}

// A process that was stopped, and wakes among the words of the new owner, says nothing any more.
TEST(NothingLost, WithoutALeaseNoForeignWordIsAnswered) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(503); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.parked_now() == 1; }));
  world.one().log->commits_succeed = false;
  world.run(seconds(13));
  ParkedState theirs = *world.parked().begin()->second;
  theirs.stamp = {theirs.stamp.epoch + 1000, 1};
  theirs.attempts = 7;
  world.cluster.append({.topic = Topic::parked,
                        .partition = 0,
                        .key = theirs.delivery.id.str(),
                        .value = wire::encode(kEnvironment, theirs),
                        .headers = {}});
  const auto records = world.cluster.records[{Topic::parked, 0}].size();
  world.run(seconds(30));
  EXPECT_EQ(world.cluster.records[Cluster::Key(Topic::parked, 0)].size(), records);
  EXPECT_EQ(world.parked().begin()->second->attempts, 7u);
  // Once the lease is back, the truth follows.
  world.one().log->commits_succeed = true;
  ASSERT_TRUE(world.run_until([&] { return world.parked().begin()->second->attempts != 7u; }, seconds(10)));
}

TEST(NothingLost, WhatWaitedForRoomInTheLogDoesNotLeaveAfterTheLease) {
  World world;
  world.begin();
  world.declare("main");
  world.run(seconds(5));
  world.one().log->append_max = 0;
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  world.one().log->commits_succeed = false;
  world.run(seconds(15));
  world.one().log->append_max = 1000;
  world.run(seconds(10));
  EXPECT_TRUE(world.attempts().empty());
  world.one().log->commits_succeed = true;
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }, seconds(20)));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
}

TEST(NothingLost, DueRowsAreFoundAgainAfterAFullDisk) {
  World world;
  world.begin();
  world.declare("main", retry_after_a_second);
  world.transport.answer = [&](const std::string&, int n) {
    world.one().store.full = n == 1;
    return answered(n == 1 ? 503 : 200);
  };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  world.run(seconds(30));  // parked on the log, due, and its row is not written
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
  world.one().store.full = false;
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 2; }, seconds(10)));
}

TEST(NothingLost, ALogThatAcknowledgesNothingIsNotReadyAndSaysSo) {
  World world;
  world.begin();
  world.declare("main");
  world.run(seconds(5));
  const auto complaints = [&] {
    Readiness readiness;
    world.one().shard->service().readiness([&](Result<Readiness> ready) { readiness = *ready; });
    return readiness.complaints;
  };
  EXPECT_TRUE(complaints().empty());
  world.cluster.fate = [](const NewRecord&) { return Appended::Status::unknown; };
  world.publish("e1");
  world.run(seconds(15));
  ASSERT_EQ(complaints().size(), 1u);
  EXPECT_NE(complaints().front().find("acknowledged nothing for"), std::string::npos);
  world.cluster.fate = [](const NewRecord&) { return Appended::Status::acknowledged; };
  ASSERT_TRUE(world.run_until([&] { return complaints().empty(); }, seconds(10)));
}

TEST(NothingLost, OneAppendOfUnknownFateLeavesNoInstanceUnready) {
  World world;
  world.begin();
  Instance& standby = world.add_instance();  // owns nothing, and appends nothing by itself
  world.run(seconds(5));
  world.cluster.fate = [](const NewRecord&) { return Appended::Status::unknown; };
  bool answered_at_all = false;
  standby.shard->service().rotate_admin_token([&](Result<Secret>) { answered_at_all = true; });
  ASSERT_TRUE(world.run_until([&] { return answered_at_all; }, seconds(5)));
  world.cluster.fate = [](const NewRecord&) { return Appended::Status::acknowledged; };
  world.run(seconds(20));
  Readiness readiness;
  standby.shard->service().readiness([&](Result<Readiness> ready) { readiness = *ready; });
  EXPECT_TRUE(readiness.ready());
}

// The stop that came last counts on the log too, though the fact before it had to be said again.
TEST(NothingLost, AnOlderHealthFactIsNotSaidAgainBehindANewerOne) {
  World world;
  world.begin();
  world.declare("main");
  world.run(seconds(3));
  world.transport.answer = [](const std::string&, int n) { return answered(n == 1 ? 503 : 410); };
  world.one().log->acknowledge = false;
  world.cluster.fate = [first = true](const NewRecord& record) mutable {
    const bool lost = record.topic == Topic::health && std::exchange(first, false);
    return lost ? Appended::Status::unknown : Appended::Status::acknowledged;
  };
  world.publish("e1");
  world.publish("e2");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 2; }, seconds(5)));
  world.run(Millis(100));
  world.one().log->acknowledge = true;
  world.run(seconds(2));
  const auto& health = world.cluster.records[Cluster::Key(Topic::health, 0)];
  ASSERT_FALSE(health.empty());
  const auto last = wire::decode_health(kEnvironment, *health.rbegin()->second.value);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->stop, Stop::disabled);
}

TEST(NothingLost, ASealedRecordUnderAKeyThatNobodyWroteDoesNotStandInTheWayForEver) {
  World world;
  world.begin();
  world.declare("main");
  world.run(seconds(1));
  Event attributes;
  attributes.id = "e0";
  attributes.source = "/shop";
  attributes.type = "order.created";
  attributes.tenant = TenantId("nobody");
  attributes.target = Target{EndpointId("main"), Incarnation("inc_1")};
  attributes.replay_job = ReplayJobId("rpl_1");
  const auto message = wire::encode_sealed_replay(attributes, "made up");
  world.cluster.append({.topic = Topic::events,
                        .partition = 0,
                        .key = message.key,
                        .value = message.value,
                        .headers = message.headers});
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  world.run(minutes(5));
  EXPECT_EQ(world.committed(), 0) << "not yet: the key may come";
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2; }, minutes(10)));
  ASSERT_EQ(world.dead_letters().size(), 1u);
  EXPECT_EQ(world.dead_letters().front().reason, DeadReason::undecodable);
}

// A tombstone would be read as its end by whoever takes over.
TEST(NothingLost, ALateWordOnAnEventThatWaitsForItsKeyIsNotAnsweredByATombstone) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.retry = *parse_retry_policy({}); });
  world.transport.answer = [](const std::string&, int n) { return answered(n == 1 ? 503 : 200); };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  world.one().keys->away = true;
  const DeliveryRef replayed = world.replay_dead_letter();
  world.run(seconds(1));
  ParkedState late;
  late.stamp = {-1, 99};  // of a former epoch
  late.delivery = replayed;
  late.attempts = 1;
  late.appended = late.due = to_ms(world.one().clock.wall());
  world.cluster.append({.topic = Topic::parked,
                        .partition = 0,
                        .key = replayed.id.str(),
                        .value = wire::encode(kEnvironment, late),
                        .headers = {}});
  world.run(seconds(2));
  world.one().store.rows.clear();
  start_again(world.one(), world);
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 2 && world.parked_now() == 0; }));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
}

TEST(NothingLost, AnAttemptThatHadToWaitIsNotSentOnceThePartitionIsGone) {
  World world;
  world.begin();
  world.declare("main");
  world.transport.answer = [](const std::string&, int) -> std::optional<Outcome> { return std::nullopt; };
  world.publish("e1");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  const std::uint64_t token = world.transport.last_token;
  EXPECT_TRUE(world.one().shard->may_still_send(token));
  world.one().log->commits_succeed = false;
  world.run(seconds(13));
  EXPECT_FALSE(world.one().shard->may_still_send(token));
}

// A producer that is told "no such token" gives its event up; one that is told "not now" tries again.
TEST(NothingLost, ATokenIsNotCalledWrongBeforeTheRegistryIsRead) {
  World world;
  world.add_instance();
  std::optional<Result<std::optional<Grant>>> answer;
  const auto ask = [&] {
    world.one().shard->service().grant_of(
        "00", [&](Result<std::optional<Grant>> said) { answer = std::move(said); });
  };
  ask();
  ASSERT_TRUE(answer && !answer->has_value());
  EXPECT_EQ(answer->error().code, "SERVICE_UNAVAILABLE");
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }, seconds(5)));
  ask();
  ASSERT_TRUE(answer && answer->has_value());
  EXPECT_FALSE(**answer);
}

TEST(NothingLost, OneAnswerTokenResetsRevokeTheOlderOnesBeforeTheyAnswer) {
  World world;
  world.begin();
  std::vector<std::string> tokens;
  const auto reset = [&] {
    const std::size_t before = tokens.size();
    world.one().shard->service().rotate_admin_token([&](Result<Secret> token) {
      ASSERT_TRUE(token);
      tokens.emplace_back(token->reveal());
    });
    ASSERT_TRUE(world.run_until([&] { return tokens.size() > before; }, seconds(10)));
  };
  const auto accepted = [&](const std::string& token) {
    const Digest digest = sha256(token);
    bool yes = false;
    world.one().shard->service().grant_of(
        hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()}),
        [&](Result<std::optional<Grant>> answer) { yes = answer->has_value(); });
    return yes;
  };
  reset();
  reset();
  EXPECT_FALSE(accepted(tokens[0]));
  EXPECT_TRUE(accepted(tokens[1]));
  // The log does not acknowledge the revocation: that is said.
  world.cluster.fate = [n = 0](const NewRecord& record) mutable {
    const bool second = record.topic == Topic::endpoints && ++n == 2;
    return second ? Appended::Status::unknown : Appended::Status::acknowledged;
  };
  std::optional<bool> done;
  world.one().shard->service().rotate_admin_token([&](Result<Secret> token) { done = token.has_value(); });
  ASSERT_TRUE(world.run_until([&] { return done.has_value(); }, seconds(10)));
  EXPECT_FALSE(*done);
}

TEST(Tokens, OfATenantAreAThousandAtMost) {
  World world;
  world.begin();
  Service& service = world.one().shard->service();
  int made = 0;
  std::string refused;
  const auto make = [&](const char* tenant) {
    TokenSpec spec;
    spec.tenant = TenantId(tenant);
    spec.scopes.add(Scope::events_publish);
    refused.clear();
    service.create_token(spec, [&](Result<MadeToken> answer) {
      if (answer) ++made;
      if (!answer) refused = answer.error().code;
    });
  };
  for (int i = 0; i < 1000; ++i) make("acme");
  ASSERT_TRUE(world.run_until([&] { return made == 1000; }));
  make("acme");
  EXPECT_EQ(refused, "TOO_MANY_TOKENS");
  make("other");
  EXPECT_EQ(refused, "");
  make("");
  EXPECT_EQ(refused, "");
}

TEST(Lookup, OfAnIdThatManyEventsShareEnds) {
  World world;
  world.begin();
  world.declare("main");
  for (int i = 0; i < 1200; ++i)
    world.publish("1", "order.created", [&](Event& event) { event.source = "/shop/" + std::to_string(i); });
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1200; }));
  std::size_t found = 0;
  world.one().shard->service().find_deliveries(
      "1", [&](Result<std::vector<DeliveryId>> ids) { found = ids ? ids->size() : 0; });
  EXPECT_EQ(found, 1000U);
}

TEST(Tokens, AreInForceWhenTheirMakingIsAnsweredAndOutOfForceWhenTheirRevocationIs) {
  World world;
  world.begin();
  Service& service = world.one().shard->service();
  TokenSpec spec;
  spec.name = "shop";
  spec.tenant = TenantId("acme");
  spec.scopes.add(Scope::events_publish);
  spec.expires_at = world.clocks.wall_ms + 3'600'000;
  std::optional<MadeToken> made;
  service.create_token(spec, [&](Result<MadeToken> answer) { made = std::move(*answer); });
  EXPECT_FALSE(made) << "other instances may not know it yet";
  ASSERT_TRUE(world.run_until([&] { return made.has_value(); }, seconds(10)));
  EXPECT_EQ(made->token.reveal().substr(0, 4), "ptk_");
  EXPECT_GE(made->token.reveal().size(), 4u + 44) << "256 bits";
  const auto grant = [&] {
    std::optional<Grant> found;
    service.grant_of(made->fact.hash, [&](Result<std::optional<Grant>> answer) { found = *answer; });
    return found;
  };
  ASSERT_TRUE(grant());
  EXPECT_EQ(grant()->tenant.str(), "acme");
  EXPECT_TRUE(grant()->scopes.has(Scope::events_publish));
  EXPECT_FALSE(grant()->scopes.has(Scope::endpoints_read));
  std::optional<std::string> refused;
  service.revoke_token(TenantId("other"), made->fact.id,
                       [&](Result<TokenFact> answer) { refused = answer ? "" : answer.error().code; });
  EXPECT_EQ(refused, "NOT_FOUND") << "another tenant's";
  std::optional<bool> revoked;
  service.revoke_token(TenantId("acme"), made->fact.id,
                       [&](Result<TokenFact> answer) { revoked = answer && answer->revoked; });
  EXPECT_FALSE(revoked) << "other instances may still accept it";
  ASSERT_TRUE(world.run_until([&] { return revoked.has_value(); }, seconds(10)));
  EXPECT_TRUE(*revoked);
  EXPECT_FALSE(grant());
}

TEST(NothingLost, ARecordThatKilledUsThreeTimesIsSetAsideUndecodedAndThePartitionGoesOn) {
  World world;
  world.begin();
  world.declare("main");
  world.one().decode_mark.suspects.insert({0, 1});
  for (const char* id : {"e0", "e1", "e2"}) world.publish(id);
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 3; }));
  EXPECT_EQ(world.transport.arrivals.size(), 2u);
  EXPECT_EQ(world.one().decode_mark.begun, (std::vector<Position>{{0, 0}, {0, 2}}));
  EXPECT_EQ(world.one().decode_mark.standing, 0);
  ASSERT_EQ(world.dead_letters().size(), 1u);
  const DeadLetter letter = world.dead_letters().front();
  EXPECT_EQ(letter.reason, DeadReason::crashed_decoder);
  EXPECT_EQ(letter.delivery.position, (Position{0, 1}));
  EXPECT_NE(letter.sealed_payload.find("ce_id: e1"), std::string::npos) << "raw, sealed";
  EXPECT_TRUE(world.one().observer.noted("record_suspect"));
}

}  // namespace
}  // namespace postrider::world
