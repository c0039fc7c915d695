// Who is on the other side: chain, host name, time and version.
#include <gtest/gtest.h>

#include <atomic>

#include "tests/curl/certificates.h"
#include "tests/curl/client.h"
#include "tests/curl/scripted_server.h"

namespace postrider::test {
namespace {

std::string secure(std::uint16_t port, const std::string& host = "receiver.test") {
  return "https://" + host + ":" + std::to_string(port) + "/hook";
}

TEST(Tls, DeliversToAVerifiedReceiverAndKeepsTheConnection) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer server(always(kOk), tls.get());
  Client client;
  const Outcome first = client.exchange(request_to(secure(server.port())));
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.error, AttemptError::none);
  EXPECT_GE(first.phases.connect, 0);
  EXPECT_GE(first.phases.tls, 0);
  const Outcome second = client.exchange(request_to(secure(server.port())));
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(second.phases.tls, -1);
  EXPECT_EQ(server.connections(), 1U);
}

TEST(Tls, ReplacesAConnectionThatEndedWhileItRested) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer server(once(kOk), tls.get());
  Client client;
  for (std::size_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(client.exchange(request_to(secure(server.port()))).status, 200);
    client.run_until([&] { return client.transport->open_sockets() == 0; });
    EXPECT_EQ(server.connections(), i);
  }
}

// What lies in OpenSSL already, no epoll tells of.
TEST(Tls, ReadsALargeAnswerWhole) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  for (const std::size_t bytes : {5'000U, 16'384U, 20'000U, 60'000U}) {
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
    ScriptedServer server(always(head + std::string(bytes, 'x')), tls.get());
    Client client;
    for (int i = 0; i < 2; ++i) {
      auto request = request_to(secure(server.port()));
      request.timeout = Millis(10'000);
      const Outcome outcome = client.exchange(request);
      EXPECT_EQ(outcome.error, AttemptError::none) << bytes;
      EXPECT_LT(outcome.phases.total, 5'000) << bytes;
    }
    EXPECT_EQ(server.connections(), 1U);
  }
  ScriptedServer server(
      always("HTTP/1.1 200 OK\r\nX-Policy: " + std::string(9'000, 'p') + "\r\nContent-Length: 0\r\n\r\n"),
      tls.get());
  EXPECT_EQ(Client().exchange(request_to(secure(server.port()))).status, 200);
}

// An answer that comes with another one is taken, and the other one for no later request's: also where a
// reader of one KiB at once, as libcurl is with a small buffer, would end just between them.
TEST(Tls, TakesNoAnswerThatWasThereBeforeTheRequest) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  std::string planted = "HTTP/1.1 200 OK\r\nContent-Length: 984\r\n\r\n";
  planted += std::string(984, 'x') + "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted";
  ScriptedServer server(
      [planted](Connection& connection) {
        while (connection.read_request()) connection.send(planted);
      },
      tls.get());
  Client client;
  for (int i = 0; i < 3; ++i) {
    const Outcome outcome = client.exchange(request_to(secure(server.port())));
    EXPECT_EQ(outcome.status, 200);
    EXPECT_EQ(outcome.snippet, std::string(984, 'x'));
  }
}

// More than a TLS record, and more than the socket takes at once.
TEST(Tls, SendsALargeBodyWhole) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer server(always(kOk), tls.get());
  Client client;
  auto request = request_to(secure(server.port()));
  std::string body(3U << 20U, 'x');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  request.body = std::make_shared<const std::string>(body);
  EXPECT_EQ(client.exchange(request).status, 200);
  ASSERT_EQ(server.requests().size(), 1U);
  const std::string sent = server.requests()[0];
  EXPECT_TRUE(sent.ends_with("\r\n\r\n" + body));
}

// In a handshake amid a request, the request waits for something to read, and its socket takes more all the
// while: watched for that, it would keep the loop awake until the deadline.
TEST(Tls, SleepsWhileAReceiverHangsInAHandshakeThatItAskedFor) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  SSL_CTX_set_max_proto_version(tls.get(), TLS1_2_VERSION);
  std::atomic<bool> asked = false, goes_on = false;
  ScriptedServer server(
      [&](Connection& connection) {
        connection.ask_for_handshake();
        asked = true;
        goes_on.wait(false);
        connection.take_deaf();
      },
      tls.get());
  Client client;
  auto request = request_to(secure(server.port()));
  request.body = std::make_shared<const std::string>(16U << 20U, 'x');  // more than both sockets hold
  request.timeout = Millis(1500);
  const std::uint64_t token = client.send(std::move(request));
  int turns = 0;  // in which it has seen what it is asked for, with the request half said
  client.run_until([&] { return asked && ++turns > 10; });
  goes_on = true;
  goes_on.notify_all();
  client.wait_for(1);
  EXPECT_EQ(code_of(client.outcomes[token].error), "timeout");
  EXPECT_LT(server.bytes_received(), 16U << 20U) << "there was no handshake before the body's end";
  EXPECT_LT(client.wakes, 5000U) << "some for the body, none while nothing comes";
}

