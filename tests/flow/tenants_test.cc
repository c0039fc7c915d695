#include <gtest/gtest.h>

#include "tests/flow/world.h"

namespace postrider::world {
namespace {

void suspended(TenantSpec& spec) {
  spec.suspended = true;
}

void lifted(TenantSpec& spec) {
  spec.suspended = false;
}

struct TenantRecord : ::testing::Test {
  TenantRecord() { world.begin(); }
  // "" or the error's code; answered once it is in force everywhere.
  std::string put(const std::function<void(TenantSpec&)>& edit) {
    TenantSpec spec;
    spec.id = kTenant;
    spec.actor = "ann";
    edit(spec);
    std::optional<std::string> code;
    service().put_tenant(spec, [&](const Result<TenantAnswer>& answer) { code = told(answer); });
    EXPECT_TRUE(world.run_until([&] { return code.has_value(); }, std::chrono::seconds(10)));
    return code.value_or("no answer");
  }
  std::string forget() {
    std::optional<std::string> code;
    service().delete_tenant(kTenant, "ann", true, [&](const Result<bool>& answer) { code = told(answer); });
    EXPECT_TRUE(world.run_until([&] { return code.has_value(); }, std::chrono::seconds(10)));
    return code.value_or("no answer");
  }
  TenantView shown() {
    TenantView view;
    service().show_tenant(kTenant, [&](Result<TenantView> answer) { view = answer ? *answer : view; });
    return view;
  }
  void restart() {
    world.one().restart();
    ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
    world.one().log->assign({0});
  }
  std::string why_stopped() {
    std::string why;
    service().show_endpoint(kTenant, EndpointId("main"), [&](Result<EndpointView> view) {
      if (view && view->stopped.stop != Stop::none) why = view->stopped.why;
    });
    return why;
  }
  // One failure, and then a suspension that lasts longer than a day of failures may.
  void fail_once_and_be_suspended_for_two_days() {
    world.declare("main");
    world.transport.answer = [](const std::string&, int) { return answered(503); };
    world.publish("e0");
    ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
    world.run(std::chrono::seconds(3));
    ASSERT_EQ(put(suspended), "");
    world.run(std::chrono::hours(48));
    ASSERT_EQ(world.transport.arrivals.size(), 1u);
    ASSERT_EQ(put(lifted), "");
  }
  void fail_again_and_go_on() {
    ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() >= 2; }));
    world.run(std::chrono::seconds(3));
    EXPECT_EQ(why_stopped(), "");
    world.transport.answer = nullptr;
    EXPECT_TRUE(world.run_until([&] { return world.parked_now() == 0; }, std::chrono::hours(12)));
    EXPECT_TRUE(world.dead_letters().empty());
  }
  template <class T>
  static std::string told(const Result<T>& answer) {
    return answer ? "" : answer.error().code;
  }
  Service& service() { return world.one().shard->service(); }
  World world;
};

TEST_F(TenantRecord, ThatIsSuspendedHoldsItsEventsUntilThatIsLifted) {
  world.declare("main");
  world.declare("others", [](EndpointSpec& spec) { spec.tenant = TenantId("other"); });
  EXPECT_EQ(put(suspended), "");
  EXPECT_EQ(shown().stopped, 1u);
  for (int i = 0; i < 50; ++i) world.publish("e" + std::to_string(i));
  world.publish("e0", "order.created", [](Event& event) { event.tenant = TenantId("other"); });
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 51; })) << "it holds back nobody's offset";
  world.run(std::chrono::hours(3));
  EXPECT_EQ(world.transport.arrivals.size(), 1u) << "another tenant's goes on";
  EXPECT_EQ(world.parked_now(), 50u);
  std::optional<std::string> why;
  service().show_endpoint(kTenant, EndpointId("main"),
                          [&](Result<EndpointView> view) { why = view->stopped.why; });
  EXPECT_EQ(why, "its tenant is suspended");
  EXPECT_EQ(put(lifted), "");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 51; }));
  world.run(std::chrono::seconds(5));
  EXPECT_EQ(world.transport.arrivals.size(), 51u);
  EXPECT_EQ(world.parked_now(), 0u);
  EXPECT_TRUE(world.dead_letters().empty());
}

