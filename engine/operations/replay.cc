#include "engine/operations/replay.h"

#include <algorithm>

#include "engine/operations/audit.h"

namespace postrider {
namespace {

// A selection in words: what a job that goes on must select again.
std::string scope_of(const TenantId& within, const ReplayFact::Selection& selection, std::size_t id_count) {
  std::string text;
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += (text.empty() ? "" : " ") + std::string(name) + "=" + value;
  };
  add("within", within.str());
  add("tenant", selection.tenant.str());
  add("endpoint", selection.endpoint.str());
  add("type", selection.type);
  add("reason", selection.reason);
  if (selection.since) add("since", rfc3339(selection.since));
  if (selection.until) add("until", rfc3339(selection.until));
  if (id_count > 0) add("ids", std::to_string(id_count));
  return text;
}

// Without where `dead-letters` ends.
ReplayFact::Selection selection_of(const DeadLetterFilter& filter) {
  ReplayFact::Selection selection;
  selection.tenant = filter.tenant;
  selection.endpoint = filter.endpoint;
  selection.type = filter.type;
  if (filter.reason) selection.reason = std::string(reason_of(*filter.reason));
  selection.since = filter.since;
  selection.until = filter.until;
  selection.ids = filter.ids;
  return selection;
}

std::string scope_of(const ReplayRequest& request) {
  return scope_of(request.within, selection_of(request.filter), request.filter.ids.size());
}

// Another selection would replay more than the job was asked for. Another tenant's job is no job.
Result<void> check_scope(const Desk& desk, const ReplayBook& book, const ReplayRequest& request) {
  const auto job = book.find(desk, request.job, request.within);
  if (!job)
    return fail(Errc::not_found, "NOT_FOUND", "there is no replay job " + request.job.str(),
                "leave the job out: that begins a new one");
  const auto before = scope_of(job->within, job->selection, job->id_count);
  if (const auto now = scope_of(request); now != before)
    return fail(Errc::invalid, "INVALID_REQUEST",
                "the job " + request.job.str() + " selected " + before + ", and not " + now,
                "repeat its own selection, or leave the job out: that begins a new one");
  return {};
}

// One tenant's may not be all that there is to do.
Result<void> check_room(const Desk& desk, const ReplayBook& book, const ReplayRequest& request) {
  if (request.within.empty()) return {};
  const auto jobs = book.all(desk, request.within);
  const auto open = std::count_if(jobs.begin(), jobs.end(), [](const ReplayJob& job) {
    return !is_over(job.state) && job.state != ReplayState::stopped;
  });
  if (static_cast<std::size_t>(open) < kOpenReplaysMax) return {};
  return fail(Errc::conflict, "TOO_MANY_REPLAYS",
              "the tenant has " + std::to_string(open) + " replays that wait or run",
              "wait until one has ended, or cancel one: GET /v1/replays lists them");
}

ReplayJobId new_name(Desk& desk, const ReplayRequest& request) {
  if (!request.named.empty()) return request.named;
  return ReplayJobId(random_id("rpl_", desk.random.next(), desk.random.next()));
}

Result<void> check(const ReplayRequest& request) {
  if (request.filter.empty())
    return fail(Errc::invalid, "INVALID_REQUEST", "a replay selects nothing",
                "name delivery ids, or a tenant, endpoint, type, reason or time");
  if (request.filter.mixes_ids())
    return fail(Errc::invalid, "INVALID_REQUEST", "delivery ids and a filter are both given",
                "give one of them");
  const bool in_range = request.rate >= kReplayRateLeast && request.rate <= kReplayRateMost;
  if (request.rate != 0 && !in_range)
    return fail(Errc::invalid, "INVALID_REQUEST", "the rate is out of range",
                "give replays a second, 0.1 to 1000000; or 0: as fast as the log takes them");
  return {};
}

Result<void> tell(Desk& desk, const ReplayRequest& request, const ReplayJobId& id, const char* action) {
  auto fact = audit_of(request.actor, action, "dead_letters");
  fact.scope = scope_of(request);
  fact.tenant = request.within.empty() ? request.filter.tenant : request.within;
  fact.target = request.filter.endpoint.str();
  fact.event_type = request.filter.type;
  fact.subject_id = id.str();
  fact.outcome = "started";
  return append_audit(desk, std::move(fact));
}

Result<ReplayFact::Selection> selection_on_log(Desk& desk, const ReplayRequest& request) {
  auto selection = selection_of(request.filter);
  const auto partitions = desk.log.partitions(Topic::dead_letters);
  if (!partitions) return fail(partitions.error());
  selection.ends.reserve(static_cast<std::size_t>(*partitions));
  for (Partition partition = 0; partition < *partitions; ++partition) {
    const auto extent = desk.log.extent(Topic::dead_letters, partition);
    if (!extent) return fail(extent.error());
    selection.ends.emplace_back(partition, extent->end);
  }
  return selection;
}

Result<void> put_on_log(Desk& desk, const ReplayRequest& request, const ReplayJobId& id) {
  auto selection = selection_on_log(desk, request);
  if (!selection) return fail(selection.error());
  ReplayFact fact;
  fact.job = id;
  fact.step = ReplayFact::Step::begun;
  fact.actor = request.actor.name;
  fact.within = request.within;
  fact.selection = std::move(*selection);
  fact.rate = request.rate;
  fact.attended = request.attended;
  return append_replay(desk, fact);
}

Result<ReplayJobId> resume(Desk& desk, ReplayBook& book, const ReplayRequest& request) {
  if (auto fine = check_scope(desk, book, request); !fine) return fail(fine.error());
  const auto job = book.find(desk, request.job);
  if (job && (job->state == ReplayState::cancelled || job->state == ReplayState::cancelling))
    return fail(Errc::conflict, "REPLAY_CANCELLED", "the replay " + job->id.str() + " was cancelled",
                "leave the job out: a new one replays what is still open");
  // Somebody is at it, or will be.
  if (job &&
      (job->state == ReplayState::running || (job->state == ReplayState::waiting && !request.attended)))
    return request.job;
  if (auto fine = check_room(desk, book, request); !fine) return fail(fine.error());
  if (auto told = tell(desk, request, request.job, "replay_resumed"); !told) return fail(told.error());
  if (auto put = put_on_log(desk, request, request.job); !put) return fail(put.error());
  return request.job;
}

}  // namespace

