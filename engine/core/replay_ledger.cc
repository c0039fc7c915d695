#include "engine/core/replay_ledger.h"

#include <algorithm>

#include "engine/core/decide.h"

namespace postrider {

using Step = ReplayFact::Step;
using ReplayOutcome = ReplayFact::Outcome;

std::string_view name_of(ReplayState state) {
  switch (state) {
    case ReplayState::waiting:
      return "waiting";
    case ReplayState::running:
      return "running";
    case ReplayState::cancelling:
      return "cancelling";
    case ReplayState::stopped:
      return "stopped";
    case ReplayState::finished:
      return "finished";
    case ReplayState::cancelled:
      return "cancelled";
    case ReplayState::failed:
      break;
  }
  return "failed";
}

bool is_over(ReplayState state) {
  return state == ReplayState::finished || state == ReplayState::cancelled || state == ReplayState::failed;
}

bool is_known(const ReplayFact::Selection& selection) {
  return selection.reason.empty() || parse_dead_reason(selection.reason);
}

ReplayState ReplayLedger::Entry::state(LogTime now) const {
  if (over && outcome == ReplayOutcome::finished) return ReplayState::finished;
  if (over && outcome == ReplayOutcome::failed) return ReplayState::failed;
  if (over) return ReplayState::cancelled;
  if (cancelled) return ReplayState::cancelling;
  if (is_run(now)) return ReplayState::running;
  return job.attended ? ReplayState::stopped : ReplayState::waiting;
}

void ReplayLedger::apply(const ReplayFact& fact, Offset offset, LogTime appended) {
  last_appended_ = std::max(last_appended_, appended);
  if (fact.step == Step::begun) return begin(fact, offset, appended);
  const auto at = entries_.find(fact.job);
  if (at == entries_.end() || at->second.over) return;
  Entry& entry = at->second;
  switch (fact.step) {
    case Step::running:
      return run(entry, fact, appended);
    case Step::cancelled:
      if (entry.cancelled) return;
      entry.cancelled = true;
      entry.job.cancelled_by = fact.actor;
      if (entry.job.run.empty()) close(entry, ReplayOutcome::cancelled, appended);
      return;
    case Step::ended:
      if (entry.job.run == fact.run) end(entry, fact, appended);
      return;
    case Step::released:
      if (entry.job.run != fact.run) return;
      run(entry, fact, appended);
      entry.job.run.clear();
      entry.job.doubtful_since = 0;
      if (entry.cancelled) close(entry, ReplayOutcome::cancelled, appended);
      return;
    case Step::begun:
      return;
  }
}

void ReplayLedger::begin(const ReplayFact& fact, Offset offset, LogTime appended) {
  const auto [at, is_new] = entries_.try_emplace(fact.job);
  Entry& entry = at->second;
  if (!is_new) {  // the same selection, or it would not have been written (operations/replay.cc)
    if (entry.cancelled) return;
    entry.over = false;
    entry.job.ended_at = 0;
    entry.job.error.clear();
    entry.job.attended = fact.attended;
    entry.job.rate = fact.rate;
    entry.job.selection.ends = fact.selection.ends;
    entry.job.selection_at = offset;
    return;
  }
  ReplayJob& job = entry.job;
  job.id = fact.job;
  job.actor = fact.actor;
  job.within = fact.within;
  job.selection = fact.selection;
  job.id_count = fact.selection.ids.size();
  job.selection.ids.clear();
  job.selection.ids.shrink_to_fit();
  job.rate = fact.rate;
  job.attended = fact.attended;
  job.begun = job.selection_at = offset;
  job.created_at = to_ms(appended);
}

void ReplayLedger::run(Entry& entry, const ReplayFact& fact, LogTime appended) {
  if (entry.job.run != fact.run) {
    if (entry.is_run(appended)) return;
    if (!entry.job.run.empty() && entry.job.doubtful_since == 0) entry.job.doubtful_since = to_ms(entry.told);
    entry.job.run = fact.run;
    if (entry.job.started_at == 0) entry.job.started_at = to_ms(appended);
    entry.told = appended;
    return;  // it has not looked yet how far the one before came
  }
  entry.told = appended;
  // It looks before it goes on.
  if (fact.matched != entry.job.matched || fact.replayed != entry.job.replayed) entry.job.doubtful_since = 0;
  entry.job.matched = fact.matched;
  entry.job.replayed = fact.replayed;
  entry.job.skipped_count = fact.skipped_count;
}

void ReplayLedger::end(Entry& entry, const ReplayFact& fact, LogTime appended) {
  run(entry, fact, appended);
  entry.job.skipped = fact.skipped;
  entry.job.error = fact.error;
  close(entry, fact.outcome, appended);
}

void ReplayLedger::close(Entry& entry, ReplayOutcome outcome, LogTime appended) {
  entry.over = true;
  entry.outcome = outcome;
  entry.job.run.clear();
  entry.job.doubtful_since = 0;
  entry.job.ended_at = to_ms(appended);
}

ReplayJob ReplayLedger::shown(const Entry& entry, LogTime now) const {
  ReplayJob job = entry.job;
  job.state = entry.state(std::max(now, last_appended_));
  job.told_at = to_ms(entry.told);
  job.is_free = job.state == ReplayState::waiting ||
                (job.state == ReplayState::cancelling && !entry.is_run(std::max(now, last_appended_)));
  return job;
}

std::optional<ReplayJob> ReplayLedger::find(const ReplayJobId& id, LogTime now) const {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return std::nullopt;
  return shown(at->second, now);
}

std::vector<ReplayJob> ReplayLedger::all(LogTime now) const {
  std::vector<ReplayJob> jobs;
  jobs.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) jobs.push_back(shown(entry, now));
  std::sort(jobs.begin(), jobs.end(),
            [](const ReplayJob& a, const ReplayJob& b) { return a.begun > b.begun; });
  return jobs;
}

bool ReplayLedger::runs(const ReplayJobId& id, const std::string& run) const {
  const auto at = entries_.find(id);
  return at != entries_.end() && !at->second.over && !run.empty() && at->second.job.run == run;
}

bool ReplayLedger::cancel_asked(const ReplayJobId& id) const {
  const auto at = entries_.find(id);
  return at != entries_.end() && at->second.cancelled;
}

void ReplayLedger::forget_before(Offset begin) {
  std::erase_if(entries_, [begin](const auto& entry) { return entry.second.job.begun < begin; });
}

}  // namespace postrider
