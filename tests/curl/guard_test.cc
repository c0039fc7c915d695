// What may be dialled, what may be sent, and that a refusal leaves no byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "engine/core/header_lines.h"
#include "engine/curl/connect_guard.h"
#include "tests/curl/certificates.h"
#include "tests/curl/client.h"
#include "tests/curl/scripted_server.h"

namespace postrider::test {
namespace {

CurlTransport::Options strict() {
  auto options = development();
  options.policy = AddressPolicy();
  return options;
}

std::string secure(std::uint16_t port) {
  return "https://receiver.test:" + std::to_string(port) + "/";
}

TEST(ConnectGuard, RefusesLoopbackUnlessAllowedAndSendsNothing) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer server(always(kOk), tls.get());
  Client client(strict());
  const Outcome outcome = client.exchange(request_to(secure(server.port())));
  EXPECT_EQ(code_of(outcome.error), "denied");
  EXPECT_EQ(outcome.dialled, "");
  EXPECT_EQ(server.connections(), 0U);
  EXPECT_EQ(client.transport->open_sockets(), 0U);
}

TEST(ConnectGuard, RefusesInternalAddressesInEverySpelling) {
  Client client;  // loopback is allowed, nothing else
  for (const char* address : {"10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "224.0.0.1", "fd00::1",
                              "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"}) {
    ASSERT_TRUE(parse_ip(address).has_value()) << address;
    auto request = request_to("https://receiver.test/", {address});
    request.timeout = Millis(500);
    EXPECT_EQ(code_of(client.exchange(request).error), "denied") << address;
  }
}

TEST(ConnectGuard, DialsTheNextAddressWhenOneIsRefused) {
  ScriptedServer server(always(kOk));
  Client client;
  const Outcome outcome = client.exchange(request_to(plain(server.port()), {"10.0.0.1", "127.0.0.1"}));
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.dialled, "127.0.0.1");
}

// A dead letter for good only where nothing may be dialled: a dead address may live again.
TEST(ConnectGuard, IsNotTheVerdictWhenAnotherAddressWasOnlyDead) {
  Client client;
  const std::string url = plain(closed_port());
  EXPECT_EQ(code_of(client.exchange(request_to(url, {"127.0.0.1", "10.0.0.1"})).error), "connect");
  EXPECT_EQ(code_of(client.exchange(request_to(url, {"10.0.0.1", "127.0.0.1"})).error), "connect");
  EXPECT_EQ(code_of(client.exchange(request_to(url, {"10.0.0.1", "10.0.0.2"})).error), "denied");
}

// An open connection opens no socket: the guard must be asked all the same.
TEST(ConnectGuard, RefusesAPooledConnectionOnceThePolicyForbidsIt) {
  ScriptedServer server(always(kOk));
  Client client;
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  const std::size_t before = server.bytes_received();
  // Plain http may be spoken still, but elsewhere.
  client.transport->set_policy(AddressPolicy({.allow = {*parse_range("127.0.0.2/32")}, .development = true}));
  const Outcome outcome = client.exchange(request_to(plain(server.port())));
  EXPECT_EQ(code_of(outcome.error), "denied");
  EXPECT_EQ(outcome.dialled, "");
  EXPECT_EQ(server.connections(), 1U);
  EXPECT_EQ(server.bytes_received(), before);
  client.transport->set_policy(loopback_allowed());
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
}

TEST(ConnectGuard, KeepsPlainHttpToAllowedLoopback) {
  ScriptedServer server(always(kOk));
  auto options = development();
  options.policy = AddressPolicy({.allow = {*parse_range("127.0.0.0/8")}, .ports = {{1, 65535}}});
  EXPECT_EQ(code_of(Client(options).exchange(request_to(plain(server.port()))).error), "denied");
  EXPECT_EQ(code_of(Client(strict()).exchange(request_to(plain(server.port()))).error), "denied");
  // A public address may be dialled, but never without TLS.
  auto request = request_to("http://receiver.test/", {"203.0.113.1"});
  request.timeout = Millis(300);
  EXPECT_EQ(code_of(Client().exchange(request).error), "denied");
  EXPECT_EQ(server.connections(), 0U);
}

