#include "engine/oidc/issuer_tokens.h"

#include <cjose/cjose.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "engine/core/bytes.h"
#include "tests/curl/scripted_server.h"

namespace postrider::oidc {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kBegin = 1'800'000'000;  // unix seconds
constexpr std::chrono::seconds kPatience{10};   // for what comes at once, else never

// Moved by the test alone.
class HandClock final : public Clock {
 public:
  WallTime wall() const override { return from_ms<WallTime>(kBegin * 1000 + ms_); }
  SteadyTime steady() const override { return SteadyTime(Millis(1'000'000 + ms_)); }
  std::int64_t unix_seconds() const { return kBegin + ms_ / 1000; }
  void advance(Millis by) { ms_ += by.count(); }

 private:
  std::atomic<std::int64_t> ms_{0};
};

// An issuer on loopback whose keys a test changes. Held, its answers wait, and it counts who waits.
class FakeIssuer {
 public:
  FakeIssuer()
      : server_([this](test::Connection& connection) {
          while (const auto request = connection.read_request()) serve(connection, *request);
        }) {}
  ~FakeIssuer() { hold(false); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()); }
  void publish(Json keys) {
    const std::lock_guard lock(mutex_);
    keys_ = std::move(keys);
  }
  void set_up(bool up) {
    const std::lock_guard lock(mutex_);
    up_ = up;
  }
  void hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  int asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void wait_until_asked(int times) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return asked_ >= times; }))
      throw std::runtime_error("the issuer was not asked");
  }

 private:
  void serve(test::Connection& connection, const std::string& request) {
    const bool for_keys = request.starts_with("GET /keys");
    std::unique_lock lock(mutex_);
    if (!for_keys) {
      ++asked_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !held_; });
    }
    const Json answer =
        for_keys ? Json{{"keys", keys_}} : Json{{"issuer", url()}, {"jwks_uri", url() + "/keys"}};
    const std::string body = answer.dump();
    const std::string head = up_ ? "HTTP/1.1 200 OK" : "HTTP/1.1 500 Oh";
    lock.unlock();
    connection.send(head + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  Json keys_ = Json::array();
  bool up_ = true, held_ = false;
  int asked_ = 0;
  test::ScriptedServer server_;  // last: its threads use the others
};

class IssuersTokens : public ::testing::Test {
 protected:
  using Outcome = std::string;  // "in", or the error's code
  static constexpr Millis kAskEvery{30'000}, kKeysKept{3'600'000};

  IssuersTokens() {
    for (const char* name : {"old", "new", "other"})
      keys_[name] = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error_);
    issuer_.publish(published({"old"}));
  }
  ~IssuersTokens() override {
    tokens_.reset();
    for (auto& [name, key] : keys_) cjose_jwk_release(key);
  }
  // Its first asking is over.
  void begin() {
    IssuerTokens::Options options;
    options.issuer = {issuer_.url(), "", true};
    options.rules.issuer = issuer_.url();
    options.rules.audience = "postrider";
    options.rules.roles_claim = "roles";
    options.keys_kept = kKeysKept;
    options.refresh_every = Millis(3'600'000);  // only tokens have it asked here
    options.ask_every = kAskEvery;
    tokens_ = std::make_unique<IssuerTokens>(
        std::move(options), clock_, [this](std::function<void()> work) { post(std::move(work)); }, nullptr);
    judge(signed_by("old"));
  }
  Json published(const std::vector<std::string>& names) {
    Json list = Json::array();
    for (const auto& name : names) {
      char* text = cjose_jwk_to_json(keys_.at(name), false, &error_);
      list.push_back(Json::parse(text));
      free(text);
      list.back()["kid"] = name;
    }
    return list;
  }
  // Made now, unless `made` says otherwise. `name`: what it calls its key.
  std::string signed_by(const std::string& key, std::optional<std::int64_t> made = {},
                        const std::string& name = "", const std::string& of = "") {
    const Json claims = {{"iss", of.empty() ? issuer_.url() : of},
                         {"aud", "postrider"},
                         {"sub", "ada"},
                         {"exp", clock_.unix_seconds() + 3600},
                         {"iat", made.value_or(clock_.unix_seconds())}};
    const std::string text = claims.dump();
    cjose_header_t* header = cjose_header_new(&error_);
    cjose_header_set(header, "alg", "ES256", &error_);
    cjose_header_set(header, "kid", (name.empty() ? key : name).c_str(), &error_);
    cjose_jws_t* jws = cjose_jws_sign(
        keys_.at(key), header, reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), &error_);
    const char* token = nullptr;
    cjose_jws_export(jws, &token, &error_);
    std::string made_token(token);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return made_token;
  }
  std::string invented() { return signed_by("other", {}, "invented-" + std::to_string(++invented_)); }

  // What comes of it, waiting for the issuer where it has to be asked.
  Outcome judge(const std::string& token) {
    std::optional<Outcome> outcome;
    judge_later(token, outcome);
    while (!outcome) run_one();
    return *outcome;
  }
  void judge_later(const std::string& token, std::optional<Outcome>& outcome) {
    tokens_->judge(token,
                   [&outcome](const Result<Grant>& grant) { outcome = grant ? "in" : grant.error().code; });
  }
  void run_one() {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      if (!posted_.wait_for(lock, kPatience, [&] { return !work_.empty(); }))
        throw std::runtime_error("no answer came");
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    posted_.notify_all();
  }

  cjose_err error_{};
  std::map<std::string, cjose_jwk_t*> keys_;
  HandClock clock_;
  FakeIssuer issuer_;
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> work_;
  int invented_ = 0;
  std::unique_ptr<IssuerTokens> tokens_;
};