TEST_F(TenantRecord, ThatIsSuspendedIsSoAfterARestartAndForEndpointsDeclaredMeanwhile) {
  EXPECT_EQ(put(suspended), "");
  world.one().restart();
  ASSERT_TRUE(world.run_until([&] { return world.one().log->joined; }));
  world.one().log->assign({0});
  world.declare("late");
  world.publish("e0");
  ASSERT_TRUE(world.run_until([&] { return world.committed() == 1; }));
  world.run(std::chrono::minutes(5));
  EXPECT_TRUE(world.transport.arrivals.empty());
  EXPECT_EQ(put(lifted), "");
  EXPECT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
}

TEST_F(TenantRecord, ThatIsSuspendedLetsNothingSignedBeforeGoOutAfterTheAnswer) {
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return std::nullopt; };  // it hangs
  world.publish("e0");
  ASSERT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
  EXPECT_EQ(put(suspended), "");
  world.transport.answer = [](const std::string&, int) { return answered(200); };
  world.run(std::chrono::hours(2));
  EXPECT_EQ(world.transport.arrivals.size(), 1u) << "its retry is held";
}

TEST_F(TenantRecord, ThatIsNoLongerSuspendedHasNotFailedAllTheWhile) {
  fail_once_and_be_suspended_for_two_days();
  fail_again_and_go_on();
}

TEST_F(TenantRecord, ThatIsNoLongerSuspendedHasNotFailedAllTheWhileForWhoReadsItFromTheLogEither) {
  fail_once_and_be_suspended_for_two_days();
  EXPECT_EQ(put([](TenantSpec& spec) { spec.name = "Acme"; }), "") << "which forgets nothing of that";
  restart();
  fail_again_and_go_on();
}

TEST_F(TenantRecord, ThatIsNoLongerSuspendedLeavesAStopOfAnEndpointsOwn) {
  world.declare("main");
  world.transport.answer = [](const std::string&, int) { return answered(410); };
  world.publish("e0");
  ASSERT_TRUE(world.run_until([&] { return world.dead_letters().size() == 1; }));
  EXPECT_EQ(put(suspended), "");
  EXPECT_EQ(why_stopped(), "its tenant is suspended");
  EXPECT_EQ(put(lifted), "");
  world.publish("e1");
  world.run(std::chrono::minutes(1));
  EXPECT_EQ(why_stopped(), "gone_410");
  EXPECT_EQ(world.transport.arrivals.size(), 1u);
}

TEST_F(TenantRecord, ThatIsSuspendedStaysSoUntilSomebodySaysOtherwise) {
  EXPECT_EQ(put(suspended), "");
  EXPECT_EQ(put([](TenantSpec& spec) { spec.name = "Acme"; }), "");
  EXPECT_TRUE(shown().def->suspended);
  EXPECT_EQ(put(lifted), "");
  EXPECT_FALSE(shown().def->suspended);
}

TEST_F(TenantRecord, ThatIsSuspendedHasNoEndpointsThatAreSaidToTakeDeliveriesAgain) {
  world.declare("main");
  EXPECT_EQ(put(suspended), "");
  const auto enable = [&] {
    std::optional<bool> enabled;
    service().enable_endpoint(kTenant, EndpointId("main"), "ann", true,
                              [&](const Result<EndpointView>& answer) { enabled = answer.has_value(); });
    EXPECT_TRUE(world.run_until([&] { return enabled.has_value(); }, std::chrono::seconds(10)));
  };
  enable();
  EXPECT_EQ(world.one().observer.changes, std::vector<std::string>());
  EXPECT_EQ(put(lifted), "");
  enable();
  EXPECT_EQ(world.one().observer.changes, (std::vector<std::string>{"main enabled"}));
}

