#include <gtest/gtest.h>

#include <optional>

#include "engine/core/registry.h"
#include "engine/wire/codec.h"
#include "tests/flow/world.h"

// What the API asks beside deliveries: requests under a key, the use of tokens, preconditions, test events.
namespace postrider::world {
namespace {

using Kind = ClaimedRequest::Kind;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

RequestClaim claim(const std::string& fingerprint = "f") {
  return {"key", fingerprint, "tok_1"};
}

ClaimedRequest begin(World& world, Instance& instance, const RequestClaim& claim) {
  std::optional<ClaimedRequest> claimed;
  instance.shard->service().begin_request(claim, [&](Result<ClaimedRequest> answer) {
    EXPECT_TRUE(answer);
    claimed = answer.value_or(ClaimedRequest());
  });
  EXPECT_TRUE(world.run_until([&] { return claimed.has_value(); }, seconds(30)));
  return claimed.value_or(ClaimedRequest());
}

bool end(World& world, Instance& instance, const std::string& run, std::optional<std::string> answer) {
  std::optional<bool> kept;
  RequestEnd end{claim(), run, kTenant, std::nullopt};
  if (answer) end.answer = Secret(std::move(*answer));
  instance.shard->service().end_request(std::move(end),
                                        [&](Result<bool> done) { kept = done.value_or(false); });
  EXPECT_TRUE(world.run_until([&] { return kept.has_value(); }, seconds(30)));
  return kept.value_or(false);
}

TEST(Requests, AreRunByOneOfTwoInstancesThatBeginThemAtOnce) {
  World world;
  world.begin();
  Instance& second = world.add_instance();
  second.random = TestRandom(8);
  world.run(seconds(2));
  std::vector<ClaimedRequest> claimed;
  for (Instance* instance : {&world.one(), &second})
    instance->shard->service().begin_request(claim(), [&](Result<ClaimedRequest> answer) {
      claimed.push_back(answer.value_or(ClaimedRequest()));
    });
  ASSERT_TRUE(world.run_until([&] { return claimed.size() == 2; }, seconds(10)));
  EXPECT_EQ((claimed[0].kind == Kind::run) + (claimed[1].kind == Kind::run), 1);
  EXPECT_EQ((claimed[0].kind == Kind::under_way) + (claimed[1].kind == Kind::under_way), 1);
}

TEST(Requests, AreAnsweredEverywhereOnceTheyHaveEndedAndAfterARestart) {
  World world;
  world.begin();
  Instance& second = world.add_instance();
  second.random = TestRandom(8);
  world.run(seconds(2));
  const auto first = begin(world, world.one(), claim());
  ASSERT_EQ(first.kind, Kind::run);
  EXPECT_TRUE(end(world, world.one(), first.run, "the answer"));
  second.restart();
  world.run(seconds(2));
  const auto repeat = begin(world, second, claim());
  ASSERT_EQ(repeat.kind, Kind::answered);
  EXPECT_EQ(begin(world, second, claim("another")).kind, Kind::different);
  const Record& record = world.cluster.records.at({Topic::requests, 0}).at(repeat.answer);
  const auto fact = wire::decode_request(kEnvironment, *record.value);
  ASSERT_TRUE(fact);
  EXPECT_TRUE(fact->sealed_answer.starts_with("sealed:production|acme||answer|")) << fact->sealed_answer;
  std::optional<std::string> opened;
  second.shard->service().open_answer(fact->tenant, fact->sealed_answer,
                                      [&](Result<Secret> answer) { opened = std::string(answer->reveal()); });
  EXPECT_EQ(opened, "the answer");
  world.run(hours(24));
  EXPECT_EQ(begin(world, second, claim()).kind, Kind::run) << "a day later";
}

TEST(Requests, StayTheirRunnersWhileItLivesAndAreFreeTwoMinutesAfterItWasKilled) {
  World world;
  world.begin();
  Instance& second = world.add_instance();
  second.random = TestRandom(8);
  world.run(seconds(2));
  const auto first = begin(world, world.one(), claim());
  world.run(minutes(5));
  EXPECT_EQ(begin(world, second, claim()).kind, Kind::under_way);
  world.one().restart();
  world.run(minutes(1));
  EXPECT_EQ(begin(world, second, claim()).kind, Kind::under_way);
  world.run(minutes(2));
  const auto next = begin(world, second, claim());
  ASSERT_EQ(next.kind, Kind::run);
  EXPECT_EQ(next.origin, first.run) << "names what it makes as the first did";
  EXPECT_TRUE(end(world, second, next.run, std::nullopt));
  EXPECT_EQ(begin(world, world.one(), claim()).kind, Kind::run) << "released";
}

TEST(TokenUse, IsOneRecordATokenAndDayHoweverManyInstancesAndRestarts) {
  World world;
  world.begin();
  Instance& second = world.add_instance();
  second.random = TestRandom(8);
  TokenSpec spec;
  spec.name = "shop";
  spec.scopes.add(Scope::events_publish);
  std::optional<MadeToken> made;
  world.one().shard->service().create_token(spec,
                                            [&](Result<MadeToken> answer) { made = std::move(*answer); });
  ASSERT_TRUE(world.run_until([&] { return made.has_value(); }, seconds(10)));
  const auto use = [&](Instance& instance) {
    instance.shard->service().grant_of(made->fact.hash, [](const Result<std::optional<Grant>>&) {});
    world.run(seconds(2));
  };
  const auto records = [&] {
    const auto& all = world.cluster.records[{Topic::endpoints, 0}];
    return std::count_if(all.begin(), all.end(),
                         [&](const auto& entry) { return entry.second.key == token_use_key(made->fact.id); });
  };
  const auto used = [&](Instance& instance) {
    std::int64_t day = -1;
    instance.shard->service().list_tokens(TenantId(), [&](Result<std::vector<TokenView>> views) {
      for (const auto& view : *views)
        if (view.fact.id == made->fact.id) day = view.used_day;
    });
    return day;
  };
  EXPECT_EQ(used(second), 0);
  use(world.one());
  use(second);
  second.restart();
  world.run(seconds(2));
  use(second);
  use(world.one());
  EXPECT_EQ(records(), 1);
  const std::int64_t today = world.clocks.wall_ms - world.clocks.wall_ms % 86'400'000;
  EXPECT_EQ(used(second), today);
  world.run(hours(24));
  use(second);
  EXPECT_EQ(records(), 2);
  EXPECT_EQ(used(world.one()), today + 86'400'000);
}

TEST(Preconditions, OfAnotherRevisionChangeNothing) {
  World world;
  world.begin();
  world.declare("main");
  Precondition old;
  old.revisions = std::vector<std::uint64_t>{7};
  std::vector<std::string> codes;
  const auto note = [&](const auto& answer) { codes.push_back(answer ? "" : answer.error().code); };
  Service& service = world.one().shard->service();
  const EndpointId main("main");
  service.disable_endpoint(kTenant, main, "why", "alice", {true, old}, note);
  service.enable_endpoint(kTenant, main, "alice", {true, old}, note);
  service.delete_endpoint(kTenant, main, "alice", {true, old}, note);
  service.revoke_secret(kTenant, main, "sec_1", "alice", {true, old}, note);
  SecretRotation rotation;
  rotation.tenant = kTenant;
  rotation.endpoint = main;
  rotation.only_if = old;
  service.rotate_secret(std::move(rotation), note);
  EndpointSpec spec;
  spec.tenant = kTenant;
  spec.id = main;
  spec.url = "https://elsewhere.example/";
  spec.only_if.absent = true;
  service.apply_endpoint(std::move(spec), note);
  ASSERT_TRUE(world.run_until([&] { return codes.size() == 6; }, seconds(10)));
  EXPECT_EQ(codes, std::vector<std::string>(6, "PRECONDITION_FAILED"));
  EXPECT_EQ(world.one().shard->registry().registry().find(kTenant, main)->def.revision, 1u);
}

TEST(TestEvent, GoesToItsEndpointAloneWhateverTypesItTakes) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.types = {"order.*"}; });
  world.declare("other", [](EndpointSpec& spec) { spec.types = {"*"}; });
  Event event;
  event.source = "/postrider/test";
  event.type = "postrider.test";
  event.data = "{}";
  std::optional<Published> published;
  world.one().shard->service().publish_to(kTenant, EndpointId("main"), event,
                                          [&](Result<Published> answer) { published = *answer; });
  ASSERT_TRUE(world.run_until([&] { return world.attempts().size() == 1; }, minutes(1)));
  world.run(minutes(1));
  ASSERT_EQ(world.attempts().size(), 1u);
  EXPECT_EQ(world.attempts()[0].delivery.target.endpoint.str(), "main");
  EXPECT_EQ(world.attempts()[0].delivery.event_id, published->event_id);
}

}  // namespace
}  // namespace postrider::world
