#include "tests/api/api_kit.h"

namespace postrider::test {
namespace {

struct Preconditions : ApiTest {
  const std::string place = "/v1/tenants/acme/endpoints/shop";
  const std::string body = R"({"url":"https://example.com/"})";
  Reply put(const std::string& url, std::vector<std::string> headers = {}) {
    return call("PUT", place, R"({"url":")" + url + "\"}", std::move(headers));
  }
  static std::string tag_of(const Reply& reply) {
    const auto at = reply.head.find("ETag: ");
    return at == std::string::npos ? "" : reply.head.substr(at + 6, reply.head.find('\r', at) - at - 6);
  }
};

TEST_F(Preconditions, AnEndpointsTagIsItsRevision) {
  const auto made = put("https://example.com/a");
  EXPECT_EQ(tag_of(made), "\"1\"");
  EXPECT_EQ(tag_of(call("GET", place)), "\"1\"");
  EXPECT_EQ(tag_of(put("https://example.com/b")), "\"2\"");
  EXPECT_EQ(tag_of(call("POST", place + "/disable", R"({"why":"asked"})")), "\"3\"");
}

TEST_F(Preconditions, AChangeOfAnotherRevisionIsRefusedAndChangesNothing) {
  put("https://example.com/a");
  put("https://example.com/b");
  const std::vector<std::string> old = {"If-Match: \"1\""};
  expect_problem(put("https://example.com/c", old), 412, "PRECONDITION_FAILED");
  expect_problem(call("DELETE", place, "", old), 412, "PRECONDITION_FAILED");
  expect_problem(call("POST", place + "/disable", R"({"why":"asked"})", old), 412, "PRECONDITION_FAILED");
  expect_problem(call("POST", place + "/enable", "{}", old), 412, "PRECONDITION_FAILED");
  expect_problem(call("POST", place + "/verify", "{}", old), 412, "PRECONDITION_FAILED");
  expect_problem(call("POST", place + "/secrets/rotate", "{}", old), 412, "PRECONDITION_FAILED");
  expect_problem(call("DELETE", place + "/secrets/sec_1", "", old), 412, "PRECONDITION_FAILED");
  expect_problem(put("https://example.com/c", {"If-Match: W/\"2\""}), 412, "PRECONDITION_FAILED");
  EXPECT_EQ(call("GET", place).json()["url"], "https://example.com/b");
  EXPECT_EQ(put("https://example.com/c", {"If-Match: \"7\", \"2\""}).status, 200);
  EXPECT_EQ(call("DELETE", place, "", {"If-Match: *"}).status, 200);
}

TEST_F(Preconditions, ACreationAloneCanBeDemanded) {
  expect_problem(put("https://example.com/a", {"If-Match: *"}), 412, "PRECONDITION_FAILED");
  EXPECT_EQ(put("https://example.com/a", {"If-None-Match: *"}).status, 201);
  expect_problem(put("https://example.com/b", {"If-None-Match: *"}), 412, "PRECONDITION_FAILED");
}

TEST_F(Preconditions, WhatCannotBeReadIsRefused) {
  for (const auto* header :
       {"If-Match: 1", "If-Match: \"1", "If-Match: \"1\" \"2\"", "If-Match: ,", "If-None-Match: \"1\""})
    expect_problem(put("https://example.com/a", {header}), 400, "INVALID_REQUEST");
}

}  // namespace
}  // namespace postrider::test