TEST_F(TenantRecord, ThatIsSuspendedIsNotForgottenForThatWouldLiftIt) {
  EXPECT_EQ(put(suspended), "");
  EXPECT_EQ(forget(), "TENANT_IN_USE");
  EXPECT_TRUE(shown().def->suspended);
  EXPECT_EQ(put(lifted), "");
  EXPECT_EQ(forget(), "");
}

TEST_F(TenantRecord, ThatIsSuspendedTakesEventsOfThePlatformAndNoneUnderItsOwnTokens) {
  EXPECT_EQ(put(suspended), "");
  const auto publish = [&](bool by_tenant) {
    Event event;
    event.id = "e0";
    event.source = "/shop";
    event.type = "order.created";
    event.tenant = kTenant;
    std::optional<std::string> code;
    service().publish(event, by_tenant, [&](const Result<Published>& answer) { code = told(answer); });
    EXPECT_TRUE(world.run_until([&] { return code.has_value(); }, std::chrono::seconds(10)));
    return code.value_or("no answer");
  };
  EXPECT_EQ(publish(true), "TENANT_SUSPENDED");
  EXPECT_EQ(publish(false), "");
  EXPECT_EQ(put(lifted), "");
  EXPECT_EQ(publish(true), "");
}

TEST_F(TenantRecord, ThatIsSuspendedTakesNoTestEventsWhoeverSendsThem) {
  world.declare("main");
  const auto test = [&] {
    Event event;
    event.source = "/postrider/test";
    event.type = "postrider.test";
    std::optional<std::string> code;
    service().publish_to(kTenant, EndpointId("main"), event,
                         [&](const Result<Published>& answer) { code = told(answer); });
    EXPECT_TRUE(world.run_until([&] { return code.has_value(); }, std::chrono::seconds(10)));
    return code.value_or("no answer");
  };
  EXPECT_EQ(put(suspended), "");
  EXPECT_EQ(test(), "TENANT_SUSPENDED");
  EXPECT_EQ(put(lifted), "");
  world.run(std::chrono::minutes(1));
  EXPECT_TRUE(world.transport.arrivals.empty()) << "nor is it held";
  EXPECT_EQ(test(), "");
  EXPECT_TRUE(world.run_until([&] { return world.transport.arrivals.size() == 1; }));
}

TEST_F(TenantRecord, SaysHowManyEndpointsItMayHaveInPlaceOfTheConfiguration) {
  world.one().config.endpoints_per_tenant = 2;
  world.one().restart();
  world.one().log->assign({0});
  world.declare("one");
  EXPECT_EQ(put([](TenantSpec& spec) { spec.endpoints_max = 1; }), "");
  EXPECT_THROW(world.declare("two"), std::runtime_error);
  world.declare("one", [](EndpointSpec& spec) { spec.types = {"order.*"}; });  // what is there may change
  EXPECT_EQ(put([](TenantSpec& spec) { spec.endpoints_max = 3; }), "PERMISSION_DENIED");
  EXPECT_EQ(put([](TenantSpec& spec) { spec.endpoints_max = 2; }), "");
  world.declare("two");
  EXPECT_THROW(world.declare("three"), std::runtime_error);
  EXPECT_EQ(put([](TenantSpec& spec) {
              spec.endpoints_max = 4;
              spec.may_raise = true;
            }),
            "");
  world.declare("three");
  EXPECT_EQ(put([](TenantSpec& spec) {
              spec.endpoints_max = 4;
              spec.name = "Acme";
            }),
            "")
      << "what was allowed once may stay";
  EXPECT_EQ(put([](TenantSpec& spec) { spec.endpoints_max = 5; }), "PERMISSION_DENIED");
  EXPECT_EQ(put([](TenantSpec& spec) { spec.endpoints_max = 3; }), "");
  EXPECT_THROW(world.declare("four"), std::runtime_error);
  EXPECT_EQ(put([](TenantSpec& spec) { spec.endpoints_max = 0; }), "INVALID_REQUEST");
}

