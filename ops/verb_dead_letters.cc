// dead-letters list | show | summary | resolve. The log's half gives the very objects that the API answers.
#include "engine/api/views.h"
#include "ops/dead_letter_filter.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

// What the receiver said last: its status, or what went wrong before there was one.
std::string last_of(const Json& letter) {
  const auto error = text(letter, "last_error");
  return !error.empty()                  ? error
         : number(letter, "last_status") ? std::to_string(number(letter, "last_status"))
                                         : "-";
}

std::string query_of(const DeadLetterFilter& filter) {
  std::string query;
  add_parameter(query, "tenant", filter.tenant.str());
  add_parameter(query, "endpoint", filter.endpoint.str());
  add_parameter(query, "type", filter.type);
  if (filter.reason) add_parameter(query, "reason", reason_of(*filter.reason));
  if (filter.state) add_parameter(query, "state", name_of(*filter.state));
  if (filter.since) add_parameter(query, "since", rfc3339(filter.since));
  if (filter.until) add_parameter(query, "until", rfc3339(filter.until));
  return query;
}

Result<Json> ask_api(Session& session, const std::string& path) {
  auto api = session.api();
  if (!api) return fail(api.error());
  return (*api)->get(path);
}

Result<Json> list_on_log(Session& session, const DeadLetterFilter& filter) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  const auto found = list_dead_letters(**desk, filter, session.line().limit);
  if (!found) return fail(found.error());
  Json letters = Json::array();
  for (const auto& letter : found->letters) letters.push_back(view_of(letter));
  return Json{{"dead_letters", std::move(letters)},
              {"truncated", found->truncated},
              {"successes_checked", found->successes_checked}};
}

Result<Json> summary_on_log(Session& session, const DeadLetterFilter& filter) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  const auto summary = summarize_dead_letters(**desk, filter);
  if (!summary) return fail(summary.error());
  return view_of(*summary);
}

void warn_if_unchecked(const Output& out, const Json& answer) {
  if (!flag(answer, "successes_checked"))
    out.note("Too many attempts to look through: some of these may have been delivered after all.");
}

void show_letter(const Output& out, const Json& letter) {
  if (out.json()) return out.object(letter);
  Table table({printable(text(letter, "delivery_id")), ""});
  for (const char* name :
       {"tenant", "endpoint", "type", "event_id", "webhook_id", "source", "reason", "category", "state"})
    table.add({name, or_dash(text(letter, name))});
  table.add({"attempts", std::to_string(number(letter, "attempts"))});
  table.add({"last answer", last_of(letter)});
  table.add({"dead at", short_time(letter, "dead_at")});
  table.add({"replay job", or_dash(text(letter, "replay_job"))});
  const Json& position = member(letter, "position");
  table.add({"position", "events " + std::to_string(number(position, "partition")) + " at " +
                             std::to_string(number(position, "offset"))});
  if (const auto detail = text(letter, "detail"); !detail.empty()) table.add({"detail", detail});
  table.add({"payload", std::to_string(number(letter, "payload_bytes")) + " bytes, sealed"});
  const Json& mark = member(letter, "mark");
  if (mark.is_object())
    table.add({"marked", short_time(mark, "at") + " by " + text(mark, "actor") + ": " +
                             or_dash(text(mark, "why").empty() ? text(mark, "job") : text(mark, "why"))});
  out.table(table);
}

}  // namespace

Result<int> dead_letters_list(Session& session) {
  const auto filter = filter_of(session.line(), session.now_ms());
  if (!filter) return fail(filter.error());
  std::string path = "/v1/dead-letters" + query_of(*filter);
  add_parameter(path, "limit", std::to_string(session.line().limit));
  auto answer = session.over_api() ? ask_api(session, path) : list_on_log(session, *filter);
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"DELIVERY", "TENANT", "ENDPOINT", "TYPE", "REASON", "LAST", "ATTEMPTS", "DEAD AT", "STATE"});
  for (const auto& letter : list(*answer, "dead_letters")) {
    if (out.json())
      out.object(letter);
    else
      table.add({text(letter, "delivery_id"), or_dash(text(letter, "tenant")),
                 or_dash(text(letter, "endpoint")), or_dash(text(letter, "type")), text(letter, "reason"),
                 last_of(letter), std::to_string(number(letter, "attempts")), short_time(letter, "dead_at"),
                 text(letter, "state")});
  }
  if (out.json()) return kDone;
  if (table.empty())
    out.line("There are no such dead letters.");
  else
    out.table(table);
  if (flag(*answer, "truncated"))
    out.note("There are more: --limit, --since and the other options narrow it down.");
  warn_if_unchecked(out, *answer);
  return kDone;
}

Result<int> dead_letters_show(Session& session) {
  auto answer = ask_api(session, "/v1/dead-letters/" + encoded(session.line().id));
  if (!answer) return fail(answer.error());
  show_letter(session.out(), *answer);
  return kDone;
}

Result<int> dead_letters_summary(Session& session) {
  const auto filter = filter_of(session.line(), session.now_ms());
  if (!filter) return fail(filter.error());
  auto answer = session.over_api() ? ask_api(session, "/v1/dead-letters/summary" + query_of(*filter))
                                   : summary_on_log(session, *filter);
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"TENANT", "ENDPOINT", "REASON", "CATEGORY", "OPEN", "REPLAYED", "RESOLVED", "FIRST", "LAST"});
  for (const auto& line : list(*answer, "summary")) {
    if (out.json())
      out.object(line);
    else
      table.add({or_dash(text(line, "tenant")), or_dash(text(line, "endpoint")), text(line, "reason"),
                 text(line, "category"), std::to_string(number(line, "open")),
                 std::to_string(number(line, "replayed")), std::to_string(number(line, "resolved")),
                 short_time(line, "first"), short_time(line, "last")});
  }
  if (out.json()) return kDone;
  if (table.empty())
    out.line("There are no such dead letters.");
  else
    out.table(table);
  out.line(std::to_string(number(*answer, "open")) + " open, " + std::to_string(number(*answer, "replayed")) +
           " replayed, " + std::to_string(number(*answer, "resolved")) + " resolved.");
  warn_if_unchecked(out, *answer);
  return kDone;
}

Result<int> dead_letters_resolve(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->post("/v1/dead-letters/" + encoded(session.line().id) + "/resolve",
                             {{"why", session.line().why}});
  if (!answer) return fail(answer.error());
  show_letter(session.out(), *answer);
  return kDone;
}

}  // namespace postrider::ops