Result<ReplayJobId> begin_replay(Desk& desk, ReplayBook& book, const ReplayRequest& request) {
  if (auto fine = check(request); !fine) return fail(fine.error());
  if (auto read = book.read_on(desk); !read) return fail(read.error());
  if (!request.job.empty()) return resume(desk, book, request);
  if (!request.named.empty() && book.find(desk, request.named)) {
    ReplayRequest again = request;
    again.job = request.named;
    return resume(desk, book, again);
  }
  if (auto fine = check_room(desk, book, request); !fine) return fail(fine.error());
  const auto id = new_name(desk, request);
  if (auto told = tell(desk, request, id, "replay"); !told) return fail(told.error());
  if (auto put = put_on_log(desk, request, id); !put) return fail(put.error());
  return id;
}

Result<ReplayJob> cancel_replay(Desk& desk, ReplayBook& book, const ReplayJobId& id, const Actor& actor,
                                const TenantId& within) {
  if (auto read = book.read_on(desk); !read) return fail(read.error());
  auto job = book.find(desk, id, within);
  if (!job)
    return fail(Errc::not_found, "NOT_FOUND", "there is no such replay", "list them with GET /v1/replays");
  if (job->state == ReplayState::cancelled || job->state == ReplayState::cancelling) return *std::move(job);
  if (is_over(job->state))
    return fail(Errc::conflict, "REPLAY_ENDED",
                "the replay has " + std::string(name_of(job->state)) + " already",
                "what it sent cannot be called back");
  auto audit = audit_of(actor, "replay_cancelled", "replays/" + id.str());
  audit.tenant = job->within.empty() ? job->selection.tenant : job->within;
  audit.subject_id = id.str();
  audit.outcome = "asked";
  if (auto told = append_audit(desk, std::move(audit)); !told) return fail(told.error());
  ReplayFact fact;
  fact.job = id;
  fact.step = ReplayFact::Step::cancelled;
  fact.actor = actor.name;
  if (auto put = append_replay(desk, fact); !put) return fail(put.error());
  if (auto read = book.read_on(desk); !read) return fail(read.error());
  return book.find(desk, id, within).value_or(*std::move(job));
}

Result<ReplayReport> count_replay(Desk& desk, ReplayBook& book, const ReplayRequest& request) {
  if (auto fine = check(request); !fine) return fail(fine.error());
  if (!request.job.empty()) {
    if (auto read = book.read_on(desk); !read) return fail(read.error());
    if (auto fine = check_scope(desk, book, request); !fine) return fail(fine.error());
  }
  return count_replay(desk, request);
}

Result<ReplayReport> replay(Desk& desk, const ReplayRequest& request, const std::atomic<bool>& stop,
                            const std::function<void(const ReplayReport&)>& progress) {
  ReplayBook book;
  if (request.dry_run) return count_replay(desk, book, request);
  const auto id = begin_replay(desk, book, request);
  if (!id) return fail(id.error());
  return run_replay(desk, book, *id, stop, {.progress = progress, .tick = {}});
}

}  // namespace postrider
