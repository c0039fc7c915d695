#include "engine/curl/answer_cache.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace postrider {

const Result<Resolved>* AnswerCache::find(const std::string& host, PollTime now) {
  const auto found = by_name_.find(host);
  if (found == by_name_.end()) return nullptr;
  const auto entry = found->second;
  if (entry->expires <= now) {
    entries_.erase(entry);
    by_name_.erase(found);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  if (entry->answer) {
    const auto left = std::chrono::duration_cast<Millis>(entry->expires - now);
    entry->answer->ttl = std::max(left, kAnswerTtlMin);
  }
  return &entry->answer;
}

void AnswerCache::put(const std::string& host, Result<Resolved> answer, PollTime now) {
  Millis ttl = kFailureTtl;
  if (answer) ttl = answer->ttl = std::clamp(answer->ttl, kAnswerTtlMin, kAnswerTtlMax);
  const auto found = by_name_.find(host);
  if (found != by_name_.end()) {
    entries_.erase(found->second);
    by_name_.erase(found);
  }
  if (names_max_ == 0) return;
  if (by_name_.size() >= names_max_) {
    by_name_.erase(entries_.back().host);
    entries_.pop_back();
  }
  entries_.push_front({host, std::move(answer), now + ttl});
  by_name_.emplace(host, entries_.begin());
}

}  // namespace postrider
