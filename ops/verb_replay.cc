// replay: over the API, or straight on the log while every daemon is down (its events wait there for the next
// one). replays list | show | cancel
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "engine/api/views.h"
#include "engine/operations/replay.h"
#include "ops/dead_letter_filter.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

extern "C" void on_signal(int) {
  stop_asked = true;
}

Json filter_json(const DeadLetterFilter& filter) {
  Json json = Json::object();
  const auto put = [&json](const char* name, std::string value) {
    if (!value.empty()) json[name] = std::move(value);
  };
  put("tenant", filter.tenant.str());
  put("endpoint", filter.endpoint.str());
  put("type", filter.type);
  if (filter.reason) put("reason", std::string(reason_of(*filter.reason)));
  if (filter.since) put("since", rfc3339(filter.since));
  if (filter.until) put("until", rfc3339(filter.until));
  return json;
}

Result<Json> over_api(Session& session, const DeadLetterFilter& filter) {
  const auto& line = session.line();
  auto api = session.api();
  if (!api) return fail(api.error());
  Json body = {{"dry_run", line.dry_run}};
  if (line.rate > 0) body["rate"] = line.rate;
  if (!line.job.empty()) body["job"] = line.job;
  if (filter.ids.empty()) body["filter"] = filter_json(filter);
  for (const auto& id : filter.ids) body["ids"].push_back(id.str());
  return (*api)->post("/v1/replays", body);
}

Result<Json> on_log(Session& session, const DeadLetterFilter& filter) {
  const auto& line = session.line();
  auto desk = session.desk(line.dry_run ? Events::untouched : Events::read_and_written);
  if (!desk) return fail(desk.error());
  ReplayRequest request;
  request.filter = filter;
  request.dry_run = line.dry_run;
  request.rate = line.rate;
  request.job = ReplayJobId(line.job);
  request.actor = session.actor();
  request.attended = true;
  if (line.dry_run) {
    const auto report = replay(**desk, request, stop_asked);
    if (!report) return fail(report.error());
    return view_of(*report);
  }
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  ReplayBook book;
  const auto job = begin_replay(**desk, book, request);
  if (!job) return fail(job.error());
  auto next_note = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  const auto noted = [&](const ReplayReport& so_far) {
    if (std::chrono::steady_clock::now() < next_note) return;
    next_note = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    session.out().note(std::to_string(so_far.replayed) + " replayed by job " + so_far.job.str());
  };
  const auto report = run_replay(**desk, book, *job, stop_asked, {.progress = noted, .tick = {}});
  if (!report) return fail(report.error());
  const auto ended = book.find(**desk, *job);
  return ended ? view_of(*ended) : view_of(*report);
}

void show_report(const Session& session, const Json& report) {
  const auto& out = session.out();
  if (out.json()) return out.object(report);
  if (session.line().dry_run) {
    out.line(std::to_string(number(report, "matched")) + " would be replayed.");
  } else {
    const auto matched = " of " + std::to_string(number(report, "matched"));
    out.line(std::to_string(number(report, "replayed")) +
             (flag(report, "finished") ? matched + " replayed" : " replayed so far") + ", by job " +
             printable(text(report, "job")) + ".");
  }
  if (const auto before = number(report, "done_before"))
    out.line(std::to_string(before) + " were done before.");
  for (const auto& skipped : list(report, "skipped_deliveries"))
    out.line("left out: " + printable(text(skipped, "delivery_id")) + " (" + printable(text(skipped, "why")) +
             ")");
  if (const auto error = text(report, "error"); !error.empty()) out.line("It failed: " + printable(error));
  if (text(report, "state") == "cancelled") out.line("It was cancelled: the rest stays open.");
  if (flag(report, "finished")) return;
  const auto job = printable(text(report, "job"));
  if (session.over_api())
    out.line("The daemon goes on with it. `postrider-ops replays show " + job +
             "` tells how far it is, `replays cancel " + job + "` ends it.");
  else
    out.line("Stopped. The same selection with --job " + job + " goes on, and repeats nothing.");
}

