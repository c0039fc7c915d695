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
//
// So a key that the issuer has begun to use is taken after `ask_every` and one answer at the latest, whatever
// others send. Meanwhile a token that may be under such a key (made after we asked last) is OIDC_UNAVAILABLE,
// not refused: no invented name makes a good token fail for good. One that we have asked for, or that was
// made before we asked, is under no key of the issuer's: AUTH_FAILED.
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
    bool came_before;  // before the asking whose answer it waits for had begun
  };
  // nullopt: a key that might be had by asking is missing.
  std::optional<Result<Grant>> judged(std::string_view token) const;
  // `asked_since`: the issuer was, since the token came. Else its key may be there by now.
  Result<Grant> judged_at_last(std::string_view token, bool asked_since) const;
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
  WallTime keys_as_of_{};   // when the asking that brought keys_ began
  bool asked_ = false;      // ever
  bool answered_ = false;   // the last time
  bool under_way_ = false;  // asking, or about to
  bool asking_ = false;     // what comes now may be newer than the answer
  bool stopping_ = false;
  std::vector<Waiting> waiting_;
  std::thread thread_;
};

}  // namespace postrider::oidc
