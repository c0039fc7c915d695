#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/core/event.h"
#include "engine/core/fact.h"
#include "engine/core/time.h"

namespace postrider {

// What is under way and what was answered under an Idempotency-Key: fold(records of `requests`), in offset
// order. A value, no clock: the records' append times decide, so that every instance that has read as far
// holds the same, and of two instances that begin one request at once both know which of them runs it.
//
// Rules: whoever begins first runs it. It is begun anew once it was released, 24 h after it began, or when
// the one who ran it has not been heard of for two minutes (killed; alive, it tells each half minute). Kept
// is what tells repeats apart: answers stay on the log, at the offset known here.
//
// Bounded: at most kEntriesMax, the oldest go first. begin() refuses before that, and a single token sooner.
class RequestLedger {
 public:
  static constexpr Millis kKept = std::chrono::hours(24);
  static constexpr Millis kSilent = std::chrono::minutes(2);
  static constexpr Millis kToldEvery = std::chrono::seconds(30);
  static constexpr std::size_t kEntriesMax = 200'000, kTaken = 100'000, kTakenOfToken = 20'000;

  void apply(const RequestFact& fact, Offset offset, LogTime appended);

  enum class State {
    fresh,      // may be begun
    mine,       // that run is the one
    under_way,  // somebody runs it
    answered,   // done; `answer` tells where
    different,  // under way or done, and it asked for something else
    full,       // may not be begun: too many are kept, of this token or of all
  };
  struct Found {
    State state = State::fresh;
    Offset answer = 0;
    std::string origin;  // fresh: of a run whose end nobody knows; empty: there was none. mine: its origin
  };
  // How a request stands for whoever asks for `fingerprint` at `now`; as `run`, once it has begun ("": not).
  Found find(const RequestFact& asked, LogTime now) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string run, origin, fingerprint, token_id;
    LogTime begun{}, told{};
    RequestFact::Step step = RequestFact::Step::begun;
    Offset answer = 0;
  };
  bool is_over(const Entry& entry, LogTime now) const;
  static std::string origin_for(const Entry& before, const RequestFact& next, LogTime now);
  void begin(const RequestFact& fact, LogTime appended);
  void forget(LogTime now);
  void drop(std::unordered_map<std::string, Entry>::iterator at);

  std::unordered_map<std::string, Entry> entries_;
  std::deque<std::pair<LogTime, std::string>> by_begin_;  // entries begun again stand twice
  std::unordered_map<std::string, std::size_t> of_token_;
};

}  // namespace postrider
