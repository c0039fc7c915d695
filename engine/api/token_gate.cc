#include "engine/api/token_gate.h"

#include <algorithm>
#include <utility>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

constexpr std::size_t kTokenBytesMax = 512;
constexpr std::size_t kRememberedMax = 1000;

}  // namespace

Error auth_failed() {
  return {Errc::denied, "AUTH_FAILED", "there is no valid token in the Authorization header",
          "send \"Authorization: Bearer TOKEN\"; `postrider-ops tokens reset` makes a new one"};
}

Error permission_denied(std::string message, std::string suggestion) {
  return {Errc::denied, "PERMISSION_DENIED", std::move(message), std::move(suggestion)};
}

Bearer TokenGate::bearer_of(const Headers& headers) const {
  const auto* value = find_header(headers, "authorization");
  if (!value) return {};
  std::string_view text = *value;
  const std::string_view scheme = "bearer ";
  const bool bearer = text.size() > scheme.size() &&
                      std::equal(scheme.begin(), scheme.end(), text.begin(), [](char a, char b) {
                        return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
                      });
  if (!bearer) return {};
  text.remove_prefix(scheme.size());
  const bool outside = outside_ != nullptr && outside_->is_one(text);
  if (text.size() > kTokenBytesMax && !outside) return {};
  const auto digest = sha256(text);
  return {hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()}),
          outside ? Secret(std::string(text)) : Secret()};
}

void TokenGate::check(const Bearer& bearer, SteadyTime now, std::function<void(Result<Grant>)> pass) {
  const auto& hash = bearer.hash;
  if (hash.empty()) return pass(fail(auth_failed()));
  const auto known = known_.find(hash);
  if (known != known_.end() && now - known->second.asked_at < kRemembered) return pass(known->second.grant);
  const auto judged = [this, hash, now, pass = std::move(pass)](Result<std::optional<Grant>> grant) {
    if (!grant) return pass(fail(grant.error()));
    if (!*grant) return pass(fail(auth_failed()));
    remember(hash, now, **grant);
    pass(std::move(**grant));
  };
  if (bearer.outside.empty()) return service_.grant_of(hash, judged);
  outside_->judge(bearer.outside.reveal(), [judged](Result<Grant> grant) {
    if (!grant) return judged(fail(grant.error()));
    judged(std::optional<Grant>(*std::move(grant)));
  });
}

void TokenGate::remember(const std::string& hash, SteadyTime asked_at, const Grant& grant) {
  if (known_.size() >= kRememberedMax) known_.clear();
  known_[hash] = {asked_at, grant};
}

}  // namespace postrider
