#include "engine/operations/replay.h"
#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

struct ReplaysApi : ApiTest {
  nlohmann::json ask_for(const std::string& body) { return call("POST", "/v1/replays", body).json(); }
  bool becomes(const std::string& job, const std::string& state) {
    return eventually([&] { return call("GET", "/v1/replays/" + job).json().value("state", "") == state; });
  }
  // Begun on an instance that was killed: nothing runs it any more.
  ReplayJobId abandoned(const TenantId& within = {}) {
    ReplayBook book;
    ReplayRequest request;
    request.filter.tenant = TenantId("acme");
    request.within = within;
    const auto id = begin_replay(desk, book, request);
    EXPECT_TRUE(id);
    return *id;
  }
};

TEST_F(ReplaysApi, ShowHowFarEachIs) {
  dead("a");
  dead("b", "globex");
  const auto made = ask_for(R"({"filter": {"tenant": "acme"}, "rate": 100})");
  EXPECT_EQ(made["state"], "finished") << made;
  EXPECT_EQ(made["matched"], 1);
  EXPECT_EQ(made["remaining"], 0);
  const auto shown = call("GET", "/v1/replays/" + made["job"].get<std::string>()).json();
  EXPECT_EQ(shown, made);
  EXPECT_EQ(shown["filter"]["tenant"], "acme");
  EXPECT_EQ(shown["rate"], 100);
  EXPECT_FALSE(shown["ended_at"].is_null());
  expect_problem(call("GET", "/v1/replays/rpl_none"), 404, "NOT_FOUND");
  expect_problem(call("POST", "/v1/replays/rpl_none/cancel"), 404, "NOT_FOUND");
}

TEST_F(ReplaysApi, ListTheNewestFirstPageByPage) {
  dead("a");
  const auto first = ask_for(R"({"filter": {"tenant": "acme"}})")["job"];
  const auto second = ask_for(R"({"filter": {"tenant": "acme"}})")["job"];
  const auto page = call("GET", "/v1/replays?limit=1").json();
  ASSERT_EQ(page["replays"].size(), 1u) << page;
  EXPECT_EQ(page["replays"][0]["job"], second);
  const auto cursor = page["next_cursor"].get<std::string>();
  const auto rest = call("GET", "/v1/replays?limit=1&cursor=" + cursor).json();
  EXPECT_EQ(rest["replays"][0]["job"], first);
  EXPECT_TRUE(rest["next_cursor"].is_null());
  EXPECT_TRUE(call("GET", "/v1/replays?state=running").json()["replays"].empty());
  expect_problem(call("GET", "/v1/replays?state=bored"), 400, "INVALID_REQUEST");
  expect_problem(call("GET", "/v1/replays?state=finished&cursor=" + cursor), 400, "INVALID_CURSOR");
}

TEST_F(ReplaysApi, CancelOneThatRuns) {
  for (int i = 0; i < 5; ++i) dead("e" + std::to_string(i));
  Reply reply;
  std::thread replaying(
      [&] { reply = call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "rate": 0.5})"); });
  ASSERT_TRUE(eventually([&] { return !log.all(Topic::events).empty(); }));
  const auto job = call("GET", "/v1/replays").json()["replays"][0]["job"].get<std::string>();
  const auto told = call("POST", "/v1/replays/" + job + "/cancel", "{}", {"Postrider-Actor: bob"});
  EXPECT_EQ(told.status, 202) << told.body;
  replaying.join();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json().value("state", ""), "cancelled") << reply.body;
  EXPECT_EQ(reply.json().value("cancelled_by", ""), "bob");
  EXPECT_EQ(reply.json().value("replayed", 0), 1);
  EXPECT_EQ(reply.json().value("remaining", 0), 4);
  EXPECT_EQ(call("POST", "/v1/replays/" + job + "/cancel").status, 200) << "once more changes nothing";
  EXPECT_EQ(log.all(Topic::events).size(), 1u);
}

TEST_F(ReplaysApi, RefuseToCancelWhatHasEnded) {
  dead("a");
  const auto job = ask_for(R"({"filter": {"tenant": "acme"}})")["job"].get<std::string>();
  expect_problem(call("POST", "/v1/replays/" + job + "/cancel"), 409, "REPLAY_ENDED");
}

TEST_F(ReplaysApi, GoOnWithWhatNobodyRuns) {
  dead("a");
  const auto job = abandoned();
  EXPECT_TRUE(becomes(job.str(), "finished"));
  EXPECT_EQ(log.all(Topic::events).size(), 1u);
}

TEST_F(ReplaysApi, GoOnWithTheNextWhileOneCannot) {
  dead("a");
  api_->stop();
  const auto first = abandoned().str(), second = abandoned().str();
  log.fail_next(1);  // the first one's, that it is taken
  start({}, "test");
  EXPECT_TRUE(becomes(second, "finished"));
  EXPECT_EQ(call("GET", "/v1/replays/" + first).json().value("state", ""), "waiting");
  clock.steady_ms += 5000;
  EXPECT_TRUE(becomes(first, "finished"));
}

TEST_F(ReplaysApi, RefuseARateThatWouldHoldTheirRunnerForDays) {
  expect_problem(call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "rate": 0.00001})"), 400,
                 "INVALID_REQUEST");
  expect_problem(
      call("POST", "/v1/replays", R"({"filter": {"tenant": "acme"}, "rate": 0.00001, "dry_run": true})"), 400,
      "INVALID_REQUEST");
}

TEST_F(ReplaysApi, AreATenantsOwn) {
  for (const std::string tenant : {"acme", "globex"}) {
    TokenFact token;
    token.hash = FakeService::hash_of("of " + tenant);
    token.scope = "replays:read replays:write";
    token.tenant = TenantId(tenant);
    service_.add_token("tok_" + tenant, token);
  }
  const auto job = abandoned(TenantId("acme")).str();
  const auto path = "/v1/replays/" + job;
  EXPECT_EQ(call("GET", path, "", {}, "of acme").status, 200);
  EXPECT_EQ(call("GET", "/v1/replays", "", {}, "of acme").json()["replays"].size(), 1u);
  expect_problem(call("GET", path, "", {}, "of globex"), 404, "NOT_FOUND");
  expect_problem(call("POST", path + "/cancel", "", {}, "of globex"), 404, "NOT_FOUND");
  EXPECT_TRUE(call("GET", "/v1/replays", "", {}, "of globex").json()["replays"].empty());
}

}  // namespace
}  // namespace postrider::test
