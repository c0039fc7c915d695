#include "engine/oidc/issuer_tokens.h"

#include <pthread.h>
#include <signal.h>

#include <optional>
#include <utility>

namespace postrider::oidc {
namespace {

constexpr std::size_t kWaitingMax = 64;

Error unavailable(std::string what) {
  return {Errc::unavailable, "OIDC_UNAVAILABLE", std::move(what),
          "try again later, or use a token of ours (`postrider-ops tokens create`)"};
}

}  // namespace

IssuerTokens::IssuerTokens(Options options, const Clock& clock, Post post, Tell tell)
    : options_(std::move(options)),
      clock_(clock),
      post_(std::move(post)),
      tell_(std::move(tell)),
      issuer_(options_.issuer),
      under_way_(true) {
  sigset_t all, before;  // signals are the main thread's
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "oidc");
}

IssuerTokens::~IssuerTokens() {
  issuer_.stop();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void IssuerTokens::judge(std::string_view token, std::function<void(Result<Grant>)> done) {
  if (auto result = judged(token)) return done(*std::move(result));
  if (!wait_for_keys(token, done)) done(judged_at_last(token, false));
}

std::optional<Result<Grant>> IssuerTokens::judged(std::string_view token) const {
  const auto head = read_head(token);
  if (!head) return fail(head.error());
  std::shared_ptr<const KeySet> keys;
  {
    const std::lock_guard lock(mutex_);
    if (keys_ && clock_.steady() - fetched_at_ < options_.keys_kept) keys = keys_;
  }
  if (!keys) return std::nullopt;
  std::string claims;
  switch (keys->verify(*head, token, claims)) {
    case KeySet::Verdict::unknown_key:
      return std::nullopt;
    case KeySet::Verdict::forged:
      return fail(not_accepted("its signature does not verify"));
    case KeySet::Verdict::verified:
      break;
  }
  return read_claims(claims, options_.rules, clock_.wall());
}

Result<Grant> IssuerTokens::judged_at_last(std::string_view token, bool asked_since) const {
  if (auto result = judged(token)) return *std::move(result);
  WallTime as_of;
  {
    const std::lock_guard lock(mutex_);
    const bool has_keys = keys_ && clock_.steady() - fetched_at_ < options_.keys_kept;
    if (!answered_ || !has_keys)
      return fail(unavailable("the issuer's keys cannot be had, so its tokens cannot be judged"));
    as_of = keys_as_of_;
  }
  if (!asked_since && may_be_newer(token, options_.rules.issuer, clock_.wall(), as_of))
    return fail(unavailable("the token's key is not known yet, and the issuer is asked again in a moment"));
  return fail(not_accepted("the issuer has no such key"));
}

bool IssuerTokens::wait_for_keys(std::string_view token, std::function<void(Result<Grant>)>& done) {
  {
    const std::lock_guard lock(mutex_);
    const bool may_ask = !asked_ || clock_.steady() - asked_at_ >= options_.ask_every;
    if ((!under_way_ && !may_ask) || waiting_.size() >= kWaitingMax) return false;
    under_way_ = true;
    waiting_.push_back({std::string(token), std::move(done), !asking_});
  }
  wake_.notify_all();
  return true;
}

void IssuerTokens::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    under_way_ = true;
    lock.unlock();
    ask();
    lock.lock();
    const Millis pause = answered_ ? options_.refresh_every : options_.ask_every;
    wake_.wait_for(lock, pause, [this] { return stopping_ || under_way_; });
  }
}

void IssuerTokens::ask() {
  const WallTime begun = clock_.wall();
  {
    const std::lock_guard lock(mutex_);
    asking_ = true;
  }
  auto keys = issuer_.keys();
  std::vector<Waiting> waited;
  bool news = false;
  {
    const std::lock_guard lock(mutex_);
    news = !asked_ || answered_ != keys.has_value();
    asked_ = true;
    answered_ = keys.has_value();
    under_way_ = asking_ = false;
    asked_at_ = clock_.steady();
    if (keys) {
      keys_ = *keys;
      fetched_at_ = asked_at_;
      keys_as_of_ = begun;
    }
    waited.swap(waiting_);
    if (stopping_) news = false;
  }
  if (news && tell_) tell_(keys ? Result<void>() : Result<void>(fail(keys.error())));
  for (auto& each : waited)
    post_([this, each = std::move(each)] { each.done(judged_at_last(each.token, each.came_before)); });
}

}  // namespace postrider::oidc