TEST_F(IssuersTokens, UnderANewKeyAreTakenOnceTheIssuerMayBeAskedAgainAndToldToComeAgainUntilThen) {
  begin();
  EXPECT_EQ(issuer_.asked(), 1);
  issuer_.publish(published({"old", "new"}));
  clock_.advance(Millis(1000));
  EXPECT_EQ(judge(signed_by("new")), "OIDC_UNAVAILABLE") << "it is no forgery for all we know";
  EXPECT_EQ(judge(signed_by("old")), "in");
  EXPECT_EQ(issuer_.asked(), 1);
  clock_.advance(kAskEvery - Millis(1001));
  EXPECT_EQ(judge(signed_by("new")), "OIDC_UNAVAILABLE");
  clock_.advance(Millis(1));
  EXPECT_EQ(judge(signed_by("new")), "in");
  EXPECT_EQ(judge(signed_by("old")), "in");
  EXPECT_EQ(issuer_.asked(), 2);
}

TEST_F(IssuersTokens, UnderANewKeyAreTakenAsSoonWhileOthersInventKeys) {
  begin();
  for (int round = 0; round < 3; ++round) {
    clock_.advance(kAskEvery);
    EXPECT_EQ(judge(invented()), "AUTH_FAILED") << "the issuer was asked for it";
    EXPECT_EQ(judge(invented()), "OIDC_UNAVAILABLE");
    EXPECT_EQ(judge(signed_by("old")), "in");
  }
  issuer_.publish(published({"new"}));
  EXPECT_EQ(judge(signed_by("new")), "OIDC_UNAVAILABLE");
  clock_.advance(kAskEvery);
  EXPECT_EQ(judge(invented()), "AUTH_FAILED");
  EXPECT_EQ(judge(signed_by("new")), "in") << "the inventor had it asked for";
}

TEST_F(IssuersTokens, ThatWereMadeBeforeTheIssuerWasAskedAreUnderNoKeyOfIts) {
  begin();
  const std::int64_t before = clock_.unix_seconds() - 61;
  EXPECT_EQ(judge(signed_by("new", before)), "AUTH_FAILED");
  EXPECT_EQ(judge(signed_by("new", before + 2)), "OIDC_UNAVAILABLE") << "clocks differ by a minute";
  EXPECT_EQ(issuer_.asked(), 1);
}

