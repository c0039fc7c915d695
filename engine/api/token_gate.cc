#include "engine/api/token_gate.h"

#include <algorithm>

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

void TokenGate::check(const std::string& hash, SteadyTime now, std::function<void(Result<void>)> pass) {
  if (hash.empty()) return pass(fail(auth_failed()));
  const auto known = accepted_.find(hash);
  if (known != accepted_.end() && now - known->second < kRemembered) return pass({});
  service_.accepts_token(hash, [this, hash, now, pass = std::move(pass)](Result<bool> accepted) {
    if (!accepted) return pass(fail(accepted.error()));
    if (!*accepted) return pass(fail(auth_failed()));
    remember(hash, now);
    pass({});
  });
}

void TokenGate::remember(const std::string& hash, SteadyTime asked_at) {
  if (accepted_.size() >= kRememberedMax) accepted_.clear();
  accepted_[hash] = asked_at;
}

}  // namespace postrider
