#include "engine/operations/replay_book.h"

#include <algorithm>

#include "engine/wire/codec.h"

namespace postrider {
namespace {

constexpr Partition kOnly = 0;

LogTime now_of(const Desk& desk) {
  return from_ms<LogTime>(desk.now_ms());
}

}  // namespace

Result<void> ReplayBook::read_on(Desk& desk) {
  const std::lock_guard reading(reading_);
  const auto extent = desk.log.extent(Topic::replays, kOnly);
  if (!extent) return fail(extent.error());
  const Offset from = std::max(next_, extent->begin);
  auto done = desk.log.scan(Topic::replays, kOnly, from, extent->end, [&](const Record& record) {
    // Another's, or damaged: it tells nothing.
    if (auto fact = wire::decode_replay(desk.environment, record.value.value_or(""))) {
      const std::lock_guard lock(mutex_);
      ledger_.apply(*fact, record.offset, record.appended);
    }
    next_ = record.offset + 1;
    return true;
  });
  const std::lock_guard lock(mutex_);
  ledger_.forget_before(extent->begin);
  return done;
}

std::optional<ReplayJob> ReplayBook::find(const Desk& desk, const ReplayJobId& id,
                                          const TenantId& within) const {
  const std::lock_guard lock(mutex_);
  auto job = ledger_.find(id, now_of(desk));
  if (job && !within.empty() && job->within != within) return std::nullopt;
  return job;
}

std::vector<ReplayJob> ReplayBook::all(const Desk& desk, const TenantId& within) const {
  const std::lock_guard lock(mutex_);
  auto jobs = ledger_.all(now_of(desk));
  std::erase_if(jobs, [&](const ReplayJob& job) { return !within.empty() && job.within != within; });
  return jobs;
}

bool ReplayBook::runs(const ReplayJobId& id, const std::string& run) const {
  const std::lock_guard lock(mutex_);
  return ledger_.runs(id, run);
}

bool ReplayBook::cancel_asked(const ReplayJobId& id) const {
  const std::lock_guard lock(mutex_);
  return ledger_.cancel_asked(id);
}

Result<void> append_replay(Desk& desk, const ReplayFact& fact) {
  NewRecord record{.topic = Topic::replays,
                   .partition = kOnly,
                   .key = fact.job.str(),
                   .value = wire::encode(desk.environment, fact),
                   .headers = {}};
  auto appended = desk.log.append(std::move(record));
  if (!appended) return fail(appended.error());
  if (appended->status != Appended::Status::acknowledged) return fail(appended->error);
  return {};
}

}  // namespace postrider
