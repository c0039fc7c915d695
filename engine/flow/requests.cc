#include "engine/flow/requests.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/wire/codec.h"

namespace postrider::flow {

void Requests::on_tail(const Record& record) {
  if (record.value) {
    if (auto fact = wire::decode_request(context_.config.environment, *record.value)) {
      ledger_.apply(*fact, record.offset, record.appended);
    } else {
      context_.ports.observer.note("error", "request_record_refused", fact.error().message, &fact.error());
    }
  }
  applied_ = record.offset + 1;
  while (!own_.empty() && own_.begin()->first < applied_) own_.extract(own_.begin()).mapped()();
}

// What stands on the topic is read before our own first record is, whose place decides.
void Requests::follow() {
  if (std::exchange(follows_, true)) return;
  context_.ports.log.tail(Topic::requests, 0, 0);
}

// Tells the append time, once the ledger holds the record and all before it.
void Requests::append(const RequestFact& fact, std::function<void(Result<LogTime>)> read_back) {
  NewRecord record{.topic = Topic::requests,
                   .partition = 0,
                   .key = fact.key,
                   .value = wire::encode(context_.config.environment, fact),
                   .headers = {}};
  const SteadyTime asked_at = context_.steady();
  appender_.append(std::move(record),
                   [this, asked_at, then = std::move(read_back)](const Appended& appended) {
                     if (appended.status != Appended::Status::acknowledged) return then(fail(appended.error));
                     log_time_.acknowledged(appended.appended, asked_at, context_.steady());
                     if (appended.offset < applied_) return then(appended.appended);
                     own_.emplace(appended.offset, [then, at = appended.appended] { then(at); });
                   });
}

void Requests::begin(RequestClaim claim, Service::Answer<ClaimedRequest> answer) {
  follow();
  RequestFact fact;
  fact.key = std::move(claim.key);
  fact.fingerprint = std::move(claim.fingerprint);
  fact.token_id = std::move(claim.token_id);
  // What is known to be answered or under way needs no record. The log's time alone tells: before the first
  // record of ours was acknowledged it is unknown, and the log is asked.
  if (log_time_.known()) {
    const LogTime now = log_time_.at(context_.steady());
    if (ledger_.find(fact, now).state != RequestLedger::State::fresh) return judge(fact, now, answer);
  }
  const std::uint64_t high = context_.ports.random.next();
  fact.run = random_id("run_", high, context_.ports.random.next());
  fact.origin = fact.run;
  append(fact, [this, fact, answer](Result<LogTime> appended) {
    if (appended) return judge(fact, *appended, answer);
    answer(fail(Errc::unavailable, "SERVICE_UNAVAILABLE",
                "the log did not acknowledge the request's beginning",
                "repeat it under the same Idempotency-Key: nothing has been done"));
  });
}

void Requests::judge(const RequestFact& fact, LogTime appended,
                     const Service::Answer<ClaimedRequest>& answer) {
  using Kind = ClaimedRequest::Kind;
  const auto found = ledger_.find(fact, appended);
  switch (found.state) {
    case RequestLedger::State::mine:
      under_way_[fact.run] = {fact, context_.steady() + RequestLedger::kToldEvery};
      return answer(ClaimedRequest{Kind::run, fact.run, found.origin, 0});
    case RequestLedger::State::answered:
      return answer(ClaimedRequest{Kind::answered, {}, {}, found.answer});
    case RequestLedger::State::different:
      return answer(ClaimedRequest{Kind::different, {}, {}, 0});
    case RequestLedger::State::full:
      return answer(ClaimedRequest{Kind::full, {}, {}, 0});
    case RequestLedger::State::fresh:  // whoever was before us has let go of it just now: asked again, it
                                       // runs
    case RequestLedger::State::under_way:
      return answer(ClaimedRequest{Kind::under_way, {}, {}, 0});
  }
}

void Requests::end(RequestEnd end, Service::Answer<bool> answer) {
  under_way_.erase(end.run);
  if (!end.answer) return write_end(std::move(end), answer);
  const TenantId tenant = end.tenant;
  auto held = std::make_shared<RequestEnd>(std::move(end));  // shared by the function's copies
  registry_.ensure_key(tenant, [this, held, answer](Result<void> key) {
    if (!key) held->answer.reset();
    write_end(std::move(*held), answer);
  });
}

// What cannot be sealed is not kept: a repeat would run once more, under the same names.
void Requests::write_end(RequestEnd end, const Service::Answer<bool>& answer) {
  RequestFact fact;
  fact.key = std::move(end.claim.key);
  fact.run = std::move(end.run);
  fact.token_id = std::move(end.claim.token_id);
  fact.tenant = std::move(end.tenant);
  fact.step = RequestFact::Step::released;
  if (end.answer) {
    if (auto sealed = context_.ports.keys.seal(seal_context(fact.tenant), end.answer->reveal())) {
      fact.step = RequestFact::Step::answered;
      fact.sealed_answer = *std::move(sealed);
    }
  }
  append(fact, [answer](const Result<LogTime>& appended) { answer(appended.has_value()); });
}

SealContext Requests::seal_context(const TenantId& tenant) const {
  return {context_.config.environment, tenant, {}, "answer"};
}

Result<Secret> Requests::open(const TenantId& tenant, std::string_view sealed) {
  return context_.ports.keys.open(seal_context(tenant), sealed);
}

// A run that is told of after it has ended is of no harm: the ledger knows its end.
void Requests::tick(SteadyTime now) {
  for (auto& [run, under_way] : under_way_) {
    if (under_way.tell_at > now) continue;
    under_way.tell_at = now + RequestLedger::kToldEvery;
    append(under_way.fact, [](const Result<LogTime>&) {});
  }
}

SteadyTime Requests::next_wake(SteadyTime now) const {
  SteadyTime next = now + std::chrono::hours(1);
  for (const auto& [run, under_way] : under_way_) next = std::min(next, under_way.tell_at);
  return next;
}

}  // namespace postrider::flow
