// What a receiver may say about when to come again: header lines as they arrive, what is kept of them, and
// what is decided. Input: a choice of the status, then lines.
#include <array>
#include <cstdio>
#include <ctime>
#include <string>

#include "engine/core/decide.h"
#include "engine/core/http_date.h"
#include "engine/core/rate_limiter.h"
#include "engine/core/window_pace.h"
#include "engine/curl/answer.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr Millis kDay = std::chrono::hours(24);
constexpr std::array kStatuses = {"429", "503", "200", "500", "408", "302"};

void judge_limit(const Headers& headers, std::string_view bytes) {
  const auto limit = read_rate_limit(headers, from_ms<WallTime>(kNow));
  for (const auto& each : {limit.limit, limit.remaining, limit.reset_seconds})
    if (each && *each < 0) broken("a limit below nothing", bytes);
  if (limit.retry_after && limit.retry_after->count() < 0) broken("an attempt in the past", bytes);
}

// Whatever the receiver says: never before the policy's own delay, never beyond the lifetime, and no later
// than a day where the policy would come sooner.
void judge_delay(const Outcome& outcome, std::string_view bytes) {
  const RetryPolicy policy;
  for (const std::int64_t age_ms : {std::int64_t{0}, Millis(std::chrono::hours(95)).count()}) {
    Situation situation;
    situation.now = from_ms<LogTime>(kNow);
    situation.appended = from_ms<LogTime>(kNow - age_ms);
    situation.wall_now = from_ms<WallTime>(kNow);
    Outcome silent = outcome;
    silent.headers.clear();
    const auto own = decide(silent, policy, situation);
    const auto told = decide(outcome, policy, situation);
    if (told.kind != own.kind) broken("headers change more than the delay", bytes);
    if (told.delay < own.delay) broken("an attempt before the policy's own delay", bytes);
    if (told.delay > std::max(own.delay, kDay)) broken("an attempt later than in a day", bytes);
    if (told.kind == Verdict::Kind::retry &&
        told.delay > situation.appended + situation.lifetime - situation.now)
      broken("an attempt behind the event's lifetime", bytes);
  }
}

// The date is libc's too: written by strftime in the form that RFC 9110 prefers, it is the same moment.
void judge_date(std::string_view text, std::string_view bytes) {
  const auto at = parse_http_date(text, from_ms<WallTime>(kNow));
  if (!at) return;
  const std::time_t seconds = *at / 1000;
  std::tm parts{};
  std::array<char, 64> written{};
  if (gmtime_r(&seconds, &parts) == nullptr) broken("a date that libc has not", bytes);
  char year[16];
  std::snprintf(year, sizeof year, "%04d", parts.tm_year + 1900);  // strftime's %Y is "242" for that year
  const auto format = "%a, %d %b " + std::string(year) + " %H:%M:%S GMT";
  std::strftime(written.data(), written.size(), format.c_str(), &parts);
  if (parse_http_date(written.data(), from_ms<WallTime>(kNow)) != at)
    broken("a date is another one to libc", bytes);
}

}  // namespace

void rate_limit(std::string_view bytes) {
  std::string_view rest = bytes;
  Answer answer({});
  answer.begin();
  const auto* status = kStatuses.at(take_choice(rest, kStatuses.size()));
  bool goes_on = answer.take(std::string("HTTP/1.1 ") + status + " x\r\n");
  while (goes_on && !rest.empty()) {
    const auto line = take_until(rest, '\n');
    if (const auto colon = line.find(": "); colon != std::string_view::npos)
      judge_date(line.substr(colon + 2), bytes);
    goes_on = answer.take(std::string(line) + "\n");
  }
  if (goes_on) goes_on = answer.take("\r\n");
  if (!goes_on && answer.fault() == AttemptError::none && !answer.is_complete())
    broken("an answer is refused without a reason", bytes);
  Outcome outcome;
  outcome.error = answer.fault();
  answer.give(outcome);
  if (outcome.headers.size() > 24) broken("more headers are kept than are needed", bytes);
  judge_limit(outcome.headers, bytes);
  judge_delay(outcome, bytes);
}

}  // namespace postrider::fuzz
