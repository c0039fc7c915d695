#include "engine/core/challenge.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

Outcome outcome(int status, Headers headers, std::string body) {
  Outcome made;
  made.status = status;
  made.headers = std::move(headers);
  made.snippet = std::move(body);
  return made;
}

TEST(Challenge, IsGivenBackByA2xxAloneInTheHeaderOrTheBody) {
  const std::string value = "chl_1";
  EXPECT_TRUE(gives_back(outcome(200, {{"Webhook-Challenge", value}}, ""), value));
  EXPECT_TRUE(gives_back(outcome(204, {}, "{\"challenge\":\"chl_1\"}"), value));
  for (const int status : {0, 199, 301, 404, 500})
    EXPECT_FALSE(gives_back(outcome(status, {{"webhook-challenge", value}}, value), value)) << status;
  EXPECT_FALSE(gives_back(outcome(200, {{"webhook-challenge", "chl_12"}}, "chl_"), value));
  EXPECT_FALSE(gives_back(outcome(200, {{"x-challenge", value}}, ""), value));
  EXPECT_FALSE(gives_back(outcome(200, {}, "anything"), ""));
}

TEST(Challenge, IsOneEventHoweverOftenItIsSent) {
  EndpointDef def;
  def.incarnation = Incarnation("inc_1");
  def.challenged_at = 5;
  EXPECT_EQ(challenge_event(def, "chl_1"), challenge_event(def, "chl_1"));
  const std::string before = challenge_event(def, "chl_1").id;
  def.challenged_at = 6;
  EXPECT_NE(challenge_event(def, "chl_2").id, before);
}

TEST(Challenge, HoldsForOneUrlAndForNoNeighbourOnItsHost) {
  const auto elsewhere = [](const char* one, const char* other) {
    return is_elsewhere(*parse_url(one), *parse_url(other));
  };
  EXPECT_FALSE(elsewhere("https://a.example/x?y=1", "https://a.example/x?y=1"));
  EXPECT_FALSE(elsewhere("https://A.example", "https://a.example.:443/")) << "spellings of one URL";
  EXPECT_TRUE(elsewhere("https://a.example/", "https://b.a.example/"));
  EXPECT_TRUE(elsewhere("https://a.example/", "https://a.example:8443/"));
  EXPECT_TRUE(elsewhere("https://a.example:8443/", "http://a.example:8443/"));
  EXPECT_TRUE(elsewhere("https://a.example/mine", "https://a.example/victims"));
  EXPECT_TRUE(elsewhere("https://a.example/mine", "https://a.example/Mine"));
  EXPECT_TRUE(elsewhere("https://a.example/?team=mine", "https://a.example/?team=victims"));
  EXPECT_TRUE(elsewhere("https://a.example/", "https://a.example/?team=victims"));
}

}  // namespace
}  // namespace postrider