TEST(ConnectGuard, KeepsToItsPorts) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer server(always(kOk), tls.get());
  auto options = development();
  const std::vector<IpRange> allow{*parse_range("127.0.0.0/8")};
  options.policy = AddressPolicy({.allow = allow});
  EXPECT_EQ(code_of(Client(options).exchange(request_to(secure(server.port()))).error), "denied");
  EXPECT_EQ(server.connections(), 0U);
  options.policy = AddressPolicy({.allow = allow, .ports = {{server.port(), server.port()}}});
  EXPECT_EQ(Client(options).exchange(request_to(secure(server.port()))).status, 200);
}

TEST(ConnectGuard, KnowsTheAddressesOfThisMachine) {
  const auto own = own_addresses();
  EXPECT_NE(std::find(own.begin(), own.end(), *parse_ip("127.0.0.1")), own.end());
}

// They come and go while the daemon runs: open connections are asked again too.
TEST(ConnectGuard, RefusesWhatBecomesAnAddressOfThisMachine) {
  std::vector<IpAddress> own;
  auto options = strict();
  options.own = [&] { return own; };
  Client client(options);
  auto request = request_to("https://receiver.test/", {"192.0.43.7"});
  request.timeout = Millis(300);
  own = {*parse_ip("192.0.43.7")};
  EXPECT_EQ(code_of(client.exchange(request).error), "denied");
  EXPECT_EQ(client.transport->open_sockets(), 0U);
}

TEST(ConnectGuard, HearsNoProxyFromTheEnvironment) {
  ScriptedServer proxy(always(kOk));
  ScriptedServer server(always(kOk));
  const std::string address = "http://127.0.0.1:" + std::to_string(proxy.port());
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"})
    ::setenv(name, address.c_str(), 1);
  Client client;
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200);
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0U);
  EXPECT_EQ(server.requests().size(), 1U);
}

// A proxy that keeps to CONNECT, and relays to the one receiver that there is.
ScriptedServer::Handler tunnel_to(std::uint16_t receiver) {
  return [receiver](Connection& connection) {
    if (!connection.read_request()) return;
    connection.send("HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n");
    connection.relay_to(receiver);
  };
}

CurlTransport::Options through(const ScriptedServer& proxy) {
  auto options = strict();
  options.proxy = parse_egress_proxy("http://127.0.0.1:" + std::to_string(proxy.port())).value();
  return options;
}

TEST(EgressProxy, IsAskedForTheVettedAddressAndSeesNothingElse) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer receiver(always(kOk), tls.get());
  ScriptedServer proxy(tunnel_to(receiver.port()));
  Client client(through(proxy));
  const Outcome outcome = client.exchange(request_to("https://receiver.test/hook", {"93.184.216.34"}));
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.dialled, "93.184.216.34");
  ASSERT_EQ(proxy.requests().size(), 1U);
  const std::string asked = proxy.requests().front();
  EXPECT_EQ(asked.find("CONNECT 93.184.216.34:443 HTTP/1.1\r\n"), 0U) << asked;
  EXPECT_EQ(asked.find("webhook"), std::string::npos) << asked;
  EXPECT_EQ(asked.find("receiver.test"), std::string::npos) << asked;
  ASSERT_EQ(receiver.requests().size(), 1U);
  EXPECT_NE(receiver.requests().front().find("Host: receiver.test\r\n"), std::string::npos);
}

TEST(EgressProxy, IsNotAskedForWhatTheGuardRefuses) {
  ScriptedServer proxy(always(kOk));
  Client client(through(proxy));
  for (const char* address : {"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::a00:1"}) {
    EXPECT_EQ(code_of(client.exchange(request_to("https://receiver.test/", {address})).error), "denied");
  }
  EXPECT_EQ(code_of(client.exchange(request_to("https://receiver.test:25/", {"93.184.216.34"})).error),
            "denied");
  EXPECT_EQ(code_of(client.exchange(request_to("http://receiver.test/", {"93.184.216.34"})).error), "denied");
  EXPECT_EQ(proxy.connections(), 0U);
}

