#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/curl/curl_transport.h"
#include "tests/curl/certificates.h"

// The shard's part: sends through a CurlTransport, waits on its wake_fd() alone, and keeps the outcomes.
namespace postrider::test {

inline AddressPolicy loopback_allowed() {
  return AddressPolicy(
      {.allow = {*parse_range("127.0.0.0/8"), *parse_range("::1/128")}, .development = true});
}

inline CurlTransport::Options development() {
  CurlTransport::Options options;
  options.policy = loopback_allowed();
  options.ca_file = trusted_authority().pem_file();
  return options;
}

inline Url url_of(const std::string& text) {
  auto url = parse_url(text);
  EXPECT_TRUE(url.has_value()) << text;
  return url.value_or(Url{});
}

inline HttpRequest request_to(const std::string& url, std::vector<std::string> addresses = {"127.0.0.1"}) {
  HttpRequest request;
  Destination to{url_of(url), {}};
  for (const auto& address : addresses) to.addresses.push_back(*parse_ip(address));
  request.to = std::make_shared<const Destination>(std::move(to));
  request.headers = {{"webhook-id", "msg_1"}, {"Content-Type", "application/json"}};
  request.body = std::make_shared<const std::string>("{\"test\": 1}");
  request.timeout = Millis(5000);
  return request;
}

inline std::string plain(std::uint16_t port, const std::string& path = "/hook") {
  return "http://127.0.0.1:" + std::to_string(port) + path;
}

class Client : public TransportListener {
 public:
  explicit Client(CurlTransport::Options options = development()) {
    auto made = CurlTransport::create(std::move(options));
    if (!made) throw std::runtime_error(made.error().message);
    transport = std::move(*made);
  }

  std::uint64_t send(HttpRequest request) {
    transport->send(std::move(request), ++last_token);
    return last_token;
  }
  // Waits until that many outcomes have come since the beginning.
  void wait_for(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (outcomes.size() < count) {
      pollfd wake{transport->wake_fd(), POLLIN, 0};
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0 || ::poll(&wake, 1, static_cast<int>(left.count())) <= 0) break;
      ++wakes;
      transport->poll(*this);
    }
    ASSERT_EQ(outcomes.size(), count) << "outcomes are missing";
  }
  Outcome exchange(HttpRequest request) {
    const auto token = send(std::move(request));
    wait_for(outcomes.size() + 1);
    return outcomes.count(token) != 0 ? outcomes.at(token) : Outcome{};
  }
  // Lets the loop run until the condition holds.
  void run_until(const std::function<bool()>& condition,
                 std::chrono::seconds limit = std::chrono::seconds(20)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      pollfd wake{transport->wake_fd(), POLLIN, 0};
      ::poll(&wake, 1, 5);
      const Millis before = cpu_time();
      transport->poll(*this);
      longest_poll = std::max(longest_poll, cpu_time() - before);
    }
    ASSERT_TRUE(condition());
  }

  void on_outcome(std::uint64_t token, Outcome outcome) override {
    EXPECT_TRUE(outcomes.emplace(token, outcome).second) << "a second outcome for one request";
    if (then) then(token, outcome);
  }

  bool may_still_send(std::uint64_t) override { return may_send_on; }

  static Millis cpu_time() {  // of this thread
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return Millis(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
  }

  bool may_send_on = true;
  std::size_t wakes = 0;   // of the loop, in wait_for()
  Millis longest_poll{0};  // CPU time, in run_until()
  std::unique_ptr<CurlTransport> transport;
  std::map<std::uint64_t, Outcome> outcomes;
  std::function<void(std::uint64_t, const Outcome&)> then;
  std::uint64_t last_token = 0;
};

}  // namespace postrider::test