TEST_F(TenantRecord, IsWrittenByOneOfTwoAtOnceAndTheOtherLearnsOfIt) {
  std::vector<std::string> outcomes;
  for (const char* name : {"first", "second"}) {
    TenantSpec spec;
    spec.id = kTenant;
    spec.name = name;
    spec.wait = false;
    service().put_tenant(spec, [&](const Result<TenantAnswer>& answer) {
      outcomes.push_back(answer ? answer->view.def->name : answer.error().code);
    });
  }
  ASSERT_TRUE(world.run_until([&] { return outcomes.size() == 2; }));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"first", "CONFLICT"}));
  EXPECT_EQ(shown().def->name, "first");
}

TEST_F(TenantRecord, OfAnotherRevisionThanIsDemandedIsNeitherChangedNorForgotten) {
  EXPECT_EQ(put([](TenantSpec& spec) { spec.name = "Acme"; }), "");
  Precondition of_another;
  of_another.revisions = {7};
  EXPECT_EQ(put([&](TenantSpec& spec) { spec.only_if = of_another; }), "PRECONDITION_FAILED");
  EXPECT_EQ(put([&](TenantSpec& spec) { spec.only_if.absent = true; }), "PRECONDITION_FAILED");
  std::string code;
  service().delete_tenant(kTenant, "ann", {false, of_another},
                          [&](const Result<bool>& answer) { code = told(answer); });
  EXPECT_EQ(code, "PRECONDITION_FAILED");
  EXPECT_EQ(shown().def->name, "Acme");
}

TEST_F(TenantRecord, IsForgottenOnlyWhileItsTenantHasNoEndpoints) {
  EXPECT_EQ(forget(), "NOT_FOUND");
  EXPECT_EQ(put([](TenantSpec& spec) { spec.name = "Acme"; }), "");
  world.declare("main");
  EXPECT_EQ(forget(), "TENANT_IN_USE");
  EXPECT_EQ(shown().def->name, "Acme");
  std::optional<bool> deleted;
  service().delete_endpoint(kTenant, EndpointId("main"), "ann", true,
                            [&](const Result<bool>& answer) { deleted = answer.has_value(); });
  ASSERT_TRUE(world.run_until([&] { return deleted.has_value(); }, std::chrono::seconds(10)));
  EXPECT_EQ(forget(), "");
  EXPECT_FALSE(shown().def);
  EXPECT_EQ(forget(), "NOT_FOUND");
  EXPECT_EQ(put([](TenantSpec& spec) { spec.name = "again"; }), "");
  EXPECT_EQ(shown().def->revision, 3u) << "revisions go on through all lives";
}

TEST_F(TenantRecord, IsListedWithThoseThatExistByTheirEndpointsAndTokensAlone) {
  world.declare("main");
  for (const char* tenant : {"aaa", "zzz"})
    EXPECT_EQ(put([&](TenantSpec& spec) { spec.id = TenantId(tenant); }), "");
  bool made = false;
  TokenSpec token;
  token.tenant = TenantId("token-only");
  token.scopes = read_scopes("endpoints:read");
  service().create_token(token, [&](const Result<MadeToken>& answer) { made = answer.has_value(); });
  ASSERT_TRUE(world.run_until([&] { return made; }, std::chrono::seconds(10)));
  std::vector<std::string> ids;
  const auto list = [&](const std::string& after, std::size_t limit) {
    ids.clear();
    service().list_tenants({.after = after, .limit = limit}, [&](const Result<std::vector<TenantView>>& all) {
      for (const TenantView& view : *all) ids.push_back(view.id.str());
    });
    return ids;
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(list("", 10), (Ids{"aaa", "acme", "token-only", "zzz"}));
  EXPECT_EQ(list("", 1), (Ids{"aaa", "acme"})) << "one more tells that there are more";
  EXPECT_EQ(list("acme", 10), (Ids{"token-only", "zzz"}));
}

}  // namespace
}  // namespace postrider::world
