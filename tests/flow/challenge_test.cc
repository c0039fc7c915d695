#include <gtest/gtest.h>

#include <algorithm>

#include "tests/flow/world.h"

namespace postrider::world {
namespace {

constexpr Millis for_seconds(std::int64_t count) {
  return Millis(count * 1000);
}

struct Challenged : ::testing::Test {
  Challenged() {
    world.begin().config.challenge_tenants = true;
    again();
  }
  void again() {
    world.one().restart();
    ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
    world.one().log->assign({0});
    world.run(for_seconds(1));
  }
  void declare(
      const std::string& id, const std::function<void(EndpointSpec&)>& edit = [](EndpointSpec&) {}) {
    world.declare(id, [&](EndpointSpec& spec) {
      spec.by_tenant = true;
      edit(spec);
    });
  }
  // What the receiver was last asked; empty: nothing.
  std::string asked() const {
    for (auto at = world.transport.arrivals.rbegin(); at != world.transport.arrivals.rend(); ++at)
      if (const auto value = at->header("webhook-challenge"); !value.empty()) return value;
    return "";
  }
  int times_asked() const {
    int times = 0;
    for (const auto& arrival : world.transport.arrivals)
      times += arrival.header("webhook-challenge").empty() ? 0 : 1;
    return times;
  }
  int delivered() const { return static_cast<int>(world.transport.arrivals.size()) - times_asked(); }
  // Answers challenges by header (or in the body), everything by that status.
  void answer_with(int status, bool in_header = true, bool in_body = false) {
    world.transport.answer = [=, this](const std::string&, int) {
      Outcome outcome = answered(status);
      const std::string value = world.transport.arrivals.back().header("webhook-challenge");
      if (in_header && !value.empty()) outcome.headers.push_back({"Webhook-Challenge", value});
      if (in_body) outcome.snippet = "{\"challenge\": \"" + value + "\"}";
      return outcome;
    };
  }
  EndpointView shown(const std::string& id) {
    EndpointView view;
    world.one().shard->service().show_endpoint(kTenant, EndpointId(id),
                                               [&](Result<EndpointView> answer) { view = *answer; });
    return view;
  }
  std::string prove(const std::string& id, std::optional<std::string> challenge, bool vouched = false) {
    std::optional<std::string> code;
    EndpointProof proof{kTenant, EndpointId(id), std::move(challenge), vouched, "ann", false, {}};
    world.one().shard->service().prove_endpoint(
        proof, [&](Result<EndpointView> answer) { code = answer ? "" : answer.error().code; });
    EXPECT_TRUE(world.run_until([&] { return code.has_value(); }, for_seconds(10)));
    return code.value_or("no answer");
  }
  void suspend(bool is) {
    TenantSpec spec;
    spec.id = kTenant;
    spec.suspended = is;
    bool done = false;
    world.one().shard->service().put_tenant(
        spec, [&](const Result<TenantAnswer>& answer) { done = answer.has_value(); });
    ASSERT_TRUE(world.run_until([&] { return done; }, for_seconds(10)));
  }
  World world;
};

TEST_F(Challenged, AnEndpointIsSentNothingButChallengesUntilItGivesOneBackAndThenWhatWasHeld) {
  answer_with(404);
  declare("main");
  world.publish("e0");
  world.run(for_seconds(60));
  EXPECT_EQ(delivered(), 0);
  EXPECT_GE(times_asked(), 3);
  EXPECT_LE(times_asked(), 5) << "ever more rarely";
  EXPECT_EQ(world.parked_now(), 1u);
  const EndpointView view = shown("main");
  EXPECT_EQ(name_of(view.health), "unverified");
  EXPECT_NE(view.stopped.why.find("webhook-challenge"), std::string::npos);
  EXPECT_NE(view.stopped.why.find("HTTP 404"), std::string::npos) << view.stopped.why;
  EXPECT_TRUE(view.def.sealed_challenge.empty());
  answer_with(200);
  ASSERT_TRUE(world.run_until([&] { return delivered() == 1 && world.parked_now() == 0; }));
  EXPECT_EQ(shown("main").health, HealthState::healthy);
  EXPECT_EQ(shown("main").def.proven_by, "challenge");
  const int asked_by_then = times_asked();
  world.publish("e1");
  world.run(for_seconds(60));
  EXPECT_EQ(delivered(), 2);
  EXPECT_EQ(times_asked(), asked_by_then);
  EXPECT_TRUE(world.dead_letters().empty());
}

TEST_F(Challenged, AChallengeIsSignedAndFormattedLikeAnyOther) {
  answer_with(404);
  declare("main");
  ASSERT_TRUE(world.run_until([&] { return times_asked() == 1; }, for_seconds(10)));
  const Arrival arrival = world.transport.arrivals.front();
  for (const char* name : {"webhook-id", "webhook-timestamp", "webhook-signature"})
    EXPECT_NE(arrival.header(name), "") << name;
  EXPECT_EQ(*arrival.request.body,
            R"({"type":"postrider.endpoint.challenge","challenge":")" + asked() + "\"}");
  EXPECT_TRUE(asked().starts_with("chl_"));
}

TEST_F(Challenged, TheValueInTheBodyProvesToo) {
  answer_with(201, false, true);
  declare("main");
  world.publish("e0");
  ASSERT_TRUE(world.run_until([&] { return delivered() == 1; }));
}

TEST_F(Challenged, NothingElseProves) {
  for (const int status : {200, 302, 404, 500}) {
    answer_with(status, status != 200, status != 200);
    declare("at-" + std::to_string(status));
  }
  answer_with(500, true, true);
  world.run(for_seconds(120));
  EXPECT_EQ(shown("at-500").health, HealthState::unverified);
  answer_with(200, false, false);
  world.run(for_seconds(600));
  EXPECT_EQ(shown("at-200").health, HealthState::unverified);
}

TEST_F(Challenged, ARestartAndAnotherInstanceKnowWhoIsUnverified) {
  answer_with(404);
  declare("main");
  world.publish("e0");
  world.run(for_seconds(5));
  const std::string first = asked();
  again();
  world.run(for_seconds(20));
  EXPECT_EQ(delivered(), 0);
  EXPECT_EQ(shown("main").health, HealthState::unverified);
  EXPECT_EQ(asked(), first) << "the value is a fact";
  answer_with(200);
  ASSERT_TRUE(world.run_until([&] { return delivered() == 1; }));
  again();
  EXPECT_EQ(shown("main").health, HealthState::healthy);
}

TEST_F(Challenged, SomebodyWhoReadTheValueAtTheReceiverProvesIt) {
  answer_with(200, false, false);
  declare("main");
  world.publish("e0");
  ASSERT_TRUE(world.run_until([&] { return times_asked() == 1; }, for_seconds(10)));
  EXPECT_EQ(prove("main", "chl_0000000000000000000000"), "WRONG_CHALLENGE");
  EXPECT_EQ(shown("main").health, HealthState::unverified);
  EXPECT_EQ(prove("main", asked()), "");
  EXPECT_EQ(shown("main").def.proven_by, "value");
  ASSERT_TRUE(world.run_until([&] { return delivered() == 1; }));
  EXPECT_EQ(prove("main", "whatever"), "") << "it is verified";
}

TEST_F(Challenged, ThePlatformVouches) {
  answer_with(404);
  declare("main");
  EXPECT_EQ(prove("main", std::nullopt, true), "");
  EXPECT_EQ(shown("main").def.proven_by, "platform");
  world.declare("platforms");
  EXPECT_EQ(shown("platforms").health, HealthState::healthy);
}

TEST_F(Challenged, OneOfAnotherRevisionThanIsDemandedIsNotProven) {
  answer_with(404);
  declare("main");
  EndpointProof proof{kTenant, EndpointId("main"), std::nullopt, true, "ann", false, {}};
  proof.only_if.revisions = {shown("main").def.revision + 1};
  std::string code;
  world.one().shard->service().prove_endpoint(
      proof, [&](Result<EndpointView> answer) { code = answer ? "proven" : answer.error().code; });
  EXPECT_EQ(code, "PRECONDITION_FAILED");
  EXPECT_EQ(shown("main").health, HealthState::unverified);
}

TEST_F(Challenged, ANewChallengeIsSentAMinuteLaterAndTheOldOneProvesNothing) {
  answer_with(404);
  declare("main");
  ASSERT_TRUE(world.run_until([&] { return times_asked() == 1; }, for_seconds(10)));
  const std::string old = asked();
  EXPECT_EQ(prove("main", std::nullopt), "RATE_LIMITED");
  world.run(for_seconds(61));
  EXPECT_EQ(prove("main", std::nullopt), "");
  ASSERT_TRUE(world.run_until([&] { return asked() != old; }, for_seconds(10)));
  EXPECT_EQ(prove("main", old), "WRONG_CHALLENGE");
}

TEST_F(Challenged, WhatLeadsToAnotherUrlIsProvenAnewOnTheSameHostToo) {
  const auto to = [](const char* url) { return [url](EndpointSpec& spec) { spec.url = url; }; };
  for (const char* other : {"https://shared.example/victims?team=1", "https://shared.example/mine?team=2",
                            "https://shared.example/mine", "https://elsewhere.example/mine?team=1"}) {
    SCOPED_TRACE(other);
    answer_with(200);
    declare("main", to("https://shared.example/mine?team=1"));
    ASSERT_TRUE(
        world.run_until([&] { return shown("main").health == HealthState::healthy; }, for_seconds(120)));
    answer_with(404);
    declare("main", to(other));
    EXPECT_EQ(shown("main").health, HealthState::unverified);
    world.run(for_seconds(61));  // a URL is asked once a minute
  }
}

TEST_F(Challenged, WhatChangesNothingOfTheUrlNeitherProvesItNorAsksAnew) {
  const auto with_query = [](EndpointSpec& spec) { spec.url = "https://shared.example/mine?team=1"; };
  const auto otherwise = [&](EndpointSpec& spec) {
    with_query(spec);
    spec.types = {"order.*"};
  };
  answer_with(404);
  declare("main", with_query);
  declare("main", otherwise);
  EXPECT_EQ(shown("main").health, HealthState::unverified);
  world.declare("main", with_query);
  EXPECT_EQ(shown("main").health, HealthState::unverified) << "nor does the platform's change";
  EXPECT_EQ(prove("main", std::nullopt, true), "");
  declare("main", otherwise);
  EXPECT_EQ(shown("main").health, HealthState::healthy);
}

// Whose receivers hang holds up its own alone.
TEST_F(Challenged, ATenantWithManyThatHangLeavesOthersTheirTurn) {
  world.transport.answer = [](const std::string& host, int) -> std::optional<Outcome> {
    if (host == "silent.example") return std::nullopt;
    return answered(404);
  };
  for (int i = 0; i < 40; ++i)
    declare("a" + std::to_string(i), [](EndpointSpec& spec) {
      spec.tenant = TenantId("aaa");
      spec.url = "https://silent.example/";
    });
  world.run(for_seconds(2));
  EXPECT_EQ(world.transport.hanging(), 2U);
  declare("main");
  EXPECT_TRUE(world.run_until(
      [&] {
        return !world.transport.arrivals.empty() && world.transport.arrivals.back().host != "silent.example";
      },
      for_seconds(3)));
}

TEST_F(Challenged, AUrlThatGoesToAndFroIsAskedOnceAMinute) {
  answer_with(404);
  for (int i = 0; i < 10; ++i) {
    declare("main", [&](EndpointSpec& spec) {
      spec.url = i % 2 == 0 ? "https://one.example/" : "https://two.example/";
    });
    world.run(for_seconds(2));
  }
  EXPECT_EQ(times_asked(), 1);
  EXPECT_TRUE(world.run_until([&] { return times_asked() == 2; }, for_seconds(60)));
}

TEST_F(Challenged, ItIsAskedForThreeDaysAndNoLonger) {
  answer_with(404);
  declare("main");
  world.run(std::chrono::hours(80));
  const int times = times_asked();
  EXPECT_LE(times, 25);
  world.run(std::chrono::hours(24));
  EXPECT_EQ(times_asked(), times);
}

TEST_F(Challenged, OneOfATenantThatWasSuspendedForLongIsAskedAnewOnceThatIsLifted) {
  answer_with(404);
  declare("main");
  world.publish("e0");
  world.run(std::chrono::hours(12));
  suspend(true);
  const int times = times_asked();
  world.run(std::chrono::hours(80));
  EXPECT_EQ(times_asked(), times);
  suspend(false);
  EXPECT_TRUE(world.run_until([&] { return times_asked() == times + 1; }, for_seconds(5)));
  world.run(std::chrono::hours(60));
  EXPECT_EQ(shown("main").health, HealthState::unverified);
  const int later = times_asked();
  suspend(true);
  suspend(false);
  EXPECT_TRUE(world.run_until([&] { return times_asked() == later + 1; }, for_seconds(5))) << "at once";
  answer_with(200);
  EXPECT_TRUE(
      world.run_until([&] { return shown("main").health == HealthState::healthy; }, std::chrono::hours(7)))
      << "it is asked for three days from then";
}

TEST_F(Challenged, OneOfATenantThatWasSuspendedIsAskedAnewForThreeDaysAndNoLonger) {
  answer_with(404);
  declare("main");
  suspend(true);
  world.run(std::chrono::hours(80));
  suspend(false);
  world.run(std::chrono::hours(80));
  const int times = times_asked();
  world.run(std::chrono::hours(24));
  EXPECT_EQ(times_asked(), times);
}

TEST_F(Challenged, ADisabledOrDeletedEndpointIsNotAsked) {
  answer_with(404);
  declare("main");
  bool done = false;
  world.one().shard->service().disable_endpoint(
      kTenant, EndpointId("main"), "why", "ann", false,
      [&](Result<EndpointView> answer) { done = answer.has_value(); });
  ASSERT_TRUE(world.run_until([&] { return done; }, for_seconds(10)));
  const int times = times_asked();
  world.run(for_seconds(300));
  EXPECT_EQ(times_asked(), times);
  EXPECT_EQ(shown("main").health, HealthState::disabled);
}

TEST(ChallengeOff, NobodyIsAsked) {
  World world;
  world.begin();
  world.declare("main", [](EndpointSpec& spec) { spec.by_tenant = true; });
  world.publish("e0");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
  EXPECT_EQ(world.transport.arrivals.front().header("webhook-challenge"), "");
}

struct EndpointsOfATenant : ::testing::Test {
  EndpointsOfATenant() {
    world.begin().config.endpoints_per_tenant = 2;
    world.one().restart();
    world.one().log->assign({0});
    world.declare("one");
  }
  Instance& another() {
    Instance& instance = world.add_instance();
    instance.config.endpoints_per_tenant = 2;
    instance.restart();
    world.run(for_seconds(1));
    return instance;
  }
  // Nothing is waited for: answers come as they come.
  void begin(Instance& instance, const std::string& id) {
    EndpointSpec spec;
    spec.tenant = kTenant;
    spec.id = EndpointId(id);
    spec.url = "https://" + id + ".example/hook";
    instance.shard->service().apply_endpoint(std::move(spec), [this, id](const Result<ApplyAnswer>& answer) {
      codes[id] = answer ? "" : answer.error().code;
    });
  }
  std::vector<std::string> living(Instance& instance) {
    std::vector<std::string> ids;
    instance.shard->service().list_endpoints(kTenant, {}, [&](const Result<std::vector<EndpointView>>& all) {
      for (const EndpointView& view : *all) ids.push_back(view.def.id.str());
    });
    return ids;
  }
  bool is_on_the_log(const std::string& id) {
    return std::ranges::any_of(world.cluster.records[{Topic::endpoints, 0}], [&](const auto& entry) {
      return entry.second.key == def_key(kTenant, EndpointId(id));
    });
  }
  World world;
  std::map<std::string, std::string> codes;
};

TEST_F(EndpointsOfATenant, AreNoMoreThanItMayHave) {
  world.declare("two");
  EXPECT_THROW(world.declare("three"), std::runtime_error);
  world.declare("two", [](EndpointSpec& spec) { spec.types = {"order.*"}; });
}

TEST_F(EndpointsOfATenant, DeclaredAtOnceAreNoMoreThanItMayHaveAndTheOthersAreNotWritten) {
  for (const char* id : {"two", "three", "four"}) begin(world.one(), id);
  ASSERT_TRUE(world.run_until([&] { return codes.size() == 3; }, for_seconds(30)));
  EXPECT_EQ(codes, (std::map<std::string, std::string>{
                       {"two", ""}, {"three", "TOO_MANY_ENDPOINTS"}, {"four", "TOO_MANY_ENDPOINTS"}}));
  EXPECT_FALSE(is_on_the_log("three"));
  EXPECT_EQ(living(world.one()), (std::vector<std::string>{"one", "two"}));
}

TEST_F(EndpointsOfATenant, DeclaredTwiceAtOnceTakeOnePlace) {
  begin(world.one(), "two");
  std::string second;
  EndpointSpec spec;
  spec.tenant = kTenant;
  spec.id = EndpointId("two");
  spec.url = "https://two.example/hook";
  world.one().shard->service().apply_endpoint(std::move(spec), [&](const Result<ApplyAnswer>& answer) {
    second = answer ? "" : answer.error().code;
  });
  ASSERT_TRUE(world.run_until([&] { return codes.size() == 1 && !second.empty(); }, for_seconds(30)));
  EXPECT_EQ(codes["two"], "");
  EXPECT_EQ(second, "CONFLICT");
}

TEST_F(EndpointsOfATenant, ThatCouldNotBeDeclaredTakeNoPlace) {
  world.cluster.fate = [](const NewRecord& record) {
    return record.topic == Topic::endpoints ? Appended::Status::unknown : Appended::Status::acknowledged;
  };
  begin(world.one(), "two");
  ASSERT_TRUE(world.run_until([&] { return codes.size() == 1; }, for_seconds(30)));
  EXPECT_EQ(codes["two"], "SERVICE_UNAVAILABLE");
  world.cluster.fate = [](const NewRecord&) { return Appended::Status::acknowledged; };
  world.declare("three");
}

TEST_F(EndpointsOfATenant, DeclaredAtOnceOnTwoInstancesAreNoMoreThanItMayHave) {
  Instance& second = another();
  begin(world.one(), "two");
  begin(second, "three");
  ASSERT_TRUE(world.run_until([&] { return codes.size() == 2; }, for_seconds(30)));
  EXPECT_EQ(codes, (std::map<std::string, std::string>{{"two", ""}, {"three", "TOO_MANY_ENDPOINTS"}}));
  EXPECT_TRUE(is_on_the_log("three")) << "else these were not at once";
  for (Instance* instance : {&world.one(), &second})
    EXPECT_EQ(living(*instance), (std::vector<std::string>{"one", "two"}));
}

TEST_F(EndpointsOfATenant, OfTwoAtOnceTheFirstOnTheLogStaysThoughItsAcknowledgementComesLate) {
  Instance& second = another();
  world.cluster.fate = [&](const NewRecord& record) {
    if (record.key == def_key(kTenant, EndpointId("two"))) world.one().log->acknowledge = false;
    return Appended::Status::acknowledged;
  };
  begin(world.one(), "two");
  begin(second, "three");
  ASSERT_TRUE(world.run_until([&] { return !codes.empty(); }, for_seconds(30)));
  EXPECT_EQ(codes, (std::map<std::string, std::string>{{"three", "TOO_MANY_ENDPOINTS"}}));
  world.one().log->acknowledge = true;
  ASSERT_TRUE(world.run_until([&] { return codes.size() == 2; }, for_seconds(30)));
  EXPECT_EQ(codes["two"], "");
  EXPECT_EQ(living(second), (std::vector<std::string>{"one", "two"}));
}

}  // namespace
}  // namespace postrider::world
