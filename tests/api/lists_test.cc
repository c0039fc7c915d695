// Lists page by page: every one ends, holds what the whole list holds, and takes its own cursors alone.
#include <set>

#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

using Json = nlohmann::json;

struct Lists : ApiTest {
  // Every page of a list, one after the other.
  std::vector<Json> pages(const std::string& path, const std::string& name,
                          const std::string& token = "secret-token") {
    std::vector<Json> pages;
    std::string cursor;
    while (pages.size() < 100) {
      const auto reply = call("GET", path + cursor, "", {}, token);
      EXPECT_EQ(reply.status, 200) << reply.body;
      pages.push_back(reply.json());
      EXPECT_TRUE(pages.back()[name].is_array()) << reply.body;
      const auto next = pages.back()["next_cursor"];
      if (!next.is_string()) return pages;
      cursor = "&cursor=" + next.get<std::string>();
    }
    ADD_FAILURE() << "it never ends";
    return pages;
  }
  void refuse_foreign_cursors(const std::string& path, const std::string& other_path) {
    const auto cursor = call("GET", path).json()["next_cursor"].get<std::string>();
    expect_problem(call("GET", other_path + "&cursor=" + cursor), 400, "INVALID_CURSOR");
    auto changed = cursor;
    changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
    for (const auto& wrong :
         {changed, cursor + "A", cursor.substr(1), std::string("x"), std::string("%20"), std::string()})
      expect_problem(call("GET", path + "&cursor=" + wrong), 400, "INVALID_CURSOR");
    EXPECT_EQ(call("GET", path + "&cursor=" + cursor).status, 200);
  }
};

TEST_F(Lists, OfDeliveriesComePageByPage) {
  for (int i = 0; i < 5; ++i) attempt(delivery("e" + std::to_string(i)), Verdict::Kind::success, kNow + i);
  const auto all = pages("/v1/deliveries?limit=2", "deliveries");
  ASSERT_GE(all.size(), 3u);
  EXPECT_EQ(all[0]["deliveries"][0]["event_id"], "e4");
  EXPECT_EQ(all[0]["deliveries"][0]["state"], "delivered");
  EXPECT_EQ(all[0]["deliveries"][0]["attempts"], 1);
  EXPECT_EQ(all[0]["deliveries"][0]["last_status"], 200);
  EXPECT_EQ(all[1]["deliveries"][1]["event_id"], "e1");
  refuse_foreign_cursors("/v1/deliveries?limit=2", "/v1/deliveries?state=parked");
  for (const auto* query : {"state=queued", "tenant=a%20b", "type=a%20b", "since=1", "limit=0", "limit=1001",
                            "event_id=", "color=red"})
    expect_problem(call("GET", std::string("/v1/deliveries?") + query), 400, "INVALID_REQUEST");
}

TEST_F(Lists, OfEndpointsTokensAndDeadLettersComePageByPage) {
  for (const auto* id : {"a", "b", "c"}) {
    auto& endpoint = service_.endpoints[{TenantId("acme"), EndpointId(id)}];
    endpoint.def.tenant = TenantId("acme");
    endpoint.def.id = EndpointId(id);
    TokenFact token;
    token.hash = FakeService::hash_of(id);
    service_.add_token(std::string("tok_") + id, token);
    dead(id);
  }
  const auto endpoints = pages("/v1/endpoints?limit=2", "endpoints");
  ASSERT_EQ(endpoints.size(), 2u);
  EXPECT_EQ(endpoints[1]["endpoints"][0]["id"], "c");
  refuse_foreign_cursors("/v1/endpoints?limit=2", "/v1/endpoints?tenant=acme");
  const auto tokens = pages("/v1/tokens?limit=3", "tokens");
  ASSERT_EQ(tokens.size(), 2u) << "with the administrator's";
  EXPECT_EQ(tokens[0]["tokens"].size() + tokens[1]["tokens"].size(), 4u);
  refuse_foreign_cursors("/v1/tokens?limit=2", "/v1/endpoints?limit=2");
  const auto letters = pages("/v1/dead-letters?limit=2", "dead_letters");
  ASSERT_EQ(letters.size(), 2u);
  std::set<std::string> events;  // which died in one moment
  for (const auto& page : letters)
    for (const auto& letter : page["dead_letters"]) events.insert(letter["event_id"].get<std::string>());
  EXPECT_EQ(events, (std::set<std::string>{"a", "b", "c"}));
  refuse_foreign_cursors("/v1/dead-letters?limit=2", "/v1/dead-letters?tenant=acme");
}

TEST_F(Lists, OfAttemptsComeFromTheLogWhereTheViewLacksSome) {
  const auto ref = delivery("e1");
  for (int i = 0; i < 3; ++i) attempt(ref, Verdict::Kind::retry, kNow + i);
  const auto path = "/v1/deliveries/" + ref.id.str() + "/attempts?limit=2";
  const auto all = pages(path, "attempts");
  EXPECT_EQ(all[0]["attempts"].size(), 2u);
  EXPECT_EQ(all[0]["attempts"][0]["verdict"], "retry");
  EXPECT_EQ(all[0]["attempts"][0]["code"], "HTTP_503");
  EXPECT_EQ(all[1]["attempts"].size(), 1u);
  refuse_foreign_cursors(path, "/v1/deliveries?limit=2");
  AttemptFact last;  // the view of one who took over before the second attempt
  last.delivery = ref;
  last.number = 2;
  last.stamp = {9, 1};
  service_.deliveries[ref.id].apply(last);
  EXPECT_EQ(call("GET", "/v1/deliveries/" + ref.id.str() + "/attempts").json()["attempts"].size(), 3u);
  last.number = 1;
  service_.deliveries[ref.id] = {};
  service_.deliveries[ref.id].apply(last);
  EXPECT_EQ(call("GET", "/v1/deliveries/" + ref.id.str() + "/attempts").json()["attempts"].size(), 1u);
  expect_problem(call("GET", "/v1/deliveries/" + delivery("none").id.str() + "/attempts"), 404, "NOT_FOUND");
  expect_problem(call("GET", "/v1/deliveries/msg_1/attempts"), 400, "INVALID_REQUEST");
}

}  // namespace
}  // namespace postrider::test
