// Answers byte by byte: what real receivers send, sloppy ones among them, and where an answer ends.
#include "engine/curl/answer.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

struct Read {
  Outcome outcome;
  AttemptError fault = AttemptError::none;
  bool complete = false, keeps = false;
  bool operator==(const Read&) const = default;
};

Read read(std::string_view bytes, std::size_t piece, bool ends = false) {
  Answer answer({});
  answer.begin();
  bool more = true;
  for (std::size_t at = 0; at < bytes.size() && more; at += piece)
    more = answer.take(bytes.substr(at, piece));
  if (ends && more) answer.end_of_stream();
  Read result{{}, answer.fault(), answer.is_complete(), answer.keeps_connection()};
  answer.give(result.outcome);
  return result;
}
Read whole(std::string_view bytes) {
  return read(bytes, bytes.size());
}

TEST(Answer, IsTheSameHoweverItIsCutIntoPieces) {
  for (const std::string_view bytes :
       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\nX-RateLimit-Reset:  9 \r\n\r\nok",
        "HTTP/1.1 103 Early\r\nRetry-After: 1\r\n\r\nHTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nRetry-After: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end"}) {
    const Read at_once = read(bytes, bytes.size(), true);
    EXPECT_TRUE(at_once.complete) << bytes;
    for (std::size_t piece = 1; piece < 12; ++piece) EXPECT_EQ(read(bytes, piece, true), at_once) << bytes;
  }
}

TEST(Answer, KeepsWhatAVerdictNeedsOfTheFinalBlockAlone) {
  const Read read = whole(
      "HTTP/1.1 100 Continue\r\nRetry-After: 1\r\n\r\nHTTP/1.1 503 Busy\r\nServer: x\r\nretry-after:\t 30 "
      "\r\n"
      "RateLimit-Empty:\r\nContent-Length: 3\r\n\r\nno!");
  EXPECT_EQ(read.outcome.status, 503);
  EXPECT_EQ(read.outcome.headers, (Headers{{"retry-after", "30"}, {"RateLimit-Empty", ""}}));
  EXPECT_EQ(read.outcome.snippet, "no!");
  EXPECT_TRUE(read.keeps);
}

TEST(Answer, OfASloppyReceiverIsUnderstood) {
  EXPECT_TRUE(whole("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").keeps) << "no reason";
  EXPECT_TRUE(whole("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").keeps) << "an empty one";
  EXPECT_TRUE(whole("HTTP/1.1 200 OK\nContent-Length: 0\n\n").keeps) << "bare line feeds";
  EXPECT_TRUE(whole("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").keeps) << "an empty line before";
  const Read both =
      whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
  EXPECT_TRUE(both.complete) << "the chunks count";
  EXPECT_EQ(both.outcome.snippet, "a");
}

TEST(Answer, KeepsTheConnectionOnlyWhereItsEndIsNotInDoubt) {
  EXPECT_TRUE(whole("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").keeps);
  EXPECT_FALSE(whole("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").keeps);
  EXPECT_FALSE(whole("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").keeps);
  EXPECT_TRUE(whole("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n").keeps);
  EXPECT_FALSE(read("HTTP/1.1 200 OK\r\n\r\nhello", 100, true).keeps) << "ended by the connection's end";
  for (const std::string_view more : {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "x", "HTTP"}) {
    const Read read = whole("HTTP/1.1 204 No Content\r\n\r\n" + std::string(more));
    EXPECT_EQ(read.outcome.status, 204);
    EXPECT_TRUE(read.complete);
    EXPECT_FALSE(read.keeps) << "the next request would be answered before it is sent: " << more;
  }
}

TEST(Answer, WithTwoLengthsOrAnUnknownCodingIsNoneToTrust) {
  EXPECT_EQ(whole("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab").fault,
            AttemptError::malformed);
  EXPECT_EQ(whole("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n").fault,
            AttemptError::malformed);
  EXPECT_FALSE(whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab").keeps);
}

TEST(Answer, IsHeldWithinItsLimits) {
  Answer answer({.header_bytes_max = 1000, .body_bytes_max = 500, .wire_bytes_max = 2000});
  answer.begin();
  EXPECT_TRUE(answer.take("HTTP/1.1 200 OK\r\nx: "));
  EXPECT_FALSE(answer.take(std::string(1000, 'x')));
  EXPECT_EQ(answer.fault(), AttemptError::headers_too_large);
  answer.begin();
  EXPECT_FALSE(answer.take("HTTP/1.1 200 OK\r\n\r\n" + std::string(501, 'x')));
  EXPECT_EQ(answer.fault(), AttemptError::body_too_large);
  EXPECT_EQ(answer.final_status(), 200);
  answer.begin();
  EXPECT_TRUE(answer.take("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"));
  EXPECT_FALSE(answer.take(std::string(2000, 'x')));
  EXPECT_EQ(answer.fault(), AttemptError::malformed);
  answer.begin();
  EXPECT_TRUE(answer.take("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")) << "nothing is left of before";
}

}  // namespace
}  // namespace postrider
