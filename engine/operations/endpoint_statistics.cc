#include "engine/operations/endpoint_statistics.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "engine/operations/delivery_digest.h"
#include "engine/operations/newest_first.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

// What is kept of an attempt: the facts themselves would be too many.
struct Tried {
  Hash128 delivery;
  std::int32_t status = 0;
  AttemptError error = AttemptError::none;
  Verdict::Kind verdict = Verdict::Kind::success;
  std::int32_t total_ms = -1;
  std::int64_t appended = 0;
};

struct HashOf {
  std::size_t operator()(const Hash128& hash) const {
    std::size_t value = 0;
    std::copy_n(hash.bytes.begin(), sizeof value, reinterpret_cast<unsigned char*>(&value));
    return value;
  }
};

std::string outcome_of(const Tried& tried) {
  if (tried.error == AttemptError::none) return "HTTP_" + std::to_string(tried.status);
  std::string text(code_of(tried.error));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

// The nearest rank: of a hundred, the 95th.
std::int32_t percentile(const std::vector<std::int32_t>& sorted, std::size_t hundredths) {
  return sorted[(sorted.size() * hundredths + 99) / 100 - 1];
}

std::optional<EndpointStatistics::Latency> latency_of(std::vector<std::int32_t> totals) {
  if (totals.empty()) return std::nullopt;
  std::sort(totals.begin(), totals.end());
  return EndpointStatistics::Latency{percentile(totals, 50), percentile(totals, 95), percentile(totals, 99),
                                     totals.back()};
}

}  // namespace

Result<EndpointStatistics> endpoint_statistics(Desk& desk, const TenantId& tenant, const Target& target,
                                               std::int64_t since, std::int64_t until,
                                               const Patience& patience) {
  NewestFirst<Tried> walk(
      desk,
      {.since = since,
       .until = until,
       .partition = {},
       .records_max = kStatisticsRecordsMax,
       .patience = patience},
      [&](const Record& record) -> std::optional<Tried> {
        const auto fact = wire::decode_attempts(desk.environment, record.value.value_or(""));
        const auto* attempt = fact ? std::get_if<AttemptFact>(&*fact) : nullptr;
        if (!attempt || attempt->delivery.tenant != tenant || attempt->delivery.target != target)
          return std::nullopt;
        return Tried{digest_of(attempt->delivery.id), attempt->status,       attempt->error, attempt->verdict,
                     attempt->phases.total,           to_ms(record.appended)};
      });
  if (auto done = walk.begin({Topic::attempts}, {}); !done) return fail(done.error());
  EndpointStatistics sum;
  sum.since = since;
  sum.until = until;
  std::unordered_set<Hash128, HashOf> met;
  std::vector<std::int32_t> totals;
  while (true) {
    auto found = walk.next();
    if (!found) return fail(found.error());
    if (!*found) break;
    const Tried& tried = (*found)->item;
    const bool success = tried.verdict == Verdict::Kind::success;
    ++sum.attempts;
    ++(success ? sum.succeeded : sum.failed);
    ++sum.by_outcome[outcome_of(tried)];
    if (tried.status != 0 && tried.total_ms >= 0) totals.push_back(tried.total_ms);
    if (!met.insert(tried.delivery).second) continue;
    const bool dead = tried.verdict == Verdict::Kind::dead;
    ++(success ? sum.delivered : dead ? sum.dead : sum.waiting);
  }
  if (walk.more()) sum.looked_back_to = to_ms(walk.looked_back_to());
  sum.latency = latency_of(std::move(totals));
  return sum;
}

}  // namespace postrider
