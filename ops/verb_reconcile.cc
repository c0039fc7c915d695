// reconcile: the proof that nothing is lost, from the log alone.
#include <csignal>

#include "engine/embedded/embedded_log.h"
#include "engine/kafka/group_offsets.h"
#include "engine/operations/reconcile.h"
#include "ops/dead_letter_filter.h"
#include "ops/json_fields.h"
#include "ops/progress.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

std::atomic<bool> stop_asked{false};

extern "C" void on_reconcile_signal(int) {
  stop_asked = true;
}

Result<ReconcileRequest> request_of(Session& session) {
  const auto& line = session.line();
  ReconcileRequest request;
  const auto since = parse_moment(line.since, "--since", session.now_ms());
  if (!since) return fail(since.error());
  const auto until = parse_moment(line.until, "--until", session.now_ms());
  if (!until) return fail(until.error());
  if (*since > 0 && *until > 0 && *since >= *until)
    return wrong_use("--since is not before --until", "name a span that begins before it ends");
  if (!line.tenant.empty() && !is_tenant_or_endpoint_id(line.tenant))
    return wrong_use("--tenant is no name of a tenant", "use up to 64 of A-Z a-z 0-9 _ -");
  request.since = *since;
  request.until = *until;
  request.tenant = TenantId(line.tenant);
  // Whoever starts a daemon on topics that hold less is refused (engine/kafka/topics.h).
  request.kept_for = std::chrono::hours(24);
  return request;
}

Json gap_json(const Unaccounted& one) {
  return {{"unaccounted", one.delivery.empty() ? "event" : "delivery"},
          {"position", std::to_string(one.position.partition) + "@" + std::to_string(one.position.offset)},
          {"tenant", one.tenant.str()},
          {"event_id", one.event_id},
          {"endpoint", one.endpoint.str()},
          {"delivery_id", one.delivery.str()},
          {"why", sentence_of(one.gap)}};
}

Json totals_json(const ReconcileRequest& request, const ReconcileTotals& totals) {
  return {{"since", request.since > 0 ? Json(rfc3339(request.since)) : Json(nullptr)},
          {"until", request.until > 0 ? Json(rfc3339(request.until)) : Json(nullptr)},
          {"events", totals.events},
          {"no_match", totals.no_match},
          {"repeats", totals.repeats},
          {"repeats_unchecked", totals.repeats_unchecked},
          {"set_aside", totals.set_aside},
          {"delivered", totals.delivered},
          {"parked", totals.parked},
          {"dead", totals.dead},
          {"cancelled", totals.cancelled},
          {"in_progress", totals.in_progress},
          {"beyond_evidence", totals.beyond_evidence},
          {"lost_at_source", totals.lost_at_source},
          {"unaccounted", totals.unaccounted}};
}

void show_totals(const Output& out, const ReconcileTotals& totals) {
  const auto say = [&](std::uint64_t count, const char* what, bool always = false) {
    if (count > 0 || always) out.line(std::to_string(count) + what);
  };
  say(totals.events, " events, of which", true);
  say(totals.no_match, " matched no endpoint");
  say(totals.repeats, " repeat an earlier one");
  say(totals.set_aside, " are no event of ours, and lie in the dead-letter topic");
  out.line("and the others made these deliveries:");
  say(totals.delivered, " delivered", true);
  say(totals.parked, " parked, waiting for their next attempt", true);
  say(totals.dead, " dead-lettered", true);
  say(totals.cancelled, " cancelled", true);
  say(totals.in_progress, " in progress");
  say(totals.beyond_evidence, " of which only a dead letter can have told, and such old ones are removed");
  say(totals.lost_at_source, " offsets WERE REMOVED from `events` by retention before they were read");
  if (totals.unaccounted > 0)
    out.line(std::to_string(totals.unaccounted) + " UNACCOUNTED FOR.");
  else if (totals.beyond_evidence > 0)
    out.line("Of the others none is unaccounted for.");
  else if (totals.lost_at_source == 0)
    out.line("None is unaccounted for.");
}

// By partition.
Result<std::vector<std::optional<Offset>>> committed_of(Session& session, Desk& desk) {
  const auto partitions = desk.log.partitions(Topic::events);
  if (!partitions) return fail(partitions.error());
  if (const auto& embedded = session.log().embedded) {
    std::vector<std::optional<Offset>> offsets;
    for (Partition partition = 0; partition < *partitions; ++partition)
      offsets.push_back(embedded->committed(partition));
    return offsets;
  }
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  return group_offsets(*config, *partitions);
}

}  // namespace

Result<int> reconcile_log(Session& session) {
  auto request = request_of(session);
  if (!request) return fail(request.error());
  auto desk = session.desk(Events::read_and_written);
  if (!desk) return fail(desk.error());
  const auto committed = committed_of(session, **desk);
  if (!committed) return fail(committed.error());
  request->committed = [&committed](Partition partition) -> Result<std::optional<Offset>> {
    const auto at = static_cast<std::size_t>(partition);
    return at < committed->size() ? (*committed)[at] : std::nullopt;
  };
  const auto& out = session.out();
  std::signal(SIGINT, on_reconcile_signal);
  std::signal(SIGTERM, on_reconcile_signal);
  Table missing({"position", "tenant", "event", "endpoint", "delivery", "why"});
  std::size_t listed = 0;
  ReconcileWatch watch;
  watch.unaccounted = [&](const Unaccounted& one) {
    if (listed++ >= session.line().limit) return;
    const auto json = gap_json(one);
    if (out.json()) return out.object(json);
    missing.add({text(json, "position"), text(json, "tenant"), text(json, "event_id"), text(json, "endpoint"),
                 text(json, "delivery_id"), text(json, "why")});
  };
  const auto totals = [&] {
    Progress progress("records", out.json());
    watch.progress = [&](std::uint64_t done, std::uint64_t all) { progress.at(done, all); };
    return reconcile(**desk, *request, watch, stop_asked);
  }();
  if (!totals) return fail(totals.error());
  if (out.json()) {
    out.object(totals_json(*request, *totals));
  } else {
    if (!missing.empty()) out.table(missing);
    show_totals(out, *totals);
  }
  if (totals->unaccounted + totals->lost_at_source > 0) return kFailed;
  return totals->beyond_evidence > 0 ? kBeyondRetention : kDone;
}

}  // namespace postrider::ops
