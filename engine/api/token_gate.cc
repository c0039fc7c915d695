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

std::string TokenGate::hash_of(const Headers& headers) {
  const auto* value = find_header(headers, "authorization");
  if (!value) return {};
  std::string_view text = *value;
  const std::string_view scheme = "bearer ";
  const bool bearer = text.size() > scheme.size() &&
                      std::equal(scheme.begin(), scheme.end(), text.begin(), [](char a, char b) {
                        return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
                      });
  if (!bearer || text.size() > kTokenBytesMax) return {};
  text.remove_prefix(scheme.size());
  const auto digest = sha256(text);
  return hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

void TokenGate::check(const std::string& hash, SteadyTime now, std::function<void(Result<Grant>)> pass) {
  if (hash.empty()) return pass(fail(auth_failed()));
  const auto known = known_.find(hash);
  if (known != known_.end() && now - known->second.asked_at < kRemembered) return pass(known->second.grant);
  service_.grant_of(hash, [this, hash, now, pass = std::move(pass)](Result<std::optional<Grant>> grant) {
    if (!grant) return pass(fail(grant.error()));
    if (!*grant) return pass(fail(auth_failed()));
    remember(hash, now, **grant);
    pass(std::move(**grant));
  });
}

void TokenGate::remember(const std::string& hash, SteadyTime asked_at, const Grant& grant) {
  if (known_.size() >= kRememberedMax) known_.clear();
  known_[hash] = {asked_at, grant};
}

}  // namespace postrider
