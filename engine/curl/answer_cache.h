#pragma once
#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>

#include "engine/core/result.h"
#include "engine/curl/poller.h"
#include "engine/ports/resolver.h"

// What the resolver was last told about each name, good and bad, for as long as it may be believed. Bounded:
// the longest unused name makes room. A value; time is an argument.
namespace postrider {

inline constexpr Millis kAnswerTtlMin{5'000};
inline constexpr Millis kAnswerTtlMax{300'000};
inline constexpr Millis kFailureTtl{5'000};

class AnswerCache {
 public:
  explicit AnswerCache(std::size_t names_max) : names_max_(names_max) {}

  // nullptr: unknown or out of date. The pointer lives until the next call. A good answer's ttl is what is
  // left of it, never below kAnswerTtlMin.
  const Result<Resolved>* find(const std::string& host, PollTime now);
  // Keeps a good answer for its ttl, clamped to [kAnswerTtlMin, kAnswerTtlMax], a failure for kFailureTtl.
  void put(const std::string& host, Result<Resolved> answer, PollTime now);
  std::size_t size() const { return by_name_.size(); }

 private:
  struct Entry {
    std::string host;
    Result<Resolved> answer;
    PollTime expires;
  };
  using Entries = std::list<Entry>;  // the longest unused last

  std::size_t names_max_;
  Entries entries_;
  std::unordered_map<std::string, Entries::iterator> by_name_;
};

}  // namespace postrider
