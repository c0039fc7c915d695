// replay: over the API, or straight on the log while every daemon is down (its events wait there for the next
// one).
#include <unistd.h>

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
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  auto next_note = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  const auto report = replay(**desk, request, stop_asked, [&](const ReplayReport& so_far) {
    if (std::chrono::steady_clock::now() < next_note) return;
    next_note = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    session.out().note(std::to_string(so_far.replayed) + " replayed by job " + so_far.job.str());
  });
  if (!report) return fail(report.error());
  return view_of(*report);
}

void show_report(const Session& session, const Json& report) {
  const auto& out = session.out();
  if (out.json()) return out.object(report);
  if (session.line().dry_run) {
    out.line(std::to_string(number(report, "matched")) + " would be replayed.");
  } else {
    // Until it has finished, what matched so far is no total.
    out.line(std::to_string(number(report, "replayed")) +
             (flag(report, "finished") ? " of " + std::to_string(number(report, "matched")) + " replayed"
                                       : " replayed so far") +
             ", by job " + printable(text(report, "job")) + ".");
  }
  if (const auto before = number(report, "done_before"))
    out.line(std::to_string(before) + " were done before.");
  for (const auto& skipped : list(report, "skipped_deliveries"))
    out.line("left out: " + printable(text(skipped, "delivery_id")) + " (" + printable(text(skipped, "why")) +
             ")");
  if (flag(report, "finished")) return;
  if (session.over_api())
    out.line("The daemon goes on with it. How far it is: the same selection with --job " +
             printable(text(report, "job")) + " --dry-run counts what is left.");
  else
    out.line("Stopped. The same selection with --job " + printable(text(report, "job")) +
             " goes on, and repeats nothing.");
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
  return number(*report, "skipped") > 0 || cut_short ? kFailed : kDone;
}

}  // namespace postrider::ops
