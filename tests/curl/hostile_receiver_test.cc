// Receivers that answer badly, slowly, endlessly or not at all: each an outcome with its own code, in bounded
// time and memory.
#include <gtest/gtest.h>

#include "tests/curl/client.h"
#include "tests/curl/scripted_server.h"

namespace postrider::test {
namespace {

struct Row {
  const char* name;
  ScriptedServer::Handler handler;
  std::int32_t status;
  AttemptError error;
  Millis timeout{10'000};  // of the request: brief where it is what ends it
};

ScriptedServer::Handler then_hang(std::string answer) {
  return [answer](Connection& connection) {
    connection.read_request();
    connection.send(answer);
    connection.wait_until_closed();
  };
}

ScriptedServer::Handler then_reset(std::string answer) {
  return [answer](Connection& connection) {
    connection.read_request();
    connection.send(answer);
    connection.reset();
  };
}

ScriptedServer::Handler endless(std::string begin, std::string piece) {
  return [begin, piece](Connection& connection) {
    connection.read_request();
    connection.send(begin);
    while (connection.send(piece)) {
    }
  };
}

// A byte now and then, never the last.
ScriptedServer::Handler drip(std::string begin, std::string piece) {
  return [begin, piece](Connection& connection) {
    connection.read_request();
    connection.send(begin);
    while (!connection.server().stopping() && connection.send(piece)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
}

void PrintTo(const Row& row, std::ostream* out) {
  *out << row.name;
}

class HostileReceiver : public testing::TestWithParam<Row> {};

TEST_P(HostileReceiver, IsAnOutcomeWithItsOwnCode) {
  ScriptedServer server(GetParam().handler);
  Client client;
  auto request = request_to(plain(server.port()));
  request.timeout = GetParam().timeout;
  const Outcome outcome = client.exchange(request);
  EXPECT_EQ(outcome.status, GetParam().status);
  EXPECT_EQ(code_of(outcome.error), code_of(GetParam().error));
  EXPECT_LE(outcome.snippet.size(), kSnippetBytesMax);
  EXPECT_EQ(outcome.dialled, "127.0.0.1");
  if (GetParam().error == AttemptError::timeout) {
    EXPECT_GE(outcome.phases.total, 300);
  }
}

const std::string kNine(9, 'x');
const std::string kMany(20'000, 'x');

// Far below the cap of header bytes.
std::string many_informational() {
  std::string all;
  for (int i = 0; i < 50; ++i) all += "HTTP/1.1 102 Processing\r\n\r\n";
  return all;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, HostileReceiver,
    testing::Values(
        // before a final status
        Row{"Silence", then_hang(""), 0, AttemptError::timeout, Millis(300)},
        Row{"AcceptsAndCloses", once(""), 0, AttemptError::reset},
        Row{"AcceptsAndResets", then_reset(""), 0, AttemptError::reset},
        Row{"Garbage", once("\x16\x03\x01 what is this\r\n\r\n"), 0, AttemptError::malformed},
        Row{"GarbageWithoutEnd", then_hang("SSH-2.0-OpenSSH_9.2\r\n"), 0, AttemptError::malformed},
        Row{"OldHttpWithoutStatus", once("<html>hello</html>"), 0, AttemptError::malformed},
        Row{"UnaskedHttp2", once("HTTP/2 200\r\n\r\n"), 0, AttemptError::malformed},
        Row{"StatusBelow100", once("HTTP/1.1 042 What\r\nContent-Length: 0\r\n\r\n"), 0,
            AttemptError::malformed},
        Row{"HalfAHeader", once("HTTP/1.1 200 OK\r\nContent-Le"), 0, AttemptError::malformed},
        Row{"HalfAHeaderThenReset", then_reset("HTTP/1.1 200 OK\r\nContent-Le"), 0, AttemptError::malformed},
        Row{"HalfAHeaderThenSilence", then_hang("HTTP/1.1 200 OK\r\nContent-Le"), 0, AttemptError::timeout,
            Millis(300)},
        Row{"NonsenseLength", once("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), 0,
            AttemptError::malformed},
        Row{"EndlessHeaders", endless("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n"), 0,
            AttemptError::headers_too_large},
        Row{"EndlessHeaderLine", endless("HTTP/1.1 200 OK\r\nx-more: ", kMany), 0,
            AttemptError::headers_too_large},
        Row{"EndlessStatusLine", endless("HTTP/1.1 200 ", kMany), 0, AttemptError::headers_too_large},
        Row{"EndlessInformational", endless("", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"), 0,
            AttemptError::headers_too_large},
        Row{"ManyInformational", then_hang(many_informational()), 0, AttemptError::headers_too_large},
        Row{"OnlyInformational", once("HTTP/1.1 100 Continue\r\n\r\n"), 0, AttemptError::malformed},
        Row{"SwitchesProtocols", once("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n"), 0,
            AttemptError::malformed},
        Row{"DrippingHeaders", drip("HTTP/1.1 200 OK\r\nx: ", "y"), 0, AttemptError::timeout, Millis(300)},
        Row{"StatusLinesOnly", drip("", "HTTP/1.1 102 Processing\r\n"), 0, AttemptError::malformed},
        // a final status, and then
        Row{"InformationalFirst",
            then_hang("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n"), 201,
            AttemptError::none},
        Row{"RedirectIsNotFollowed",
            then_hang("HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), 307,
            AttemptError::none},
        Row{"AsksForAPassword",
            then_hang("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"), 401,
            AttemptError::none},
        Row{"BodyUntilClose", once("HTTP/1.1 200 OK\r\n\r\nhello"), 200, AttemptError::none},
        Row{"ShortBody", once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"), 200,
            AttemptError::body_broken},
        Row{"ResetInTheBody", then_reset("HTTP/1.1 204 OK\r\n\r\n"), 204, AttemptError::none},
        Row{"DrippingBody", drip("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "x"), 200,
            AttemptError::body_broken, Millis(300)},
        Row{"SilentBody", then_hang("HTTP/1.1 202 OK\r\nContent-Length: 10\r\n\r\n" + kNine), 202,
            AttemptError::body_broken, Millis(300)},
        Row{"BrokenChunks", then_hang("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 200,
            AttemptError::body_broken},
        Row{"EndlessBody", endless("HTTP/1.1 200 OK\r\n\r\n", kMany), 200, AttemptError::body_too_large},
        Row{"EndlessChunks",
            endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "9\r\n" + kNine + "\r\n"), 200,
            AttemptError::body_too_large},
        Row{"EndlessTrailers",
            endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "x-more: and more\r\n"),
            200, AttemptError::body_too_large},
        Row{"FailureWithABrokenBody", once("HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhello"), 500,
            AttemptError::body_broken},
        Row{"BombIsNotInflated",
            then_hang("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), 200,
            AttemptError::none}),
    [](const testing::TestParamInfo<Row>& row) { return std::string(row.param.name); });

TEST(HostileReceivers, KeepTheFirstBytesOfALongBody) {
  ScriptedServer server(always("HTTP/1.1 500 No\r\nContent-Length: 20000\r\n\r\n" + kMany));
  Client client;
  const Outcome outcome = client.exchange(request_to(plain(server.port())));
  EXPECT_EQ(outcome.snippet, std::string(1024, 'x'));
  EXPECT_EQ(outcome.error, AttemptError::none);
}

TEST(HostileReceivers, DoNotHoldUpAHealthyOne) {
  ScriptedServer hanging(then_hang(""));
  ScriptedServer healthy(always(kOk));
  Client client;
  for (int i = 0; i < 100; ++i) client.send(request_to(plain(hanging.port())));
  for (int i = 0; i < 20; ++i) {
    const auto token = client.send(request_to(plain(healthy.port())));
    client.run_until([&] { return client.outcomes.count(token) != 0; });
    EXPECT_EQ(client.outcomes.at(token).status, 200);
    EXPECT_LT(client.outcomes.at(token).phases.total, 2000);
  }
}

// libcurl would send the request again by itself: the receiver may have taken it, and an attempt is one
// arrival.
TEST(HostileReceivers, EndingAKeptConnectionUnderARequestGetNothingTwice) {
  for (const bool by_reset : {false, true}) {
    ScriptedServer server([&](Connection& connection) {
      connection.read_request();
      connection.send(kOk);
      connection.read_request();
      if (by_reset) connection.reset();
    });
    Client client;
    // Several connections rest, so that there would be others to use.
    const int connections = 4;
    for (int i = 0; i < connections; ++i) client.send(request_to(plain(server.port())));
    client.wait_for(connections);
    const std::size_t before = server.requests().size();
    EXPECT_EQ(client.exchange(request_to(plain(server.port()))).error, AttemptError::reset);
    EXPECT_EQ(server.requests().size(), before + 1);
  }
}

TEST(HostileReceivers, ThatDisappearAfterAKeptConnectionAreConnectFailures) {
  auto server = std::make_unique<ScriptedServer>(always(kOk));
  Client client;
  const auto request = request_to(plain(server->port()));
  EXPECT_EQ(client.exchange(request).status, 200);
  server.reset();
  EXPECT_EQ(client.exchange(request).error, AttemptError::connect);
}

}  // namespace
}  // namespace postrider::test