// A tunnel leads to one address: once the name has another, so must the tunnel.
TEST(EgressProxy, KeepsATunnelForItsAddressAlone) {
  const auto tls = trusted_authority().server("DNS:receiver.test");
  ScriptedServer receiver(always(kOk), tls.get());
  ScriptedServer proxy(tunnel_to(receiver.port()));
  Client client(through(proxy));
  for (const char* address : {"93.184.216.34", "93.184.216.34", "93.184.216.35"}) {
    EXPECT_EQ(client.exchange(request_to("https://receiver.test/hook", {address})).status, 200);
  }
  ASSERT_EQ(proxy.requests().size(), 2U);
  EXPECT_EQ(proxy.requests()[1].find("CONNECT 93.184.216.35:443"), 0U);
}

TEST(EgressProxy, IsLeftOutForAllowedAddressesAndNobodyElse) {
  ScriptedServer receiver(always(kOk));
  ScriptedServer proxy(tunnel_to(receiver.port()));
  auto options = through(proxy);
  options.policy = loopback_allowed();
  ::setenv("no_proxy", "*", 1);
  Client client(options);
  EXPECT_EQ(client.exchange(request_to(plain(receiver.port()))).status, 200);
  EXPECT_EQ(proxy.connections(), 0U);
  auto outside = request_to("https://receiver.test/hook", {"93.184.216.34"});
  outside.timeout = Millis(2000);
  client.exchange(outside);
  ::unsetenv("no_proxy");
  EXPECT_EQ(proxy.connections(), 1U);
}

TEST(EgressProxy, ThatRefusesIsAFailedConnectionAndNoAnswer) {
  const std::string answer = "HTTP/1.1 403 Forbidden\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nno!\n";
  ScriptedServer proxy(always(answer));
  const Outcome outcome =
      Client(through(proxy)).exchange(request_to("https://receiver.test/hook", {"93.184.216.34"}));
  EXPECT_EQ(code_of(outcome.error), "connect");
  EXPECT_EQ(outcome.status, 0);
}

TEST(RequestHeaders, WithLineBreaksAreRefusedAndNothingIsSent) {
  ScriptedServer server(always(kOk));
  Client client;
  const std::vector<Header> bad = {{"x-a", "b\r\nx-injected: 1"},
                                   {"x-a", "b\nc"},
                                   {"x-a", "b\rc"},
                                   {"x-a", std::string("b\0c", 3)},
                                   {"x-a", "b\x7f"},
                                   {"x a", "b"},
                                   {"x-a\r\nx-b", "c"},
                                   {"x-a:", "b"},
                                   {"", "b"},
                                   {"Content-Length", "0"},
                                   {"transfer-encoding", "chunked"},
                                   {"HOST", "other.test"},
                                   {"Connection", "close"}};
  for (const Header& header : bad) {
    auto request = request_to(plain(server.port()));
    request.headers.push_back(header);
    EXPECT_EQ(code_of(client.exchange(request).error), "denied") << header.name << ": " << header.value;
  }
  EXPECT_EQ(server.connections(), 0U);
  EXPECT_EQ(client.exchange(request_to(plain(server.port()))).status, 200)
      << "the handle is as good as before";
}

TEST(RequestHeaders, MayHoldTabsAndUtf8) {
  EXPECT_TRUE(may_send({"x-a", "b\tc \xc3\xa9"}));
  EXPECT_TRUE(may_send({"x-a", ""}));
}

TEST(RequestUrl, ThatOurParserReadsOtherwiseIsRefused) {
  ScriptedServer server(always(kOk));
  Client client;
  const Url good = url_of(plain(server.port()));
  std::vector<Url> bad(7, good);
  bad[0].host = "8.8.8.8\\@127.0.0.1";
  bad[1].host = "user@127.0.0.1";
  bad[2].port = 0;
  bad[3].path = "/a b";
  bad[4].path = "/a\r\nx: y";
  bad[5].scheme = "file";
  bad[6].host = "";
  for (const Url& url : bad) {
    auto request = request_to(plain(server.port()));
    request.to = std::make_shared<const Destination>(Destination{url, request.to->addresses});
    EXPECT_EQ(code_of(client.exchange(request).error), "denied") << url.host << url.path;
  }
  EXPECT_EQ(server.connections(), 0U);
}

}  // namespace
}  // namespace postrider::test
