#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

using Json = nlohmann::json;

struct EventTypeRoutes : ApiTest {};

const std::string kOwn = "/v1/tenants/acme/event-types/order.created";
const std::string kPlatforms = "/v1/event-types/order.created";

TEST_F(EventTypeRoutes, DescribeAType) {
  const std::string body =
      R"({"description":"An order","version":"1.4","classification":"confidential","deprecated":true,)"
      R"("schema":{"type":"object","required":["id"]}})";
  const auto made = call("PUT", kOwn, body);
  EXPECT_EQ(made.status, 201) << made.body;
  const auto shown = call("GET", kOwn);
  EXPECT_EQ(shown.status, 200);
  EXPECT_EQ(shown.body, made.body);
  auto json = shown.json();
  EXPECT_EQ(json["tenant"], "acme");
  EXPECT_EQ(json["name"], "order.created");
  EXPECT_EQ(json["classification"], "confidential");
  EXPECT_EQ(json["deprecated"], true);
  EXPECT_EQ(json["schema"], Json::parse(R"({"type":"object","required":["id"]})"));
  EXPECT_EQ(json["revision"], 1);
  EXPECT_EQ(call("PUT", kOwn, "{}").status, 200);
  EXPECT_EQ(call("GET", kOwn).json()["schema"], nullptr);
}

TEST_F(EventTypeRoutes, ListWhatHoldsForATenant) {
  call("PUT", kPlatforms, R"({"description":"platform"})");
  call("PUT", "/v1/event-types/order.paid", "{}");
  call("PUT", kOwn, R"({"description":"own"})");
  const auto of_acme = call("GET", "/v1/event-types?tenant=acme").json()["event_types"];
  ASSERT_EQ(of_acme.size(), 2u);
  EXPECT_EQ(of_acme[0]["description"], "own");
  EXPECT_EQ(of_acme[1]["tenant"], nullptr);
  EXPECT_EQ(call("GET", "/v1/event-types").json()["event_types"].size(), 3u);
}

TEST_F(EventTypeRoutes, ListPageByPage) {
  for (const auto* name : {"com%2fa", "b", "c"}) call("PUT", std::string("/v1/event-types/") + name, "{}");
  call("PUT", kOwn, "{}");
  for (const std::string filter : {"", "tenant=acme&"}) {
    std::vector<std::string> names;
    std::string cursor;
    for (int pages = 0; pages < 5; ++pages) {
      const auto page = call("GET", "/v1/event-types?" + filter + "limit=1" + cursor).json();
      ASSERT_EQ(page["event_types"].size(), 1u) << page;
      names.push_back(page["event_types"][0]["name"]);
      if (page["next_cursor"].is_null()) break;
      cursor = "&cursor=" + page["next_cursor"].get<std::string>();
    }
    EXPECT_EQ(names, (std::vector<std::string>{"b", "c", "com/a", "order.created"})) << filter;
  }
  expect_problem(call("GET", "/v1/event-types?cursor=abc"), 400, "INVALID_CURSOR");
}

TEST_F(EventTypeRoutes, ChangeOnlyTheRevisionThatWasRead) {
  EXPECT_NE(call("PUT", kOwn, "{}", {"If-None-Match: *"}).head.find("ETag: \"1\""), std::string::npos);
  EXPECT_NE(call("GET", kOwn).head.find("ETag: \"1\""), std::string::npos);
  expect_problem(call("PUT", kOwn, R"({"version":"2"})", {"If-None-Match: *"}), 412, "PRECONDITION_FAILED");
  EXPECT_EQ(call("PUT", kOwn, R"({"version":"2"})", {"If-Match: \"1\""}).status, 200);
  expect_problem(call("PUT", kOwn, R"({"version":"3"})", {"If-Match: \"1\""}), 412, "PRECONDITION_FAILED");
  expect_problem(call("DELETE", kOwn, "", {"If-Match: \"1\""}), 412, "PRECONDITION_FAILED");
  EXPECT_EQ(call("GET", kOwn).json()["version"], "2");
  EXPECT_EQ(call("DELETE", kOwn, "", {"If-Match: \"2\""}).status, 200);
}

TEST_F(EventTypeRoutes, ForgetAType) {
  call("PUT", kPlatforms, "{}");
  EXPECT_EQ(call("DELETE", kPlatforms).status, 200);
  expect_problem(call("GET", kPlatforms), 404, "NOT_FOUND");
  expect_problem(call("DELETE", kPlatforms), 404, "NOT_FOUND");
}

TEST_F(EventTypeRoutes, TakeASchemaThatIsDeeperThanOtherBodies) {
  std::string schema = "{}";
  for (int i = 0; i < 30; ++i) schema = R"({"properties":{"a":)" + schema + "}}";
  EXPECT_EQ(call("PUT", kOwn, R"({"schema":)" + schema + "}").status, 201);
  for (int i = 0; i < 30; ++i) schema = R"({"properties":{"a":)" + schema + "}}";
  expect_problem(call("PUT", kOwn, R"({"schema":)" + schema + "}"), 400, "INVALID_REQUEST");
}

TEST_F(EventTypeRoutes, RefuseWhatDescribesNoType) {
  for (const auto* body : {R"({"schema":true})", R"({"classification":"secret"})", R"({"deprecated":"yes"})",
                           R"({"name":"other"})", R"([])"})
    expect_problem(call("PUT", kOwn, body), 400, "INVALID_REQUEST");
  for (const auto* path : {"/v1/event-types/order.%2a", "/v1/event-types/.order", "/v1/event-types/a%20b",
                           "/v1/tenants/a%20b/event-types/a"})
    expect_problem(call("PUT", path, "{}"), 400, "INVALID_REQUEST");
  EXPECT_EQ(call("PUT", "/v1/event-types/com%2fexample", "{}").status, 201);
}

}  // namespace
}  // namespace postrider::test
