// What leaves on the wire, how connections are kept, and how many requests share one loop.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "tests/curl/client.h"
#include "tests/curl/scripted_server.h"

namespace postrider::test {
namespace {

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(CurlTransport, PostsTheBodyAndHeadersAsGivenAndNothingElse) {
  ScriptedServer server(always(kOk));
  Client client;
  auto request = request_to(plain(server.port(), "/a/../b//c?x=1&y=%20"));
  request.headers = {{"webhook-id", "msg_1"}, {"x-empty", ""}, {"Content-Type", "application/json"}};
  const Outcome outcome = client.exchange(request);
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.error, AttemptError::none);
  EXPECT_EQ(outcome.snippet, "ok");
  EXPECT_EQ(outcome.dialled, "127.0.0.1");
  ASSERT_EQ(server.requests().size(), 1U);
  EXPECT_EQ(server.requests()[0],
            "POST /a/../b//c?x=1&y=%20 HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                "\r\nAccept: */*\r\nwebhook-id: msg_1\r\nx-empty: \r\n"
                "Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"test\": 1}");
}

// As the engine sends: with headers that all requests of an event share.
HttpRequest shared_request(std::uint16_t port, const std::string& id) {
  auto request = request_to(plain(port, "/hook?key=%41"));
  request.headers = {{"webhook-id", id}, {"x-empty", ""}};
  request.shared_headers = std::make_shared<const HeaderLines>(
      Headers{{"User-Agent", "Postrider/0.1"}, {"Content-Type", "application/json"}, {"ce-id", "e1"}});
  return request;
}

TEST(CurlTransport, SendsWhatARequestHasAloneAndWhatItsEventShares) {
  ScriptedServer server(always(kOk));
  Client client;
  const std::string port = std::to_string(server.port());
  for (const char* id : {"msg_1", "msg_22"})
    EXPECT_EQ(client.exchange(shared_request(server.port(), id)).status, 200);
  // Without what they share, over the same connection; and again with it.
  auto bare = request_to(plain(server.port(), "/hook?key=%41"));
  bare.headers = {{"webhook-id", "msg_3"}};
  EXPECT_EQ(client.exchange(bare).status, 200);
  EXPECT_EQ(client.exchange(shared_request(server.port(), "msg_4")).status, 200);
  ASSERT_EQ(server.requests().size(), 4U);
  EXPECT_EQ(server.connections(), 1U);
  const auto whole = [&port](const std::string& headers) {
    return "POST /hook?key=%41 HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\nAccept: */*\r\n" + headers +
           "Content-Length: 11\r\n\r\n{\"test\": 1}";
  };
  const std::string shared =
      "x-empty: \r\nUser-Agent: Postrider/0.1\r\nContent-Type: application/json\r\nce-id: e1\r\n";
  EXPECT_EQ(server.requests()[0], whole("webhook-id: msg_1\r\n" + shared));
  EXPECT_EQ(server.requests()[1], whole("webhook-id: msg_22\r\n" + shared));
  EXPECT_EQ(server.requests()[2], whole("webhook-id: msg_3\r\n"));
  EXPECT_EQ(server.requests()[3], whole("webhook-id: msg_4\r\n" + shared));
}

// The path is the request's, not the connection's.
TEST(CurlTransport, SendsToSeveralPathsOfAHostOverOneConnection) {
  ScriptedServer server(always(kOk));
  Client client;
  for (const char* path : {"/a", "/b?c=1", "/a"})
    EXPECT_EQ(client.exchange(request_to(plain(server.port(), path))).status, 200);
  ASSERT_EQ(server.requests().size(), 3U);
  EXPECT_EQ(server.connections(), 1U);
  EXPECT_EQ(server.requests()[0].substr(0, 8), "POST /a ");
  EXPECT_EQ(server.requests()[1].substr(0, 12), "POST /b?c=1 ");
  EXPECT_EQ(server.requests()[2], server.requests()[0]);
}

TEST(CurlTransport, AfterAHeaderThatMayNotBeSentTheNextRequestIsWhole) {
  ScriptedServer server(always(kOk));
  Client client;
  EXPECT_EQ(client.exchange(shared_request(server.port(), "msg_1")).status, 200);
  auto bad = shared_request(server.port(), "msg_2");
  bad.headers.push_back({"x-a", "1\r\nx-b: 2"});
  EXPECT_EQ(client.exchange(bad).error, AttemptError::denied);
  EXPECT_EQ(client.exchange(shared_request(server.port(), "msg_1")).status, 200);
  ASSERT_EQ(server.requests().size(), 2U);
  EXPECT_EQ(server.requests()[1], server.requests()[0]);
}

TEST(CurlTransport, KeepsFewConnectionsOfManyHosts) {
  ScriptedServer server(always(kOk));
  auto options = development();
  options.connections_kept_max = 16;
  Client client(options);
  for (int i = 0; i < 200; ++i) {
    const std::string url =
        "http://h" + std::to_string(i) + ".test:" + std::to_string(server.port()) + "/hook";
    EXPECT_EQ(client.exchange(request_to(url)).status, 200);
  }
  EXPECT_LE(client.transport->open_sockets(), 16u);
}

// What was opened for many at once stays open: it is needed again.
TEST(CurlTransport, KeepsAsManyConnectionsOfOneHostAsItUsesAtOnce) {
  ScriptedServer server(always(kOk));
  auto options = development();
  options.hosts_per_multi = 1;
  options.connections_kept_max = 256;
  Client client(options);
  for (int burst = 0; burst < 5; ++burst) {
    for (int i = 0; i < 40; ++i) client.send(request_to(plain(server.port())));
    client.wait_for(client.outcomes.size() + 40);
  }
  EXPECT_LE(server.connections(), 40u);
}

// Nor is it an attempt (core/decide.h).
TEST(CurlTransport, AFullFileTableIsNotTheReceiversFault) {
  ScriptedServer server(always(kOk));
  Client client;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit low = before;
  low.rlim_cur = 64;
  setrlimit(RLIMIT_NOFILE, &low);
  std::vector<int> taken;
  for (int file = dup(0); file >= 0; file = dup(0)) taken.push_back(file);
  const Outcome outcome = client.exchange(request_to(plain(server.port())));
  for (const int file : taken) close(file);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(outcome.ours);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
}

TEST(CurlTransport, SendsNoHeaderThatWouldBreakTheRequest) {
  ScriptedServer server(always(kOk));
  Client client;
  for (const Header& bad : Headers{{"x-a", "1\r\nx-b: 2"}, {"x-a\r\nx-b", "1"}, {"Host", "inside"}}) {
    auto request = shared_request(server.port(), "msg_1");
    request.headers.push_back(bad);
    EXPECT_EQ(client.exchange(request).error, AttemptError::denied) << bad.name;
    request = shared_request(server.port(), "msg_1");
    request.shared_headers =
        std::make_shared<const HeaderLines>(Headers{bad, {"User-Agent", "Postrider/0.1"}});
    EXPECT_EQ(client.exchange(request).error, AttemptError::denied) << bad.name;
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST(CurlTransport, AsksBeforeTheFirstByteWhetherItMayStillSend) {
  ScriptedServer server(always(kOk));
  Client client;
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  client.may_send_on = false;
  // Over the pooled connection, and over a new one.
  for (const std::string& path :
       {plain(server.port()), "http://localhost:" + std::to_string(server.port()) + "/hook"}) {
    const Outcome outcome = client.exchange(request_to(path));
    EXPECT_EQ(outcome.status, 0) << path;
    EXPECT_EQ(outcome.error, AttemptError::ambiguous) << path;
  }
  client.may_send_on = true;
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  EXPECT_EQ(server.requests().size(), 2U) << "nothing was sent in between";
}

TEST(CurlTransport, StartsAtOnceWhatWasSent) {
  ScriptedServer server(always(kOk));
  Client client;
  client.send(request_to(plain(server.port())));
  EXPECT_EQ(client.transport->open_sockets(), 0U);
  client.transport->start(client);
  EXPECT_EQ(client.transport->open_sockets(), 1U) << "without a poll() in between";
  client.wait_for(1);
}

TEST(CurlTransport, NamesNoContentTypeOfItsOwn) {
  ScriptedServer server(always(kOk));
  Client client;
  auto request = request_to(plain(server.port()));
  request.headers = {};
  EXPECT_EQ(client.exchange(request).status, 200);
  EXPECT_EQ(count_of(server.requests().at(0), "Content-Type"), 0U);
}

TEST(CurlTransport, SendsAnEmptyBody) {
  ScriptedServer server(always(kOk));
  Client client;
  auto request = request_to(plain(server.port()));
  request.body = nullptr;
  EXPECT_EQ(client.exchange(request).status, 200);
  EXPECT_NE(server.requests().at(0).find("Content-Length: 0\r\n"), std::string::npos);
}

TEST(CurlTransport, SendsALargeBodyWholeWithoutAskingFirst) {
  ScriptedServer server(always(kOk));
  Client client;
  auto request = request_to(plain(server.port()));
  request.body = std::make_shared<const std::string>(256 * 1024, 'x');
  EXPECT_EQ(client.exchange(request).status, 200);
  EXPECT_EQ(count_of(server.requests().at(0), "Expect"), 0U);
  EXPECT_EQ(count_of(server.requests().at(0), "x"), 256U * 1024U);
}

// The handle is reused: what one request had must not stay for the next.
TEST(CurlTransport, LeavesNothingOfOneRequestInTheNext) {
  ScriptedServer server([](Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nfirst");
    connection.read_request();
    connection.send("HTTP/1.1 204 None\r\n\r\n");
    connection.wait_until_closed();
  });
  Client client;
  auto first = request_to(plain(server.port(), "/one"));
  first.headers = {{"webhook-id", "msg_1"}, {"x-only-first", "1"}};
  EXPECT_EQ(client.exchange(first).status, 429);
  auto second = request_to(plain(server.port(), "/two"));
  second.body = std::make_shared<const std::string>("2");
  const Outcome outcome = client.exchange(second);
  EXPECT_EQ(outcome.status, 204);
  EXPECT_TRUE(outcome.headers.empty());
  EXPECT_EQ(outcome.snippet, "");
  const std::string sent = server.requests().at(1);
  EXPECT_EQ(sent.rfind("POST /two ", 0), 0U);
  EXPECT_EQ(sent.find("x-only-first"), std::string::npos);
  EXPECT_NE(sent.find("Content-Length: 1\r\n\r\n2"), std::string::npos);
}

TEST(CurlTransport, KeepsOnlyTheHeadersThatAVerdictNeeds) {
  ScriptedServer server(
      always("HTTP/1.1 503 Busy\r\nSet-Cookie: a=b\r\nRetry-After: 120\r\nX-RateLimit-Reset: 5\r\n"
             "ratelimit: \"default\";r=1\r\nX-Acme-Rate-Limit-Remaining: 0\r\nDate: Tue, 01 Jan 2030 "
             "00:00:00 GMT\r\n"
             "x-request-id:  abc \r\nServer: s\r\nContent-Length: 0\r\n\r\n"));
  Client client;
  const Outcome outcome = client.exchange(request_to(plain(server.port())));
  const Headers expected = {{"Retry-After", "120"},
                            {"X-RateLimit-Reset", "5"},
                            {"ratelimit", "\"default\";r=1"},
                            {"X-Acme-Rate-Limit-Remaining", "0"},
                            {"Date", "Tue, 01 Jan 2030 00:00:00 GMT"},
                            {"x-request-id", "abc"}};
  EXPECT_EQ(outcome.headers, expected);
}

TEST(CurlTransport, ReportsPhasesAndLeavesThemOutOnAReusedConnection) {
  ScriptedServer server(always(kOk));
  Client client;
  const Outcome first = client.exchange(request_to(plain(server.port())));
  EXPECT_GE(first.phases.connect, 0);
  EXPECT_EQ(first.phases.tls, -1);
  EXPECT_GE(first.phases.first_byte, 0);
  EXPECT_GE(first.phases.total, 0);
  EXPECT_LT(first.phases.total, 5000);
  const Outcome second = client.exchange(request_to(plain(server.port())));
  EXPECT_EQ(second.phases.connect, -1);
  EXPECT_GE(second.phases.first_byte, 0);
}

TEST(CurlTransport, KeepsConnectionsAlive) {
  ScriptedServer server(always(kOk));
  Client client;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  EXPECT_EQ(server.connections(), 1U);
  EXPECT_EQ(client.transport->open_sockets(), 1U);
}

TEST(CurlTransport, ClosesAConnectionWhenTheReceiverAsks) {
  ScriptedServer server(once("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
  Client client;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  EXPECT_EQ(server.connections(), 3U);
  EXPECT_EQ(client.transport->open_sockets(), 0U);
}

// A kept connection that the receiver closes meanwhile is replaced, and its readable end does not spin the
// loop.
TEST(CurlTransport, ReplacesAConnectionThatDiedWhileItRested) {
  ScriptedServer server(once(kOk));
  Client client;
  for (std::size_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (server.ended() < i && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_EQ(server.ended(), i);
  }
  EXPECT_EQ(server.connections(), 3U);
  pollfd wake{client.transport->wake_fd(), POLLIN, 0};
  for (int i = 0; i < 3; ++i) {
    ::poll(&wake, 1, 50);
    client.transport->poll(client);
  }
  // Whatever was due has been taken: the loop rests.
  EXPECT_EQ(::poll(&wake, 1, 50), 0);
}

// What it says is no answer to the next request.
TEST(CurlTransport, ClosesAConnectionThatSpeaksWhileItRests) {
  ScriptedServer server([](Connection& connection) {
    connection.read_request();
    connection.send(kOk);
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    connection.wait_until_closed();
  });
  Client client;
  for (std::size_t i = 1; i <= 2; ++i) {
    EXPECT_EQ(client.exchange(request_to(plain(server.port()))).snippet, "ok");
    client.run_until([&] { return client.transport->open_sockets() == 0; });
    EXPECT_EQ(server.connections(), i);
  }
}

TEST(CurlTransport, ClosesConnectionsThatHaveRestedLongEnough) {
  ScriptedServer server(always(kOk));
  auto options = development();
  options.connection_idle_max = Millis(100);
  Client client(options);
  for (int i = 0; i < 3; ++i) client.send(request_to(plain(server.port())));
  client.wait_for(3);
  EXPECT_EQ(client.transport->open_sockets(), 3U);
  client.run_until([&] { return client.transport->open_sockets() == 0; });
}

TEST(CurlTransport, ClosesTheConnectionThatHasRestedLongestWhereAnotherIsNeeded) {
  ScriptedServer server(always(kOk));
  auto options = development();
  options.connections_kept_max = 2;
  Client client(options);
  const auto to_host = [&](const char* host) {
    const std::string url = std::string("http://") + host + ".invalid:" + std::to_string(server.port()) + "/";
    EXPECT_EQ(client.exchange(request_to(url)).status, 200);
    EXPECT_LE(client.transport->open_sockets(), 2U);
    return server.connections();
  };
  EXPECT_EQ(to_host("a"), 1U);
  EXPECT_EQ(to_host("b"), 2U);
  EXPECT_EQ(to_host("a"), 2U);
  EXPECT_EQ(to_host("c"), 3U) << "in place of b";
  EXPECT_EQ(to_host("a"), 3U);
  EXPECT_EQ(to_host("b"), 4U);
}

TEST(CurlTransport, TakesAnAnswerThatComesBeforeTheBodyHasLeft) {
  ScriptedServer server([](Connection& connection) {
    connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    while (!connection.server().stopping()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  Client client;
  auto request = request_to(plain(server.port()));
  request.body = std::make_shared<const std::string>(std::string(32U << 20U, 'x'));
  const Outcome outcome = client.exchange(request);
  EXPECT_EQ(outcome.status, 413);
  EXPECT_EQ(outcome.error, AttemptError::none);
  EXPECT_EQ(outcome.snippet, "no");
  EXPECT_EQ(client.transport->open_sockets(), 0U) << "half a request is on it";
}

// Some that wait for an answer that does not come must not be held to the others' time.
TEST(CurlTransport, HoldsEachRequestToItsOwnTime) {
  ScriptedServer server([](Connection& connection) { connection.wait_until_closed(); });
  Client client;
  std::map<std::uint64_t, int> times;
  for (const int ms : {400, 100, 250}) {
    auto request = request_to(plain(server.port()));
    request.timeout = Millis(ms);
    times[client.send(request)] = ms;
  }
  client.wait_for(3);
  for (const auto& [token, outcome] : client.outcomes) {
    EXPECT_EQ(outcome.error, AttemptError::timeout);
    EXPECT_GE(outcome.phases.total, times[token]);
    EXPECT_LT(outcome.phases.total, times[token] + 140);
  }
}

// What is started at once has not heard from the loop that the connection ended.
TEST(CurlTransport, LooksWhetherAConnectionStillStandsBeforeItIsUsed) {
  ScriptedServer server(once(kOk));
  Client client;
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  pollfd wake{client.transport->wake_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&wake, 1, 20'000), 1) << "its end has come, and nobody has looked";
  client.send(request_to(plain(server.port())));
  client.transport->start(client);
  client.wait_for(2);
  EXPECT_EQ(client.outcomes.at(2).status, 200);
  EXPECT_EQ(server.connections(), 2U);
}

// libcurl closes a socket that never connected without a word; its number comes back.
TEST(CurlTransport, ForgetsSocketsThatNeverConnected) {
  const int full = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(full, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(full, 0), 0);
  socklen_t size = sizeof(address);
  getsockname(full, reinterpret_cast<sockaddr*>(&address), &size);
  const std::uint16_t port = ntohs(address.sin_port);
  std::vector<int> taken;
  for (int i = 0; i < 4; ++i) {
    taken.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)::connect(taken.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer server(once("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), tls.get());
  Client client;
  for (int i = 0; i < 3; ++i) {
    auto request = request_to(plain(port));
    request.timeout = Millis(100);
    EXPECT_EQ(client.exchange(request).error, AttemptError::timeout);
    EXPECT_EQ(client.transport->open_sockets(), 0U);
    const std::string url = "https://receiver.test:" + std::to_string(server.port()) + "/";
    EXPECT_EQ(client.exchange(request_to(url)).status, 200);
    EXPECT_EQ(client.transport->open_sockets(), 0U);
  }
  for (const int one : taken) ::close(one);
  ::close(full);
}

// A timer that has done its work must not wake the loop for ever.
TEST(CurlTransport, RestsWhenNothingIsOnItsWay) {
  ScriptedServer server([](Connection& connection) { connection.wait_until_closed(); });
  Client client;
  auto request = request_to(plain(server.port()));
  request.timeout = Millis(100);
  EXPECT_EQ(code_of(client.exchange(request).error), "timeout");
  pollfd wake{client.transport->wake_fd(), POLLIN, 0};
  int wakes = 0;
  for (int i = 0; i < 8; ++i) {
    if (::poll(&wake, 1, 50) > 0) ++wakes;
    client.transport->poll(client);
  }
  EXPECT_LE(wakes, 3);
}

TEST(CurlTransport, UsesTheSameConnectionWhenOnlyTheOrderOfAddressesChanges) {
  ScriptedServer server(always(kOk), nullptr, "0.0.0.0");
  Client client;
  EXPECT_EQ(client.exchange(request_to(plain(server.port()), {"127.0.0.1", "127.0.0.9"})).status, 200);
  EXPECT_EQ(client.exchange(request_to(plain(server.port()), {"127.0.0.9", "127.0.0.1"})).status, 200);
  EXPECT_EQ(server.connections(), 1U);
}

TEST(CurlTransport, OpensANewConnectionWhenTheOldAddressIsNoLongerVetted) {
  ScriptedServer server(always(kOk), nullptr, "0.0.0.0");
  Client client;
  const std::string url = "http://receiver.invalid:" + std::to_string(server.port()) + "/";
  EXPECT_EQ(client.exchange(request_to(url, {"127.0.0.1"})).dialled, "127.0.0.1");
  EXPECT_EQ(client.exchange(request_to(url, {"127.0.0.2"})).dialled, "127.0.0.2");
  EXPECT_EQ(server.connections(), 2U);
}

// receiver.invalid has no address anywhere: the pin alone decides where the connection goes.
TEST(CurlTransport, DialsThePinnedAddressAndSendsTheName) {
  ScriptedServer server(always(kOk));
  Client client;
  const std::string port = std::to_string(server.port());
  EXPECT_EQ(client.exchange(request_to("http://receiver.invalid:" + port + "/", {"127.0.0.1"})).status, 200);
  EXPECT_NE(server.requests().at(0).find("Host: receiver.invalid:" + port + "\r\n"), std::string::npos);
}

TEST(CurlTransport, DialsIpv6) {
  ScriptedServer server(always(kOk), nullptr, "::1");
  Client client;
  const std::string port = std::to_string(server.port());
  const Outcome literal = client.exchange(request_to("http://[::1]:" + port + "/", {"::1"}));
  EXPECT_EQ(literal.status, 200);
  EXPECT_EQ(literal.dialled, "::1");
  EXPECT_EQ(client.exchange(request_to("http://receiver.invalid:" + port + "/", {"::1"})).status, 200);
  EXPECT_EQ(client.exchange(request_to("http://receiver.invalid:" + port + "/", {"::1"})).status, 200);
  EXPECT_EQ(server.connections(), 2U);
}

TEST(CurlTransport, TriesTheNextAddressWhenOneRefuses) {
  ScriptedServer server(always(kOk));  // listens on 127.0.0.1 only
  Client client;
  const auto addresses = std::vector<std::string>{"127.0.0.2", "127.0.0.3", "127.0.0.1"};
  const Outcome outcome = client.exchange(request_to(plain(server.port()), addresses));
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.dialled, "127.0.0.1");
  // The one that answered is tried first from now on.
  client.exchange(request_to(plain(server.port()), addresses));
  EXPECT_EQ(server.connections(), 1U);
}

TEST(CurlTransport, ReportsARefusedConnectionWhenEveryAddressRefuses) {
  Client client;
  const Outcome outcome =
      client.exchange(request_to(plain(closed_port()), {"127.0.0.1", "127.0.0.2", "127.0.0.3"}));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.error, AttemptError::connect);
}

TEST(CurlTransport, HasNoAddressWithoutAddresses) {
  Client client;
  EXPECT_EQ(client.exchange(request_to(plain(closed_port()), {})).error, AttemptError::dns);
}

TEST(CurlTransport, CarriesTwoHundredRequestsAtOnce) {
  std::atomic<int> arrived{0};
  ScriptedServer server([&arrived](Connection& connection) {
    connection.read_request();
    ++arrived;
    while (arrived < 200 && !connection.server().stopping()) std::this_thread::yield();
    connection.send(kOk);
    connection.wait_until_closed();
  });
  Client client;
  for (int i = 0; i < 200; ++i) client.send(request_to(plain(server.port())));
  client.wait_for(200);
  for (const auto& [token, outcome] : client.outcomes) EXPECT_EQ(outcome.status, 200) << token;
  EXPECT_EQ(server.connections(), 200U);
  EXPECT_EQ(client.transport->in_flight(), 0U);
}

TEST(CurlTransport, SpreadsHostsOverSeveralMultis) {
  ScriptedServer server(always(kOk));
  auto options = development();
  options.hosts_per_multi = 2;
  options.idle_handles_max = 4;
  Client client(options);
  for (int round = 0; round < 2; ++round) {
    for (int host = 0; host < 9; ++host) {
      const std::string url =
          "http://h" + std::to_string(host) + ".invalid:" + std::to_string(server.port()) + "/";
      client.send(request_to(url));
    }
    client.wait_for(static_cast<std::size_t>(9 * (round + 1)));
  }
  for (const auto& [token, outcome] : client.outcomes) EXPECT_EQ(outcome.status, 200) << token;
  EXPECT_EQ(server.connections(), 9U)
      << "fewer handles than hosts, and each host has its connection all the same";
}

TEST(CurlTransport, QueuesBeyondItsConnectionsAndTellsHowLong) {
  std::atomic<int> now{0}, most{0};
  ScriptedServer server([&](Connection& connection) {
    while (connection.read_request()) {
      const int open = ++now;
      int seen = most;
      while (open > seen && !most.compare_exchange_weak(seen, open)) {
      }
      --now;
      connection.send(kOk);
    }
  });
  auto options = development();
  options.connections_max = 3;
  Client client(options);
  for (int i = 0; i < 40; ++i) client.send(request_to(plain(server.port())));
  EXPECT_EQ(client.transport->in_flight(), 40U);
  client.wait_for(40);
  for (const auto& [token, outcome] : client.outcomes) {
    EXPECT_EQ(outcome.status, 200) << token;
    EXPECT_GE(outcome.phases.queue, 0);
  }
  EXPECT_LE(most, 3);
  EXPECT_LE(server.connections(), 3U);
}

TEST(CurlTransport, CancelsWhatIsOnItsWayAsAmbiguous) {
  ScriptedServer server([](Connection& connection) {
    connection.read_request();
    connection.wait_until_closed();
  });
  auto options = development();
  options.connections_max = 5;
  Client client(options);
  for (int i = 0; i < 8; ++i) client.send(request_to(plain(server.port())));
  client.run_until([&] { return server.requests().size() == 5; });
  client.transport->cancel_all();
  EXPECT_TRUE(client.outcomes.empty()) << "outcomes come from poll()";
  client.wait_for(8);
  for (const auto& [token, outcome] : client.outcomes) {
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.error, AttemptError::ambiguous);
  }
  EXPECT_EQ(client.transport->in_flight(), 0U);
  EXPECT_EQ(client.transport->open_sockets(), 0U);
}

TEST(CurlTransport, KeepsAFinalStatusThatHadArrivedBeforeTheCancel) {
  std::atomic<bool> sent{false};
  ScriptedServer server([&](Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    sent = true;
    connection.wait_until_closed();
  });
  Client client;
  client.send(request_to(plain(server.port())));
  client.run_until([&] { return sent.load(); });
  client.transport->poll(client);
  client.transport->cancel_all();
  client.wait_for(1);
  EXPECT_EQ(client.outcomes.at(1).status, 200);
  EXPECT_EQ(client.outcomes.at(1).error, AttemptError::body_broken);
}

TEST(CurlTransport, WorksOnAfterACancel) {
  ScriptedServer server(always(kOk));
  Client client;
  client.send(request_to(plain(server.port())));
  client.transport->cancel_all();
  client.wait_for(1);
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
}

TEST(CurlTransport, MayBeSentFromWithinAnOutcome) {
  ScriptedServer server(always(kOk));
  Client client;
  int left = 20;
  // Every other one is refused before it leaves: its outcome waits for the next poll().
  client.then = [&](std::uint64_t, const Outcome&) {
    if (left-- > 0)
      client.send(request_to(left % 2 == 0 ? plain(server.port()) : "http://10.0.0.1/", {"10.0.0.1"}));
  };
  client.send(request_to(plain(server.port())));
  client.wait_for(21);
}

TEST(CurlTransport, EndsWithRequestsOnTheirWay) {
  ScriptedServer server([](Connection& connection) { connection.wait_until_closed(); });
  Client client;
  for (int i = 0; i < 5; ++i) client.send(request_to(plain(server.port())));
  client.transport.reset();
}

TEST(CurlTransport, SurvivesReceiversThatAreGoneWhenTlsWrites) {
  Client client;
  struct sigaction current {};
  sigaction(SIGPIPE, nullptr, &current);
  EXPECT_EQ(current.sa_handler, SIG_IGN);
}

TEST(CurlTransport, RefusesAnUnreadableAuthorityFile) {
  auto options = development();
  options.ca_file = "/nonexistent/ca.pem";
  const auto made = CurlTransport::create(options);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().errc, Errc::invalid);
}

}  // namespace
}  // namespace postrider::test