TEST_F(IssuersTokens, OfAnotherIssuerOrOfTheFutureAreNotToldToComeAgain) {
  begin();
  EXPECT_EQ(judge(signed_by("new", {}, "", "https://other.test")), "AUTH_FAILED");
  EXPECT_EQ(judge(signed_by("new", clock_.unix_seconds() + 3600)), "AUTH_FAILED");
  EXPECT_EQ(judge(signed_by("other", {}, "old")), "AUTH_FAILED") << "a known key did not sign it";
}

TEST_F(IssuersTokens, AreNotRefusedBecauseStrangersFillTheQueueForAnAnswer) {
  begin();
  issuer_.publish(published({"old", "new"}));
  clock_.advance(kAskEvery);
  issuer_.hold(true);
  std::deque<std::optional<Outcome>> strangers;
  for (int i = 0; i < 64; ++i) judge_later(invented(), strangers.emplace_back());
  issuer_.wait_until_asked(2);
  EXPECT_EQ(judge(signed_by("new")), "OIDC_UNAVAILABLE") << "there is no place left, and it may be good";
  EXPECT_EQ(judge(signed_by("old")), "in");
  issuer_.hold(false);
  for (auto& stranger : strangers)
    while (!stranger) run_one();
  EXPECT_EQ(strangers.front(), "AUTH_FAILED");
  EXPECT_EQ(judge(signed_by("new")), "in");
  EXPECT_EQ(issuer_.asked(), 2);
}

TEST_F(IssuersTokens, ThatCameWhileAnAnswerWasUnderWayMayBeNewerThanIt) {
  begin();
  clock_.advance(kAskEvery);
  issuer_.hold(true);
  std::optional<Outcome> stranger, late;
  judge_later(invented(), stranger);
  issuer_.wait_until_asked(2);
  judge_later(signed_by("new"), late);
  issuer_.hold(false);  // what it answers is of before
  while (!stranger || !late) run_one();
  EXPECT_EQ(stranger, "AUTH_FAILED");
  EXPECT_EQ(late, "OIDC_UNAVAILABLE");
}

TEST_F(IssuersTokens, UnderAKeyThatTheIssuerHasWithdrawnAreRefusedOnceItWasAsked) {
  begin();
  issuer_.publish(published({"new"}));
  const std::string made_before = signed_by("old");
  clock_.advance(Millis(120'000));
  EXPECT_EQ(judge(made_before), "in") << "nobody has had it asked yet";
  EXPECT_EQ(judge(signed_by("new")), "in");
  EXPECT_EQ(judge(made_before), "AUTH_FAILED");
}

TEST_F(IssuersTokens, GoOnUnderTheKeysAtHandUntilTheseEndWhileTheIssuerIsAway) {
  begin();
  issuer_.set_up(false);
  clock_.advance(kAskEvery);
  EXPECT_EQ(judge(signed_by("new")), "OIDC_UNAVAILABLE");
  clock_.advance(kKeysKept - kAskEvery - Millis(1));
  EXPECT_EQ(judge(signed_by("old")), "in");
  clock_.advance(Millis(1));
  EXPECT_EQ(judge(signed_by("old")), "OIDC_UNAVAILABLE");
  const std::int64_t long_ago = clock_.unix_seconds() - 600;
  EXPECT_EQ(judge(signed_by("old", long_ago)), "OIDC_UNAVAILABLE") << "nothing is known of any key";
  issuer_.set_up(true);
  clock_.advance(kAskEvery);
  EXPECT_EQ(judge(signed_by("old")), "in");
}

TEST_F(IssuersTokens, OfAnIssuerThatWasNeverThereAreToldToComeAgain) {
  issuer_.set_up(false);
  begin();
  EXPECT_EQ(judge(signed_by("old")), "OIDC_UNAVAILABLE");
  EXPECT_EQ(issuer_.asked(), 1) << "and it is not asked more often for that";
  issuer_.set_up(true);
  clock_.advance(kAskEvery);
  EXPECT_EQ(judge(signed_by("old")), "in");
}

}  // namespace
}  // namespace postrider::oidc
