#include "engine/core/request_limiter.h"

#include <algorithm>
#include <cmath>

#include "engine/core/address_policy.h"

namespace postrider {
namespace {

constexpr double kFractionSlack = 1e-6;  // sums of fractions fall short

double tokens_at(double tokens, SteadyTime counted_at, const Allowance& allowance, SteadyTime now) {
  const double seconds = static_cast<double>(std::max<std::int64_t>(0, (now - counted_at).count())) / 1000;
  return std::min(allowance.full(), tokens + seconds * allowance.per_second);
}

Charge charge_of(double tokens, const Allowance& allowance, bool admitted) {
  const auto seconds = [&](double missing) {
    return static_cast<std::int64_t>(
        std::ceil(std::max(0.0, missing - kFractionSlack) / allowance.per_second));
  };
  return {.admitted = admitted,
          .limited = true,
          .limit = static_cast<std::int64_t>(allowance.full()),
          .remaining = static_cast<std::int64_t>(tokens + kFractionSlack),
          .reset_s = seconds(allowance.full() - tokens),
          .retry_s = admitted ? 0 : std::max<std::int64_t>(1, seconds(1 - tokens))};
}

}  // namespace

Charge Buckets::look(const std::string& name, const Allowance& allowance, SteadyTime now) const {
  if (!(allowance.per_second > 0)) return {};
  const auto known = buckets_.find(name);
  const double tokens = known == buckets_.end()
                            ? allowance.full()
                            : tokens_at(known->second.tokens, known->second.counted_at, allowance, now);
  return charge_of(tokens, allowance, tokens >= 1 - kFractionSlack);
}

// A name is remembered where there is no limit too: it tells who has been heard of.
Charge Buckets::take(const std::string& name, const Allowance& allowance, SteadyTime now) {
  auto [at, is_new] = buckets_.try_emplace(name);
  Bucket& bucket = at->second;
  if (is_new) {
    bucket = {allowance.full(), now, by_use_.insert(by_use_.end(), name)};
    if (buckets_.size() > names_max_) forget(std::string(by_use_.front()));
  } else {
    by_use_.splice(by_use_.end(), by_use_, bucket.place);
  }
  if (!(allowance.per_second > 0)) return {};
  bucket.tokens = tokens_at(bucket.tokens, bucket.counted_at, allowance, now);
  bucket.counted_at = std::max(bucket.counted_at, now);
  const bool admitted = bucket.tokens >= 1 - kFractionSlack;
  if (admitted) bucket.tokens = std::max(0.0, bucket.tokens - 1);
  return charge_of(bucket.tokens, allowance, admitted);
}

void Buckets::forget(const std::string& name) {
  const auto known = buckets_.find(name);
  if (known == buckets_.end()) return;
  by_use_.erase(known->second.place);
  buckets_.erase(known);
}

Charge RequestLimiter::arrived(const std::string& address, const std::string& token, SteadyTime now) {
  if (const auto known = bearers_.find(token); known != bearers_.end()) {
    const auto& [name, platform] = known->second;
    if (tokens(platform).knows(name)) return tokens(platform).take(name, allowed(platform), now);
  }
  if (!token.empty() && tenant_tokens_.knows(token))
    return tenant_tokens_.take(token, limits_.tenant_token, now);
  if (!token.empty() && platform_tokens_.knows(token))
    return platform_tokens_.take(token, limits_.platform_token, now);
  const std::string client = client_of(address);
  if (failures_.knows(client)) {
    if (const auto left = failures_.look(client, limits_.failures, now); !left.admitted) return left;
  }
  return addresses_.take(client, limits_.address, now);
}

Charge RequestLimiter::authenticated(const std::string& token, bool platform, SteadyTime now,
                                     const std::string& bearer) {
  const std::string& name = bearer.empty() ? token : bearer;
  const bool told = bearer.empty() || is_of(token, {bearer, platform});
  if (!told || !tokens(platform).knows(name)) return tokens(platform).take(name, allowed(platform), now);
  auto charge = tokens(platform).look(name, allowed(platform), now);
  charge.admitted = true;  // arrived() has charged it
  charge.retry_s = 0;
  return charge;
}

// Whether that was known. What is forgotten here costs its address one request more; the bearer's bucket
// stays as empty as it is.
bool RequestLimiter::is_of(const std::string& token, const Bearer& bearer) {
  const auto known = bearers_.find(token);
  if (known != bearers_.end() && known->second == bearer) return true;
  if (bearers_.size() >= kTokensMax) bearers_.clear();
  bearers_[token] = bearer;
  return false;
}

Charge RequestLimiter::standing(const std::string& address, SteadyTime now) const {
  return addresses_.look(client_of(address), limits_.address, now);
}

void RequestLimiter::failed(const std::string& address, const std::string& token, SteadyTime now) {
  bearers_.erase(token);  // not his bucket: an old token of his would fill it
  tenant_tokens_.forget(token);
  platform_tokens_.forget(token);
  failures_.take(client_of(address), limits_.failures, now);
}

std::string client_of(const std::string& address) {
  const auto ip = parse_ip(address);
  if (!ip || !ip->v6) return address;
  return std::string(reinterpret_cast<const char*>(ip->bytes.data()), 8) + "/64";
}

}  // namespace postrider
