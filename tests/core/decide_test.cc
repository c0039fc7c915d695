#include "engine/core/decide.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <ostream>
#include <set>

namespace postrider {

void PrintTo(Verdict::Kind kind, std::ostream* out) {
  *out << std::vector<std::string>{"success", "retry", "dead", "defer"}.at(static_cast<std::size_t>(kind));
}

namespace {

using namespace std::chrono_literals;
using enum AttemptError;
using Kind = Verdict::Kind;

constexpr LogTime kAppended = from_ms<LogTime>(1'769'860'800'000);
constexpr WallTime kWall = from_ms<WallTime>(1'769'860'800'000);
constexpr std::uint64_t kMiddle = std::uint64_t{1} << 63;  // of the jitter: the policy's delay itself

Outcome answer(std::int32_t status, AttemptError error = none, Headers headers = {}) {
  Outcome outcome;
  outcome.status = status;
  outcome.error = error;
  outcome.headers = std::move(headers);
  return outcome;
}

Situation after(std::uint32_t attempts, Millis age = 0ms) {
  Situation situation;
  situation.attempts = attempts;
  situation.appended = kAppended;
  situation.now = kAppended + age;
  situation.wall_now = kWall;
  situation.chance = kMiddle;
  return situation;
}

Verdict verdict_on(std::int32_t status, AttemptError error = none) {
  return decide(answer(status, error), RetryPolicy{}, after(1));
}

struct Row {
  std::int32_t status;
  AttemptError error;
  Kind kind;
  std::optional<DeadReason> dead;
  bool breaker;
};

// DESIGN §9, row by row.
const std::vector<Row> kTable{{200, none, Kind::success, {}, false},
                              {201, none, Kind::success, {}, false},
                              {204, none, Kind::success, {}, false},
                              {299, none, Kind::success, {}, false},
                              // final 2xx headers: success, whatever the body does after
                              {200, body_broken, Kind::success, {}, false},
                              {200, body_too_large, Kind::success, {}, false},
                              {200, timeout, Kind::success, {}, false},
                              {202, reset, Kind::success, {}, false},
                              {200, malformed, Kind::success, {}, false},
                              {200, ambiguous, Kind::success, {}, false},
                              // retry
                              {408, none, Kind::retry, {}, false},
                              {425, none, Kind::retry, {}, false},
                              {429, none, Kind::retry, {}, false},
                              {500, none, Kind::retry, {}, true},
                              {501, none, Kind::retry, {}, true},
                              {502, none, Kind::retry, {}, true},
                              {503, none, Kind::retry, {}, true},
                              {503, body_broken, Kind::retry, {}, true},
                              {599, none, Kind::retry, {}, true},
                              {700, none, Kind::retry, {}, true},
                              {300, none, Kind::retry, {}, false},
                              {301, none, Kind::retry, {}, false},
                              {304, none, Kind::retry, {}, false},
                              {308, none, Kind::retry, {}, false},
                              {0, dns, Kind::retry, {}, true},
                              {0, connect, Kind::retry, {}, true},
                              {0, tls, Kind::retry, {}, true},
                              {0, timeout, Kind::retry, {}, true},
                              {0, reset, Kind::retry, {}, true},
                              {0, malformed, Kind::retry, {}, true},
                              {0, headers_too_large, Kind::retry, {}, true},
                              {0, ambiguous, Kind::retry, {}, false},
                              {0, none, Kind::retry, {}, false},
                              {100, none, Kind::retry, {}, false},
                              {103, timeout, Kind::retry, {}, true},
                              // dead
                              {410, none, Kind::dead, DeadReason::gone, false},
                              {401, none, Kind::dead, DeadReason::unauthorized, false},
                              {403, none, Kind::dead, DeadReason::unauthorized, false},
                              {400, none, Kind::dead, DeadReason::client_error, false},
                              {404, none, Kind::dead, DeadReason::client_error, false},
                              {404, timeout, Kind::dead, DeadReason::client_error, false},
                              {409, none, Kind::dead, DeadReason::client_error, false},
                              {413, none, Kind::dead, DeadReason::client_error, false},
                              {422, none, Kind::dead, DeadReason::client_error, false},
                              {451, none, Kind::dead, DeadReason::client_error, false},
                              {499, none, Kind::dead, DeadReason::client_error, false},
                              {0, denied, Kind::dead, DeadReason::target_denied, false}};

TEST(Decide, WhatWeLackedOurselvesIsNoAttempt) {
  Outcome outcome;
  outcome.error = AttemptError::connect;
  outcome.ours = true;
  const Verdict verdict = decide(outcome, RetryPolicy{}, Situation{});
  EXPECT_EQ(verdict.kind, Verdict::Kind::defer);
  EXPECT_FALSE(verdict.charged);
  EXPECT_FALSE(verdict.counts_for_breaker);
  EXPECT_GE(verdict.delay, Millis(1000));
}

TEST(Decide, FollowsTheTable) {
  for (const Row& row : kTable) {
    const Verdict verdict = verdict_on(row.status, row.error);
    SCOPED_TRACE(std::to_string(row.status) + " " + std::string(code_of(row.error)));
    EXPECT_EQ(verdict.kind, row.kind);
    EXPECT_EQ(verdict.dead, row.dead);
    EXPECT_EQ(verdict.counts_for_breaker, row.breaker);
    EXPECT_EQ(verdict.disable_endpoint, row.status == 410);
    EXPECT_EQ(verdict.counts_as_unauthorized, row.status == 401 || row.status == 403);
    EXPECT_EQ(verdict.delay, row.kind == Kind::retry ? Millis(5s) : Millis(0));
    EXPECT_TRUE(verdict.charged);
  }
}

TEST(Decide, RetriesOtherClientErrorsWhereTheEndpointAsksForIt) {
  Situation situation = after(1);
  situation.retry_client_errors = true;
  for (const std::int32_t status : {400, 404, 409, 422, 499}) {
    EXPECT_EQ(decide(answer(status), RetryPolicy{}, situation).kind, Kind::retry) << status;
  }
  for (const std::int32_t status : {401, 403, 410}) {
    EXPECT_EQ(decide(answer(status), RetryPolicy{}, situation).kind, Kind::dead) << status;
  }
}

TEST(Decide, ComesBackOnThePolicysSchedule) {
  const std::vector<Millis> standard{5s, 5min, 30min, 2h, 5h};
  for (std::uint32_t attempts = 1; attempts <= 5; ++attempts) {
    EXPECT_EQ(decide(answer(503), RetryPolicy{}, after(attempts)).delay, standard[attempts - 1]);
  }
}

TEST(Decide, GivesUpWhenTheScheduleIsUsedUp) {
  const Verdict verdict = decide(answer(503), RetryPolicy{}, after(6));
  EXPECT_EQ(verdict.kind, Kind::dead);
  EXPECT_EQ(verdict.dead, DeadReason::attempts_exhausted);
  EXPECT_TRUE(verdict.counts_for_breaker);
}

TEST(Decide, GivesUpWhenTheNextAttemptWouldOutliveTheEvent) {
  // The fifth delay is 5 h at the middle of its jitter: one millisecond decides.
  EXPECT_EQ(decide(answer(503), RetryPolicy{}, after(5, 91h)).kind, Kind::retry);
  const Verdict verdict = decide(answer(503), RetryPolicy{}, after(5, 91h + 1ms));
  EXPECT_EQ(verdict.kind, Kind::dead);
  EXPECT_EQ(verdict.dead, DeadReason::expired);
  EXPECT_TRUE(verdict.counts_for_breaker);
}

TEST(Decide, SaysExhaustedRatherThanExpiredWhenBothHold) {
  EXPECT_EQ(decide(answer(503), RetryPolicy{}, after(6, 200h)).dead, DeadReason::attempts_exhausted);
}

Millis delay_with(Headers headers, std::int32_t status = 429, Situation situation = after(1)) {
  const Verdict verdict = decide(answer(status, none, std::move(headers)), RetryPolicy{}, situation);
  EXPECT_EQ(verdict.kind, Kind::retry);
  return verdict.delay;
}

TEST(Decide, HonoursRetryAfterInSecondsAndAsADate) {
  EXPECT_EQ(delay_with({{"Retry-After", "120"}}), 120s);
  EXPECT_EQ(delay_with({{"Retry-After", "Sat, 31 Jan 2026 12:02:00 GMT"}}), 120s);
  EXPECT_EQ(delay_with({{"Retry-After", "120"}}, 503), 120s);
  EXPECT_EQ(delay_with({{"Retry-After", "120"}}, 301), 120s);
}

TEST(Decide, NeverComesBeforeThePolicysOwnDelay) {
  EXPECT_EQ(delay_with({{"Retry-After", "0"}}), 5s);
  EXPECT_EQ(delay_with({{"Retry-After", "4"}}), 5s);
  EXPECT_EQ(delay_with({{"Retry-After", "6"}}), 6s);
  EXPECT_EQ(delay_with({{"Retry-After", "60"}}, 429, after(2)), 5min);
}

TEST(Decide, ClampsAWishToOneSecondAndADay) {
  RetryPolicy quick{RetryPolicy::Kind::quick, {}};
  Situation situation = after(1);
  situation.chance = 0;  // quick's own delay: 0
  EXPECT_EQ(decide(answer(429, none, {{"Retry-After", "0"}}), quick, situation).delay, 1s);
  EXPECT_EQ(decide(answer(429, none, {{"RateLimit-Reset", "0"}}), quick, situation).delay, 1s);
  EXPECT_EQ(delay_with({{"Retry-After", "86401"}}), 24h);
  EXPECT_EQ(delay_with({{"Retry-After", "99999999999999999999"}}), 24h);
  EXPECT_EQ(delay_with({{"X-RateLimit-Reset", "999999"}}), 24h);
}

TEST(Decide, CutsAWishSoThatTheLastAttemptFallsWithinTheLifetime) {
  const Verdict verdict = decide(answer(429, none, {{"Retry-After", "7200"}}), RetryPolicy{}, after(1, 95h));
  EXPECT_EQ(verdict.kind, Kind::retry);
  EXPECT_EQ(verdict.delay, 59min);
  // So little is left that only the policy's own delay fits.
  EXPECT_EQ(delay_with({{"Retry-After", "7200"}}, 429, after(1, 96h - 30s)), 5s);
  EXPECT_EQ(decide(answer(429, none, {{"Retry-After", "7200"}}), RetryPolicy{}, after(1, 96h)).dead,
            DeadReason::expired);
}

TEST(Decide, KeepsToAShorterLifetime) {
  Situation situation = after(1);
  situation.lifetime = 10min;
  EXPECT_EQ(decide(answer(429, none, {{"Retry-After", "7200"}}), RetryPolicy{}, situation).delay, 9min);
  situation.attempts = 3;
  EXPECT_EQ(decide(answer(500), RetryPolicy{}, situation).dead, DeadReason::expired);
}

TEST(Decide, HonoursAResetWhereTheLimitIsReached) {
  EXPECT_EQ(delay_with({{"X-RateLimit-Reset", "90"}}), 90s);
  EXPECT_EQ(delay_with({{"X-RateLimit-Reset", "1769860890"}}), 90s);
  EXPECT_EQ(delay_with({{"RateLimit", "limit=1, remaining=0, reset=90"}}, 503), 90s);
  EXPECT_EQ(delay_with({{"X-RateLimit-Remaining", "50"}, {"X-RateLimit-Reset", "90"}}, 503), 5s);
}

TEST(Decide, PutsRetryAfterBeforeAReset) {
  EXPECT_EQ(delay_with({{"X-RateLimit-Reset", "900"}, {"Retry-After", "60"}}), 60s);
}

RC_GTEST_PROP(Decide, NoRetryIsEarlyOrOutlivesItsEvent, ()) {
  const auto status = *rc::gen::element(0, 100, 302, 408, 425, 429, 500, 503, 599);
  const auto age = Millis(*rc::gen::inRange<std::int64_t>(0, Millis(100h).count()));
  Situation situation = after(*rc::gen::inRange<std::uint32_t>(1, 8), age);
  situation.chance = *rc::gen::arbitrary<std::uint64_t>();
  const auto wish = *rc::gen::inRange<std::int64_t>(0, 200'000);
  const Verdict verdict =
      decide(answer(status, none, {{"Retry-After", std::to_string(wish)}}), RetryPolicy{}, situation);
  const auto own = RetryPolicy{}.delay_after(situation.attempts, situation.chance);
  if (verdict.kind == Kind::retry) {
    RC_ASSERT(own.has_value());
    RC_ASSERT(verdict.delay >= *own);
    RC_ASSERT(situation.now + verdict.delay <= situation.appended + situation.lifetime);
  } else {
    RC_ASSERT(verdict.kind == Kind::dead);
    RC_ASSERT(!own || situation.now + *own > situation.appended + situation.lifetime);
  }
}

RC_GTEST_PROP(Decide, EveryStatusHasAVerdict, ()) {
  const auto status = *rc::gen::inRange(-10, 1000);
  const auto error = static_cast<AttemptError>(*rc::gen::inRange(0, 12));
  const Verdict verdict = verdict_on(status, error);
  RC_ASSERT((verdict.kind == Kind::success) == (status >= 200 && status < 300));
  RC_ASSERT((verdict.kind == Kind::dead) == verdict.dead.has_value());
  RC_ASSERT((verdict.kind == Kind::retry) == (verdict.delay > 0ms));
}

struct ReasonRow {
  DeadReason reason;
  std::string_view spelling;
  Category category;
};
// Stored in dead letters and read by scripts: a closed list.
const std::vector<ReasonRow> kReasons{
    {DeadReason::attempts_exhausted, "attempts_exhausted", Category::customer},
    {DeadReason::expired, "expired", Category::customer},
    {DeadReason::endpoint_disabled, "endpoint_disabled", Category::customer},
    {DeadReason::gone, "gone", Category::customer},
    {DeadReason::unauthorized, "unauthorized", Category::customer},
    {DeadReason::client_error, "client_error", Category::customer},
    {DeadReason::target_denied, "target_denied", Category::customer},
    {DeadReason::target_gone, "target_gone", Category::customer},
    {DeadReason::payload_lost, "payload_lost", Category::ours},
    {DeadReason::undecodable, "undecodable", Category::bad_event},
    {DeadReason::oversize, "oversize", Category::bad_event},
    {DeadReason::no_tenant, "no_tenant", Category::bad_event},
    {DeadReason::bad_tenant, "bad_tenant", Category::bad_event},
    {DeadReason::foreign_environment, "foreign_environment", Category::bad_event},
    {DeadReason::bad_attribute, "bad_attribute", Category::bad_event},
    {DeadReason::schema_violation, "schema_violation", Category::bad_event},
    {DeadReason::crashed_decoder, "crashed_decoder", Category::bad_event}};

TEST(DeadReason, IsSpelledForEverAndComesBack) {
  for (const ReasonRow& row : kReasons) {
    EXPECT_EQ(reason_of(row.reason), row.spelling);
    EXPECT_EQ(parse_dead_reason(row.spelling), row.reason);
    EXPECT_EQ(category_of(row.reason), row.category) << row.spelling;
  }
  EXPECT_EQ(parse_dead_reason("Gone"), std::nullopt);
  EXPECT_EQ(parse_dead_reason(""), std::nullopt);
}

TEST(DeadReason, OfABadEventKeepsItsSpelling) {
  for (const BadEvent bad : {BadEvent::undecodable, BadEvent::oversize, BadEvent::no_tenant,
                             BadEvent::bad_tenant, BadEvent::foreign_environment, BadEvent::bad_attribute}) {
    EXPECT_EQ(reason_of(dead_reason(bad)), reason_of(bad));
    EXPECT_EQ(category_of(dead_reason(bad)), Category::bad_event);
  }
}

TEST(Category, IsSpelledForEver) {
  EXPECT_EQ(name_of(Category::customer), "customer_failure");
  EXPECT_EQ(name_of(Category::ours), "our_failure");
  EXPECT_EQ(name_of(Category::bad_event), "bad_event");
}

}  // namespace
}  // namespace postrider