int code_of(const Json& replay) {
  const auto state = text(replay, "state");
  return number(replay, "skipped") > 0 || state == "failed" || state == "cancelled" ? kFailed : kDone;
}

std::string share_of(const Json& replay) {
  return std::to_string(number(replay, "replayed")) + "/" + std::to_string(number(replay, "matched"));
}

// What it selects, in words.
std::string selection_of(const Json& replay) {
  const auto& filter = member(replay, "filter");
  if (filter.is_null()) return std::to_string(number(replay, "ids")) + " named";
  std::vector<std::string> words;
  for (const auto* name : {"tenant", "endpoint", "type", "reason", "since", "until"})
    if (const auto value = text(filter, name); !value.empty()) words.push_back(name + ("=" + value));
  return listed(words, " ");
}

void show_job(const Output& out, const Json& job) {
  if (out.json()) return out.object(job);
  Table table({text(job, "job"), ""});
  const auto row = [&](const char* name, std::string value) { table.add({name, or_dash(std::move(value))}); };
  row("state", text(job, "state"));
  row("asked for by", text(job, "actor"));
  row("selects", selection_of(job));
  row("rate", member(job, "rate") == 0 ? "" : member(job, "rate").dump() + " a second");
  row("replayed", share_of(job));
  row("left", std::to_string(number(job, "remaining")));
  row("left out", std::to_string(number(job, "skipped")));
  row("begun", short_time(job, "created_at"));
  row("first run", short_time(job, "started_at"));
  row("ended", short_time(job, "ended_at"));
  row("cancelled by", text(job, "cancelled_by"));
  row("error", text(job, "error"));
  out.table(table);
}

// …/{job} and what stands behind it.
std::string job_path(const Session& session, const char* rest = "") {
  return "/v1/replays/" + encoded(session.line().id) + rest;
}

}  // namespace

Result<int> replay_dead_letters(Session& session) {
  const auto filter = filter_of(session.line(), session.now_ms());
  if (!filter) return fail(filter.error());
  if (filter->empty() && !session.line().job.empty())
    return wrong_use("--job alone selects nothing", "repeat the job's own selection, plus --job");
  if (filter->empty())
    return wrong_use(
        "the replay selects nothing",
        "name delivery ids (dlv_…), or give --tenant, --endpoint, --type, --since, --until or --reason");
  if (filter->mixes_ids())
    return wrong_use("delivery ids and a filter are both given",
                     "give one of them: ids are taken as they are");
  const auto report = session.over_api() ? over_api(session, *filter) : on_log(session, *filter);
  if (!report) return fail(report.error());
  show_report(session, *report);
  const bool cut_short = !flag(*report, "finished") && !session.over_api();
  return cut_short ? kFailed : code_of(*report);
}

Result<int> replays_list(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  const auto& line = session.line();
  std::string path = "/v1/replays?limit=" + std::to_string(std::min<std::size_t>(line.limit, 1000));
  add_parameter(path, "tenant", line.tenant);
  add_parameter(path, "state", line.replay_state);
  auto answer = get_pages(**api, path, "replays", line.limit);
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"JOB", "STATE", "REPLAYED", "BEGUN", "BY", "SELECTS"});
  for (const auto& job : list(*answer, "replays")) {
    if (out.json())
      out.object(job);
    else
      table.add({text(job, "job"), text(job, "state"), share_of(job), short_time(job, "created_at"),
                 or_dash(text(job, "actor")), selection_of(job)});
  }
  if (out.json()) return kDone;
  if (table.empty())
    out.line("There are no such replays.");
  else
    out.table(table);
  return kDone;
}

Result<int> replays_show(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto job = (*api)->get(job_path(session));
  if (!job) return fail(job.error());
  show_job(session.out(), *job);
  return kDone;
}

Result<int> replays_cancel(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto job = (*api)->post(job_path(session, "/cancel"), Json::object());
  if (!job) return fail(job.error());
  show_job(session.out(), *job);
  return kDone;
}

}  // namespace postrider::ops
