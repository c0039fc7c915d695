#include "engine/core/request_ledger.h"

namespace postrider {

using Step = RequestFact::Step;

// Whether it may be begun anew.
bool RequestLedger::is_over(const Entry& entry, LogTime now) const {
  if (now - entry.begun >= kKept || entry.step == Step::released) return true;
  return entry.step == Step::begun && now - entry.told >= kSilent;
}

void RequestLedger::apply(const RequestFact& fact, Offset offset, LogTime appended) {
  forget(appended);
  if (fact.step == Step::begun) return begin(fact, appended);
  const auto known = entries_.find(fact.key);
  if (known == entries_.end() || known->second.run != fact.run) return;  // of a run that was taken over
  if (fact.step != Step::answered && fact.step != Step::released) return;
  known->second.step = fact.step;
  known->second.answer = offset;
}

// Of who runs it next, if nobody knows what came of the run before.
std::string RequestLedger::origin_for(const Entry& before, const RequestFact& next, LogTime now) {
  const bool end_unknown =
      before.step != Step::answered && before.fingerprint == next.fingerprint && now - before.begun < kKept;
  return end_unknown ? before.origin : std::string();
}

void RequestLedger::begin(const RequestFact& fact, LogTime appended) {
  const auto [at, is_new] = entries_.try_emplace(fact.key);
  Entry& entry = at->second;
  if (!is_new && entry.run == fact.run) {  // the one who runs it is still there
    entry.told = appended;
    return;
  }
  if (!is_new && !is_over(entry, appended)) return;
  const std::string origin = is_new ? std::string() : origin_for(entry, fact, appended);
  if (!is_new && --of_token_[entry.token_id] == 0) of_token_.erase(entry.token_id);
  ++of_token_[fact.token_id];
  entry = {.run = fact.run,
           .origin = origin.empty() ? fact.origin : origin,
           .fingerprint = fact.fingerprint,
           .token_id = fact.token_id,
           .begun = appended,
           .told = appended};
  by_begin_.emplace_back(appended, fact.key);
  while (entries_.size() > kEntriesMax) {
    const auto oldest = entries_.find(by_begin_.front().second);
    if (oldest != entries_.end() && oldest->second.begun == by_begin_.front().first) drop(oldest);
    by_begin_.pop_front();
  }
}

void RequestLedger::forget(LogTime now) {
  while (!by_begin_.empty() && now - by_begin_.front().first >= kKept) {
    const auto oldest = entries_.find(by_begin_.front().second);
    if (oldest != entries_.end() && oldest->second.begun == by_begin_.front().first) drop(oldest);
    by_begin_.pop_front();
  }
}

void RequestLedger::drop(std::unordered_map<std::string, Entry>::iterator at) {
  const auto count = of_token_.find(at->second.token_id);
  if (--count->second == 0) of_token_.erase(count);
  entries_.erase(at);
}

RequestLedger::Found RequestLedger::find(const RequestFact& asked, LogTime now) const {
  const auto known = entries_.find(asked.key);
  if (known != entries_.end() && !asked.run.empty() && known->second.run == asked.run)
    return {State::mine, 0, known->second.origin};
  if (known == entries_.end() || is_over(known->second, now)) {
    const auto count = of_token_.find(asked.token_id);
    if (known == entries_.end() &&
        (entries_.size() >= kTaken || (count != of_token_.end() && count->second >= kTakenOfToken)))
      return {State::full, 0, {}};
    return {State::fresh, 0, known == entries_.end() ? std::string() : origin_for(known->second, asked, now)};
  }
  if (known->second.fingerprint != asked.fingerprint) return {State::different, 0, {}};
  if (known->second.step == Step::answered) return {State::answered, known->second.answer, {}};
  return {State::under_way, 0, {}};
}

}  // namespace postrider
