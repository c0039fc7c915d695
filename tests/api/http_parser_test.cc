#include "engine/api/http_parser.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using State = RequestParser::State;

// Feeds `text` in pieces of `step` bytes; a body may have 100 bytes.
RequestParser parsed(std::string_view text, std::size_t step = 1 << 20) {
  RequestParser parser({.head_bytes = 512, .headers = 8});
  while (!text.empty() && parser.state() != State::failed && parser.state() != State::done) {
    const auto taken = parser.feed(text.substr(0, step));
    text.remove_prefix(taken);
    if (parser.state() == State::head_done) parser.begin_body(100);
  }
  return parser;
}

int refusal(std::string_view text) {
  const auto whole = parsed(text), byte_by_byte = parsed(text, 1);
  EXPECT_EQ(whole.state(), State::failed) << text;
  EXPECT_EQ(byte_by_byte.state(), State::failed) << text;
  return whole.failure().status;
}

TEST(RequestParser, ReadsARequestHoweverItIsCut) {
  const std::string text =
      "POST /v1/events?a=1 HTTP/1.1\r\nHost: x\r\nce-id:  7 \r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    auto parser = parsed(text, step);
    ASSERT_EQ(parser.state(), State::done) << step;
    const auto request = parser.take();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/v1/events");
    EXPECT_EQ(request.query, "a=1");
    EXPECT_EQ(*find_header(request.headers, "CE-ID"), "7");
    EXPECT_EQ(request.body, "hello");
    EXPECT_TRUE(parser.idle());
  }
}

TEST(RequestParser, ReadsChunksAndDropsTrailers) {
  const std::string text =
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n"
      "Trailer: t\r\n\r\n";
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, text.size()}) {
    auto parser = parsed(text, step);
    ASSERT_EQ(parser.state(), State::done);
    const auto request = parser.take();
    EXPECT_EQ(request.body, "abc0123456789");
    EXPECT_EQ(find_header(request.headers, "trailer"), nullptr);
  }
}

TEST(RequestParser, LeavesTheNextRequestAlone) {
  RequestParser parser({});
  const std::string_view first = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string both = std::string(first) + "GET /b HTTP/1.1\r\nHost: x\r\n\r\n";
  EXPECT_EQ(parser.feed(both), first.size());
  parser.begin_body(0);
  EXPECT_EQ(parser.state(), State::done);
  EXPECT_EQ(parser.take().path, "/a");
}

TEST(RequestParser, RefusesWhatIsMalformed) {
  for (const auto* text :
       {"GET\r\n", "GET /\r\n", "GET  / HTTP/1.1\r\n", "GET x HTTP/1.1\r\n", "GET http://x/ HTTP/1.1\r\n",
        "G(T / HTTP/1.1\r\n", "GET /\x01 HTTP/1.1\r\n", "GET /#f HTTP/1.1\r\n", "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\nHost : x\r\n", "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n", "GET / HTTP/1.1\r\n: x\r\n", "GET / HTTP/1.1\r\nx\r\n",
        "GET / HTTP/1.1\r\nA: a\rb\r\n", "GET / HTTP/1.1\r\nA: \x7f\r\n", "GET / HTTP/1.1\r\n\r\n"})
    EXPECT_EQ(refusal(text), 400) << text;
  EXPECT_EQ(refusal("GET / HTTP/2.0\r\n"), 505);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nExpect: wonders\r\n"), 417);
}

// Each of these has been used to smuggle a second request past a first parser.
TEST(RequestParser, RefusesEveryDoubtAboutWhereABodyEnds) {
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\n";
  for (const auto* lines :
       {"Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1, 1\r\n", "Content-Length: +1\r\n",
        "Content-Length: -1\r\n", "Content-Length: 0x1\r\n", "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n\r\nx\r\n", "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "Transfer-Encoding: chunked\r\n\r\n 1\r\n"})
    EXPECT_EQ(refusal(head + lines), 400) << lines;
  EXPECT_EQ(refusal(head + "Transfer-Encoding: gzip, chunked\r\n"), 501);
  EXPECT_EQ(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"), 400);
}

TEST(RequestParser, BoundsHeadsAndBodies) {
  EXPECT_EQ(refusal("GET /" + std::string(600, 'a')), 431);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nA: " + std::string(600, 'a')), 431);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 9; ++i) many += "A: a\r\n";
  EXPECT_EQ(refusal(many), 431);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n"), 413);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"), 413);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n"),
            413);
  EXPECT_EQ(
      refusal("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(600, 'e')),
      431);
}

TEST(RequestParser, KnowsWhenTheConnectionEnds) {
  const auto keeps = [](const char* text) {
    RequestParser parser({});
    parser.feed(text);
    EXPECT_EQ(parser.state(), State::head_done);
    return parser.keep_alive();
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
}

}  // namespace
}  // namespace postrider