TEST(Tls, VerifiesALiteralAddress) {
  const auto tls = trusted_authority().server("IP:127.0.0.1");
  ScriptedServer server(always(kOk), tls.get());
  Client client;
  EXPECT_EQ(client.exchange(request_to(secure(server.port(), "127.0.0.1"))).status, 200);
}

void expect_refused(SSL_CTX* tls, const std::string& host = "receiver.test") {
  ScriptedServer server(always(kOk), tls);
  Client client;
  const Outcome outcome = client.exchange(request_to(secure(server.port(), host)));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(code_of(outcome.error), "tls");
  EXPECT_TRUE(server.requests().empty()) << "the event must not reach a receiver that is not verified";
}

TEST(Tls, RefusesAnExpiredCertificate) {
  expect_refused(trusted_authority().server("DNS:receiver.test", -3600, -60).get());
}

TEST(Tls, RefusesACertificateThatIsNotValidYet) {
  expect_refused(trusted_authority().server("DNS:receiver.test", 600, 3600).get());
}

TEST(Tls, RefusesAnotherHostsCertificate) {
  expect_refused(trusted_authority().server("DNS:other.test").get());
}

TEST(Tls, RefusesANameInPlaceOfAnAddress) {
  expect_refused(trusted_authority().server("DNS:receiver.test").get(), "127.0.0.1");
}

TEST(Tls, RefusesAnUnknownAuthority) {
  const Authority stranger;
  expect_refused(stranger.server("DNS:receiver.test").get());
}

TEST(Tls, RefusesVersionsBelow12) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  SSL_CTX_set_min_proto_version(tls.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(tls.get(), TLS1_1_VERSION);
  SSL_CTX_set_security_level(tls.get(), 0);
  expect_refused(tls.get());
}

TEST(Tls, AcceptsVersion12) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  SSL_CTX_set_max_proto_version(tls.get(), TLS1_2_VERSION);
  ScriptedServer server(always(kOk), tls.get());
  Client client;
  EXPECT_EQ(client.exchange(request_to(secure(server.port()))).status, 200);
}

TEST(Tls, FailsWhereTheReceiverSpeaksPlainHttp) {
  ScriptedServer server([](Connection& connection) {
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    connection.wait_until_closed();
  });
  Client client;
  const Outcome outcome = client.exchange(request_to(secure(server.port())));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(code_of(outcome.error), "tls");
}

TEST(Tls, HandshakeThatHangsIsATimeout) {
  ScriptedServer server([](Connection& connection) { connection.wait_until_closed(); });
  Client client;
  auto request = request_to(secure(server.port()));
  request.timeout = Millis(300);
  EXPECT_EQ(code_of(client.exchange(request).error), "timeout");
}

// A share of the time for each address: one that accepts and then says nothing does not eat it all.
TEST(Tls, HandshakeThatHangsLeavesTimeForTheNextAddress) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer good(always(kOk), tls.get(), "127.0.0.1");
  ScriptedServer hanging([](Connection& connection) { connection.wait_until_closed(); }, nullptr, "127.0.0.2",
                         good.port());
  Client client;
  auto request = request_to(secure(good.port()), {"127.0.0.2", "127.0.0.1"});
  request.timeout = Millis(2000);
  const Outcome outcome = client.exchange(request);
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.dialled, "127.0.0.1");
}

// A connection verified for one name must not carry another name's events, be it the same address.
TEST(Tls, DoesNotShareAConnectionBetweenNames) {
  const auto tls = trusted_authority().server("DNS:one.test,DNS:two.test");
  ScriptedServer server(always(kOk), tls.get());
  Client client;
  EXPECT_EQ(client.exchange(request_to(secure(server.port(), "one.test"))).status, 200);
  EXPECT_EQ(client.exchange(request_to(secure(server.port(), "two.test"))).status, 200);
  EXPECT_EQ(code_of(client.exchange(request_to(secure(server.port(), "three.test"))).error), "tls");
  EXPECT_EQ(server.requests().size(), 2U);
}

}  // namespace
}  // namespace postrider::test
