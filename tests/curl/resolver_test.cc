// Names to addresses against a real name server, and what is remembered of its answers.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>

#include "engine/curl/answer_cache.h"
#include "engine/curl/cares_resolver.h"
#include "tests/curl/name_server.h"

namespace postrider::test {
namespace {

class Asker : public ResolverListener {
 public:
  explicit Asker(CaresResolver::Options options) {
    auto made = CaresResolver::create(std::move(options));
    if (made) resolver = std::move(*made);
  }
  explicit Asker(const NameServer& server) : Asker(options_for(server)) {}
  static CaresResolver::Options options_for(const NameServer& server) {
    CaresResolver::Options options;
    options.servers = server.address();
    return options;
  }

  std::uint64_t ask(const std::string& host) {
    resolver->resolve(host, ++last_token);
    return last_token;
  }
  void wait_for(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (answers.size() < count && std::chrono::steady_clock::now() < deadline) {
      pollfd wake{resolver->wake_fd(), POLLIN, 0};
      if (::poll(&wake, 1, 10'000) > 0) resolver->poll(*this);
    }
    ASSERT_EQ(answers.size(), count);
  }
  Result<Resolved> answer_for(const std::string& host) {
    const auto token = ask(host);
    wait_for(answers.size() + 1);
    return answers.at(token);
  }
  void on_resolved(std::uint64_t token, Result<Resolved> resolved) override {
    EXPECT_TRUE(answers.emplace(token, std::move(resolved)).second) << "a second answer";
  }

  std::unique_ptr<CaresResolver> resolver;
  std::map<std::uint64_t, Result<Resolved>> answers;
  std::uint64_t last_token = 0;
};

std::vector<std::string> texts(const Result<Resolved>& resolved) {
  std::vector<std::string> all;
  if (!resolved) return {resolved.error().code};
  for (const IpAddress& address : resolved->addresses) all.push_back(format_ip(address));
  std::sort(all.begin(), all.end());
  return all;
}

using Texts = std::vector<std::string>;

TEST(CaresResolver, AnswersLiteralsWithoutAskingAnyone) {
  NameServer server;
  Asker asker(server);
  const auto token = asker.ask("192.0.2.7");
  EXPECT_TRUE(asker.answers.empty()) << "answers come from poll()";
  asker.wait_for(1);
  EXPECT_EQ(texts(asker.answers.at(token)), Texts{"192.0.2.7"});
  EXPECT_EQ(texts(asker.answer_for("2001:db8::1")), Texts{"2001:db8::1"});
  EXPECT_EQ(server.queries(), 0U);
}

TEST(CaresResolver, ReadsTheHostsFile) {
  NameServer server;
  Asker asker(server);
  const auto found = texts(asker.answer_for("localhost"));
  EXPECT_NE(std::find(found.begin(), found.end(), "127.0.0.1"), found.end());
  EXPECT_EQ(server.queries(), 0U);
}

TEST(CaresResolver, ReturnsEveryAddressOfBothFamilies) {
  NameServer server;
  server.set("a.test", {"192.0.2.1", "192.0.2.2", "2001:db8::1"}, 60);
  Asker asker(server);
  const auto answer = asker.answer_for("a.test");
  EXPECT_EQ(texts(answer), (Texts{"192.0.2.1", "192.0.2.2", "2001:db8::1"}));
  EXPECT_EQ(answer->ttl, Millis(60'000));
}

TEST(CaresResolver, KeepsATtlWithinFiveSecondsAndFiveMinutes) {
  NameServer server;
  server.set("brief.test", {"192.0.2.1"}, 0);
  server.set("long.test", {"192.0.2.1"}, 86'400);
  Asker asker(server);
  EXPECT_EQ(asker.answer_for("brief.test")->ttl, Millis(5'000));
  EXPECT_EQ(asker.answer_for("long.test")->ttl, Millis(300'000));
}

TEST(CaresResolver, AsksOnceForAllWhoWait) {
  NameServer server;
  server.set("a.test", {"192.0.2.1"}, 60);
  Asker asker(server);
  for (int i = 0; i < 50; ++i) asker.ask("a.test");
  asker.wait_for(50);
  for (const auto& [token, answer] : asker.answers) EXPECT_EQ(texts(answer), Texts{"192.0.2.1"});
  EXPECT_EQ(server.queries(), 2U) << "A and AAAA, once";
}

TEST(CaresResolver, RemembersAnAnswer) {
  NameServer server;
  server.set("a.test", {"192.0.2.1"}, 60);
  Asker asker(server);
  asker.answer_for("a.test");
  server.set("a.test", {"192.0.2.2"}, 60);
  EXPECT_EQ(texts(asker.answer_for("a.test")), Texts{"192.0.2.1"});
  EXPECT_EQ(server.queries(), 2U);
}

TEST(CaresResolver, RemembersThatANameIsUnknown) {
  NameServer server;
  Asker asker(server);
  const auto answer = asker.answer_for("nowhere.test");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().errc, Errc::not_found);
  EXPECT_EQ(answer.error().code, "DNS_NOT_FOUND");
  EXPECT_FALSE(asker.answer_for("nowhere.test").has_value());
  EXPECT_EQ(server.queries(), 2U);
}

TEST(CaresResolver, TakesANameForNothingButItself) {
  NameServer server;
  server.set("short.corp.test", {"192.0.2.1"}, 60);
  ::setenv("LOCALDOMAIN", "corp.test", 1);  // a search list, as resolv.conf's `search`
  Asker asker(server);
  ::unsetenv("LOCALDOMAIN");
  EXPECT_FALSE(asker.answer_for("short").has_value());
  for (const auto& name : server.names_asked()) EXPECT_EQ(name, "short");
}

TEST(CaresResolver, FindsNoAddressWhereThereAreOtherRecordsOnly) {
  NameServer server;
  server.set("mail.test", {}, 60);
  Asker asker(server);
  EXPECT_EQ(texts(asker.answer_for("mail.test")), Texts{"DNS_NOT_FOUND"});
}

TEST(CaresResolver, GivesUpOnASilentServerInTime) {
  NameServer server;
  server.be_silent(true);
  auto options = Asker::options_for(server);
  options.timeout = Millis(200);
  Asker asker(options);
  const auto begun = std::chrono::steady_clock::now();
  const auto answer = asker.answer_for("a.test");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().errc, Errc::unavailable);
  EXPECT_TRUE(answer.error().retryable());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
}

TEST(CaresResolver, RefusesMoreNamesAtOnceThanItsLimit) {
  NameServer server;
  server.be_silent(true);
  auto options = Asker::options_for(server);
  options.lookups_max = 2;
  Asker asker(options);
  asker.ask("a.test");
  asker.ask("b.test");
  EXPECT_EQ(texts(asker.answer_for("c.test")), Texts{"DNS_OVERLOADED"});
}

TEST(CaresResolver, RefusesNamesThatAreNone) {
  NameServer server;
  Asker asker(server);
  for (const std::string& name : {std::string(), std::string(300, 'a'), std::string("a\0b", 3),
                                  std::string("a..test"), std::string(70, 'a') + ".test"}) {
    EXPECT_FALSE(asker.answer_for(name).has_value()) << name;
  }
  EXPECT_EQ(server.queries(), 0U);
}

TEST(CaresResolver, EndsWithLookupsOnTheirWay) {
  NameServer server;
  server.be_silent(true);
  Asker asker(server);
  for (int i = 0; i < 10; ++i) asker.ask("n" + std::to_string(i) + ".test");
  asker.resolver.reset();
}

// --- the memory, with time as an argument ----------------------------------------------------------------

Resolved one_address(Millis ttl) {
  return Resolved{{*parse_ip("192.0.2.1")}, ttl};
}

TEST(AnswerCache, ForgetsAGoodAnswerWithItsTtlAndAFailureAfterFiveSeconds) {
  AnswerCache cache(10);
  const PollTime now{};
  cache.put("good", one_address(Millis(60'000)), now);
  cache.put("bad", fail(Errc::not_found, "DNS_NOT_FOUND", "", ""), now);
  EXPECT_NE(cache.find("good", now + Millis(59'999)), nullptr);
  EXPECT_EQ(cache.find("good", now + Millis(60'000)), nullptr);
  EXPECT_NE(cache.find("bad", now + Millis(4'999)), nullptr);
  EXPECT_EQ(cache.find("bad", now + Millis(5'000)), nullptr);
  EXPECT_EQ(cache.size(), 0U);
}

TEST(AnswerCache, SaysHowLongAnAnswerMayStillBeUsed) {
  AnswerCache cache(10);
  const PollTime now{};
  cache.put("good", one_address(Millis(60'000)), now);
  EXPECT_EQ((*cache.find("good", now + Millis(20'000)))->ttl, Millis(40'000));
  EXPECT_EQ((*cache.find("good", now + Millis(59'000)))->ttl, Millis(5'000));
}

TEST(AnswerCache, ClampsATtl) {
  AnswerCache cache(10);
  const PollTime now{};
  cache.put("brief", one_address(Millis(0)), now);
  cache.put("long", one_address(Millis(86'400'000)), now);
  EXPECT_NE(cache.find("brief", now + Millis(4'999)), nullptr);
  EXPECT_EQ(cache.find("brief", now + Millis(5'000)), nullptr);
  EXPECT_EQ((*cache.find("long", now))->ttl, Millis(300'000));
  EXPECT_EQ(cache.find("long", now + Millis(300'000)), nullptr);
}

TEST(AnswerCache, MakesRoomByDroppingTheLongestUnused) {
  AnswerCache cache(2);
  const PollTime now{};
  cache.put("a", one_address(Millis(60'000)), now);
  cache.put("b", one_address(Millis(60'000)), now);
  cache.find("a", now);
  cache.put("c", one_address(Millis(60'000)), now);
  EXPECT_NE(cache.find("a", now), nullptr);
  EXPECT_EQ(cache.find("b", now), nullptr);
  EXPECT_NE(cache.find("c", now), nullptr);
  cache.put("c", one_address(Millis(5'000)), now);
  EXPECT_EQ(cache.size(), 2U);
}

}  // namespace
}  // namespace postrider::test
