#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/oidc/claims.h"
#include "engine/oidc/issuer.h"
#include "engine/ports/clock.h"
#include "engine/ports/outside_tokens.h"

namespace postrider::oidc {

// Tokens of an OpenID Connect issuer (JWT). They are verified on the API's thread with keys that a thread of
// ours fetches: at start, every `refresh_every`, and when a token names a key that is not known, at most once
// in `ask_every`: whoever invents names of keys costs the issuer no more. While it does not answer the keys
// at hand go on, for `keys_kept`; then nobody is let in by it, and is told to come again.
class IssuerTokens final : public OutsideTokens {
 public:
  struct Options {
    Issuer::Options issuer;
    ClaimRules rules;
    Millis keys_kept{3'600'000};
    Millis refresh_every{300'000};
    Millis ask_every{30'000};
  };
  // Runs work on the API's thread; may drop it once that has ended.
  using Post = std::function<void(std::function<void()>)>;
  // What came of an asking that differs from the last; on the thread of ours.
  using Tell = std::function<void(const Result<void>&)>;

  IssuerTokens(Options options, const Clock& clock, Post post, Tell tell);
  ~IssuerTokens() override;
  IssuerTokens(const IssuerTokens&) = delete;
  IssuerTokens& operator=(const IssuerTokens&) = delete;

  bool is_one(std::string_view token) const override { return looks_like_jwt(token); }
  void judge(std::string_view token, std::function<void(Result<Grant>)> done) override;

 private:
  struct Waiting {
    std::string token;
    std::function<void(Result<Grant>)> done;
  };
  // nullopt: a key that might be had by asking is missing.
  std::optional<Result<Grant>> judged(std::string_view token) const;
  Result<Grant> judged_at_last(std::string_view token) const;
  bool wait_for_keys(std::string_view token, std::function<void(Result<Grant>)>& done);
  void run();
  void ask();

  const Options options_;
  const Clock& clock_;
  const Post post_;
  const Tell tell_;
  Issuer issuer_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<const KeySet> keys_;
  SteadyTime fetched_at_{}, asked_at_{};
  bool asked_ = false;      // ever
  bool answered_ = false;   // the last time
  bool under_way_ = false;  // asking, or about to
  bool stopping_ = false;
  std::vector<Waiting> waiting_;
  std::thread thread_;
};

}  // namespace postrider::oidc
