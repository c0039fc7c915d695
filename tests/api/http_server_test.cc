#include "engine/api/http_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "tests/api/client.h"
#include "tests/api/tls_files.h"

namespace postrider::test {
namespace {

using namespace std::chrono_literals;

// Answers GET /echo with its query, POST with its body; keeps /later until told.
class Server : public ::testing::Test {
 protected:
  void start(HttpServer::Options options = {}) {
    HttpServer::Handlers handlers;
    handlers.admit = [this](const ApiRequest& head) -> HttpServer::Admission {
      if (head.path == "/refused") return {.body_bytes_max = 0, .refusal = ApiResponse{401, {}, "no"}};
      return {.body_bytes_max = body_bytes_max, .refusal = std::nullopt};
    };
    handlers.handle = [this](ApiRequest request, HttpServer::Respond respond) {
      if (request.path == "/later") {
        const std::lock_guard lock(mutex_);
        later_.push_back(std::move(respond));
        return;
      }
      if (request.path == "/large") return respond({200, {}, std::string(8 << 20, 'x')});
      respond({200, {{"X-Path", request.path}}, request.method == "GET" ? request.query : request.body});
    };
    handlers.refuse = [](int status, const std::string& code, const std::string&) {
      return ApiResponse{status, {}, code};
    };
    server_ = std::make_unique<HttpServer>(std::move(options), std::move(handlers));
    const auto started = server_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  RawClient client() { return RawClient(server_->port()); }
  std::string url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(server_->port()) + path;
  }
  std::vector<HttpServer::Respond> taken(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < deadline) {
      {
        const std::lock_guard lock(mutex_);
        if (later_.size() >= count) return std::exchange(later_, {});
      }
      std::this_thread::yield();
    }
    return {};
  }
  std::string https(const std::string& path) {
    return "https://127.0.0.1:" + std::to_string(server_->port()) + path;
  }
  static bool becomes(const std::atomic<int>& count, int what) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (count != what && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return count == what;
  }
  // The server has seen all that was sent before.
  void pass_through_loop() {
    std::promise<void> passed;
    server_->post([&] { passed.set_value(); });
    passed.get_future().wait();
  }
  bool connections_become(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (server_->connections() != count && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    return server_->connections() == count;
  }

  std::size_t body_bytes_max = 1000;
  std::unique_ptr<HttpServer> server_;

 private:
  std::mutex mutex_;
  std::vector<HttpServer::Respond> later_;
};

// That version and no other, as libcurl is told it.
constexpr long only(long version) {
  return version | version << 16;
}
constexpr long kTls12 = only(CURL_SSLVERSION_TLSv1_2);
constexpr long kTls13 = only(CURL_SSLVERSION_TLSv1_3);

constexpr auto kGet = "GET /echo?hi HTTP/1.1\r\nHost: x\r\n\r\n";

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Server, AnswersSeveralRequestsOnOneConnection) {
  start();
  auto raw = client();
  for (int i = 0; i < 3; ++i) {
    raw.send(kGet);
    const auto answer = raw.receive_until("hi");
    EXPECT_TRUE(has(answer, "HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(has(answer, "Content-Length: 2\r\n"));
    EXPECT_TRUE(has(answer, "Date: "));
  }
}

TEST_F(Server, AnswersPipelinedRequestsInOrder) {
  start();
  auto raw = client();
  raw.send(
      "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /echo?two HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  auto waiting = taken(1);
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0]({200, {}, "one"});
  const auto answers = raw.receive_all();
  EXPECT_LT(answers.find("one"), answers.find("two")) << answers;
  EXPECT_TRUE(has(answers, "two"));
}

TEST_F(Server, ReadsABodyThatComesInPiecesOrAfterContinue) {
  start();
  auto raw = client();
  raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(raw.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  raw.send("abc");
  pass_through_loop();
  raw.send("def");
  EXPECT_TRUE(has(raw.receive_until("abcdef"), "abcdef"));
}

TEST_F(Server, TellsAClientThatItsBodyIsTooLargeAndGoesOnForOthers) {
  start();
  auto raw = client();
  raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'));
  const auto answer = raw.receive_all();
  EXPECT_TRUE(has(answer, "HTTP/1.1 413 ")) << answer;
  EXPECT_TRUE(has(answer, "Connection: close"));
  EXPECT_EQ(ask({.url = url("/echo?ok"), .headers = {}, .body = {}, .ca_file = {}}).body, "ok");
}

// Closing over unread bytes would reset the connection, and the reset overtakes the answer.
TEST_F(Server, LetsAClientThatStillSendsReadItsRefusal) {
  start();
  auto raw = client();
  EXPECT_TRUE(raw.send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 800000\r\n\r\n"));
  ASSERT_TRUE(connections_become(1));
  pass_through_loop();
  EXPECT_TRUE(raw.send(std::string(800'000, 'x')));
  EXPECT_TRUE(has(raw.receive_all(), "HTTP/1.1 401 "));
}

TEST_F(Server, TellsAClientThatItsChunkedBodyIsTooLargeWhileItSends) {
  start();
  auto raw = client();
  raw.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 11; ++i) raw.send("64\r\n" + std::string(100, 'x') + "\r\n");
  EXPECT_TRUE(has(raw.receive_all(), "HTTP/1.1 413 "));
}

TEST_F(Server, EndsEndlessHeaders) {
  start({.tls_cert = {}, .tls_key = {}, .head_bytes = 4096});
  auto raw = client();
  raw.send("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 50; ++i) raw.send("X-More: " + std::string(100, 'x') + "\r\n");
  EXPECT_TRUE(has(raw.receive_all(), "HTTP/1.1 431 "));
}

TEST_F(Server, RefusesAtTheHeadBeforeTheBodyIsRead) {
  start();
  auto raw = client();
  raw.send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_TRUE(has(raw.receive_all(), "HTTP/1.1 401 "));
}

TEST_F(Server, EndsARequestThatDripsIn) {
  start({.tls_cert = {}, .tls_key = {}, .request_timeout = 200ms});
  auto raw = client();
  const auto begin = std::chrono::steady_clock::now();
  raw.send("GET / HTTP/1.1\r\n");
  // A byte now and then would keep a timer of inactivity from ever firing.
  std::atomic<bool> done{false};
  std::thread dripping([&] {
    while (!done && raw.send("X")) std::this_thread::sleep_for(20ms);
  });
  EXPECT_TRUE(has(raw.receive_until("REQUEST_TIMEOUT"), "HTTP/1.1 408 "));
  done = true;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1900ms);
  dripping.join();
}

TEST_F(Server, IsNotHeldUpBySlowClients) {
  start();
  std::vector<RawClient> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(client());
    slow.back().send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx");
  }
  // One that asks for much and reads nothing.
  slow.push_back(client());
  slow.back().send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(ask({.url = url("/echo?ok"), .headers = {}, .body = {}, .ca_file = {}}).body, "ok");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
}

TEST_F(Server, EndsAClientThatDoesNotReadItsAnswer) {
  start({.tls_cert = {}, .tls_key = {}, .write_timeout = 200ms});
  auto raw = client();
  raw.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(connections_become(1));
  EXPECT_TRUE(connections_become(0));
}

TEST_F(Server, ClosesIdleConnectionsAfterAWhile) {
  start({.tls_cert = {}, .tls_key = {}, .idle_timeout = 200ms});
  auto raw = client();
  raw.send(kGet);
  const auto answer = raw.receive_all();
  EXPECT_TRUE(has(answer, "hi"));
  EXPECT_FALSE(has(answer, "<silence>"));
}

TEST_F(Server, BearsAThousandIdleConnections) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
  setrlimit(RLIMIT_NOFILE, &limit);
  start();
  std::vector<RawClient> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(client());
  ASSERT_TRUE(connections_become(1000));
  EXPECT_EQ(ask({.url = url("/echo?ok"), .headers = {}, .body = {}, .ca_file = {}}).body, "ok");
  idle[500].send(kGet);
  EXPECT_TRUE(has(idle[500].receive_until("hi"), "200 OK"));
}

TEST_F(Server, MakesRoomForANewConnectionByClosingTheLongestIdleOne) {
  start({.tls_cert = {}, .tls_key = {}, .connections = 3});
  auto first = client();
  first.send(kGet);
  first.receive_until("hi");
  auto busy = client();
  busy.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto waiting = taken(1);
  auto third = client();
  third.send(kGet);
  third.receive_until("hi");
  auto fourth = client();
  fourth.send(kGet);
  EXPECT_TRUE(has(fourth.receive_until("hi"), "200 OK"));
  EXPECT_EQ(first.receive_all(), "");  // closed
  third.send(kGet);
  EXPECT_TRUE(has(third.receive_until("hi"), "200 OK"));
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0]({200, {}, "done"});
  EXPECT_TRUE(has(busy.receive_until("done"), "200 OK"));
}

TEST_F(Server, MakesRoomByClosingTheSlowestEvenIfItsRequestHasBegun) {
  start({.tls_cert = {}, .tls_key = {}, .connections = 3});
  std::vector<RawClient> slow;
  for (int i = 0; i < 10; ++i) {
    slow.push_back(client());
    slow.back().send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    EXPECT_TRUE(has(slow.back().receive_until("\r\n\r\n"), "100 Continue")) << "it has begun";
    slow.back().send("bit");
  }
  auto prompt = client();
  prompt.send(kGet);
  EXPECT_TRUE(has(prompt.receive_until("hi"), "200 OK"));
}

TEST_F(Server, RefusesBodiesBeyondWhatItWillHoldTogether) {
  body_bytes_max = 100'000;
  start({.tls_cert = {}, .tls_key = {}, .body_bytes_total = 150'000});
  const std::string head = "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
  auto first = client(), second = client();
  first.send(head + std::string(100'000, 'x'));
  auto waiting = taken(1);
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_TRUE(has(second.exchange(head), "HTTP/1.1 503 "));
  second.close();
  // The first client goes away: its body is still held by whoever is to answer.
  first.close();
  ASSERT_TRUE(connections_become(0));
  EXPECT_TRUE(has(client().exchange(head), "HTTP/1.1 503 "));
  waiting.clear();
  auto third = client();
  third.send(head + std::string(100'000, 'x'));
  waiting = taken(1);
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0]({200, {}, "done"});
  EXPECT_TRUE(has(third.receive_until("done"), "200 OK"));
}

TEST_F(Server, DropsTheAnswerForAClientThatWentAway) {
  start();
  auto raw = client();
  raw.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto waiting = taken(1);
  ASSERT_EQ(waiting.size(), 1u);
  raw.close();
  ASSERT_TRUE(connections_become(0));
  waiting[0]({200, {}, "nobody"});
  pass_through_loop();
  EXPECT_EQ(ask({.url = url("/echo?ok"), .headers = {}, .body = {}, .ca_file = {}}).body, "ok");
}

TEST_F(Server, TakesTheFirstOfTwoAnswers) {
  start();
  auto raw = client();
  raw.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto waiting = taken(1);
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0]({200, {}, "first"});
  waiting[0]({200, {}, "second"});
  pass_through_loop();
  raw.send(kGet);
  const auto answers = raw.receive_until("hi");
  EXPECT_TRUE(has(answers, "first"));
  EXPECT_FALSE(has(answers, "second")) << answers;
}

TEST_F(Server, AnswersForAHandlerThatTakesTooLong) {
  start({.tls_cert = {}, .tls_key = {}, .answer_timeout = 100ms});
  auto raw = client();
  raw.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(has(raw.receive_all(), "HTTP/1.1 504 "));
  const auto waiting = taken(1);
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0]({200, {}, "late"});
  pass_through_loop();
}

TEST_F(Server, FinishesWhatItIsAnsweringWhenItStops) {
  start();
  auto busy = client(), idle = client();
  busy.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto waiting = taken(1);
  ASSERT_EQ(waiting.size(), 1u);
  ASSERT_TRUE(connections_become(2));
  std::thread stopping([&] { server_->stop(10s); });
  EXPECT_EQ(idle.receive_all(), "");
  waiting[0]({200, {}, "in time"});
  EXPECT_TRUE(has(busy.receive_all(), "in time"));
  busy.close();
  stopping.join();
  waiting[0]({200, {}, "after the end"});
  server_->post([] { FAIL(); });
}

TEST_F(Server, StopsThoughAHandlerNeverAnswers) {
  start();
  auto raw = client();
  raw.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto waiting = taken(1);
  server_->stop(50ms);
  server_.reset();
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0]({200, {}, "nobody"});
}

TEST_F(Server, SaysWhenItsPortIsTaken) {
  start();
  HttpServer second({.port = server_->port(), .tls_cert = {}, .tls_key = {}}, {});
  const auto started = second.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().errc, Errc::unavailable);
}

TEST_F(Server, SpeaksTls) {
  const TlsFiles files;
  start({.tls_cert = files.cert(), .tls_key = files.key()});
  const auto https = "https://127.0.0.1:" + std::to_string(server_->port()) + "/echo?tls";
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(ask({.url = https, .headers = {}, .body = {}, .ca_file = files.cert()}).body, "tls");
  EXPECT_EQ(ask({.url = https, .headers = {}, .body = {}, .ca_file = {}}).status, 0);  // not verified
  const auto large = "https://127.0.0.1:" + std::to_string(server_->port()) + "/large";
  EXPECT_EQ(ask({.url = large, .headers = {}, .body = {}, .ca_file = files.cert()}).body.size(), 8u << 20);
}

TEST_F(Server, EndsAConnectionThatNeverShakesHands) {
  const TlsFiles files;
  start({.tls_cert = files.cert(), .tls_key = files.key(), .handshake_timeout = 200ms});
  auto silent = client(), wrong = client();
  wrong.send(kGet);
  EXPECT_FALSE(has(wrong.receive_all(), "<silence>"));
  EXPECT_FALSE(has(silent.receive_all(), "<silence>"));
}

TEST_F(Server, MakesRoomForAHandshakeByEndingTheOldestThatNeverCame) {
  const TlsFiles files;
  start({.tls_cert = files.cert(), .tls_key = files.key(), .connections = 3});
  std::vector<RawClient> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(client());
  EXPECT_EQ(ask({.url = https("/echo?in"), .headers = {}, .body = {}, .ca_file = files.cert()}).body, "in");
}

TEST_F(Server, SpeaksTls12And13) {
  const TlsFiles files;
  start({.tls_cert = files.cert(), .tls_key = files.key()});
  const auto at = [&](long version) {
    return ask({.url = https("/echo"), .headers = {}, .body = {}, .ca_file = files.cert(), .tls = version})
        .status;
  };
  EXPECT_EQ(at(kTls12), 200);
  EXPECT_EQ(at(kTls13), 200);
}

TEST_F(Server, AsksForACertificateWhereTheClientsAuthoritiesAreNamed) {
  const TlsFiles server, ours, others;
  start({.tls_cert = server.cert(), .tls_key = server.key(), .tls_client_ca = ours.cert()});
  for (const long version : {kTls12, kTls13}) {
    const auto with = [&](const std::string& cert, const std::string& key) {
      return ask({.url = https("/echo?mutual"),
                  .headers = {},
                  .body = {},
                  .ca_file = server.cert(),
                  .client_cert = cert,
                  .client_key = key,
                  .tls = version})
          .body;
    };
    EXPECT_EQ(with({}, {}), "");
    EXPECT_EQ(with(others.cert(), others.key()), "") << "nobody vouches for it";
    EXPECT_EQ(with(server.cert(), server.key()), "") << "the server's own is no client's";
    EXPECT_EQ(with(ours.client_cert(), ours.client_key()), "mutual");
  }
}

TEST_F(Server, TakesARenewedCertificateWithoutARestartAndKeepsTheOldOneWhereTheNewIsBroken) {
  const TlsFiles first, second;
  std::atomic<int> renewed = 0, broken = 0;
  HttpServer::Options options{.tls_cert = first.cert(), .tls_key = first.key()};
  options.certificates_every = 5ms;
  options.on_certificates = [&](const Result<void>& read) { ++(read ? renewed : broken); };
  start(std::move(options));
  const auto speaks = [&](const TlsFiles& files) {
    return ask({.url = https("/echo"), .headers = {}, .body = {}, .ca_file = files.cert()}).status == 200;
  };
  const auto old = first.copy_of_cert();
  EXPECT_TRUE(speaks(first));
  first.become(second);
  EXPECT_TRUE(becomes(renewed, 1));
  EXPECT_TRUE(speaks(second));
  EXPECT_EQ(ask({.url = https("/echo"), .headers = {}, .body = {}, .ca_file = old}).status, 0);
  std::ofstream(first.key()) << "no key";
  EXPECT_TRUE(becomes(broken, 1));
  EXPECT_TRUE(speaks(second));
}

TEST_F(Server, RefusesACertificateThatIsNone) {
  HttpServer server({.tls_cert = "/no/such.pem", .tls_key = "/no/such.pem"}, {});
  const auto started = server.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, "INVALID_CONFIGURATION");
}

}  // namespace
}  // namespace postrider::test
