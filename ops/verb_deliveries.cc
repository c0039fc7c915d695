// deliveries list | show ID | attempts ID | payload ID
#include <algorithm>
#include <iostream>

#include "engine/core/bytes.h"
#include "ops/dead_letter_filter.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

void show_delivery(const Output& out, const Json& delivery) {
  const auto reason = text(delivery, "reason");
  const auto next = text(delivery, "next_at");
  out.line(printable(text(delivery, "delivery_id")) + "  " + printable(text(delivery, "tenant")) + "/" +
           printable(text(delivery, "endpoint")) + "  " + printable(text(delivery, "type")) + "  " +
           printable(text(delivery, "state")) + (reason.empty() ? "" : " (" + printable(reason) + ")") +
           (next.empty() ? "" : ", next attempt at " + short_time(delivery, "next_at")));
  out.line("    event " + printable(text(delivery, "event_id")) + ", webhook-id " +
           printable(text(delivery, "webhook_id")));
  for (const auto& attempt : list(delivery, "attempts")) {
    const auto code = text(attempt, "code");
    out.line("    attempt " + std::to_string(number(attempt, "n")) + "  " + short_time(attempt, "at") + "  " +
             (member(attempt, "status").is_number() ? std::to_string(number(attempt, "status"))
                                                    : std::string("-")) +
             "  " + (code.empty() ? "delivered" : printable(code)) + "  " +
             std::to_string(number(attempt, "duration_ms")) + " ms");
  }
}

// Its status, or what went wrong before there was one.
std::string last_answer_of(const Json& delivery) {
  const auto error = text(delivery, "last_error");
  return !error.empty()                    ? error
         : number(delivery, "last_status") ? std::to_string(number(delivery, "last_status"))
                                           : "-";
}

Result<std::string> list_path(Session& session) {
  const auto& line = session.line();
  const auto filter = filter_of(line, session.now_ms());  // the same words as of dead letters
  if (!filter) return fail(filter.error());
  std::string path = "/v1/deliveries";
  add_parameter(path, "tenant", line.tenant);
  add_parameter(path, "endpoint", line.endpoint);
  add_parameter(path, "type", line.type);
  add_parameter(path, "state", line.delivery_state);
  add_parameter(path, "event_id", line.event_id);
  add_parameter(path, "webhook_id", line.webhook_id);
  add_parameter(path, "replay_job", line.job);
  if (filter->since) add_parameter(path, "since", rfc3339(filter->since));
  if (filter->until) add_parameter(path, "until", rfc3339(filter->until));
  add_parameter(path, "limit", std::to_string(std::min<std::size_t>(line.limit, 1000)));
  return path;
}

}  // namespace

Result<int> deliveries_list(Session& session) {
  const auto path = list_path(session);
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = get_pages(**api, *path, "deliveries", session.line().limit);
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"DELIVERY", "TENANT", "ENDPOINT", "TYPE", "STATE", "LAST", "ATTEMPTS", "CHANGED", "NEXT AT"});
  for (const auto& delivery : list(*answer, "deliveries")) {
    if (out.json())
      out.object(delivery);
    else
      table.add({text(delivery, "delivery_id"), text(delivery, "tenant"), text(delivery, "endpoint"),
                 text(delivery, "type"), text(delivery, "state"), last_answer_of(delivery),
                 std::to_string(number(delivery, "attempts")), short_time(delivery, "changed_at"),
                 short_time(delivery, "next_at")});
  }
  if (out.json()) return kDone;
  if (table.empty())
    out.line("There are no such deliveries.");
  else
    out.table(table);
  if (!text(*answer, "next_cursor").empty())
    out.note("There are more: --limit, --since and the other options narrow it down.");
  return kDone;
}

Result<int> deliveries_attempts(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = get_pages(**api, "/v1/deliveries/" + encoded(session.line().id) + "/attempts", "attempts");
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"N", "AT", "STATUS", "OUTCOME", "VERDICT", "MS", "NEXT AT", "RECEIVER'S ID"});
  for (const auto& attempt : list(*answer, "attempts")) {
    if (out.json()) {
      out.object(attempt);
      continue;
    }
    const auto code = text(attempt, "code");
    table.add({std::to_string(number(attempt, "n")), short_time(attempt, "at"),
               member(attempt, "status").is_number() ? std::to_string(number(attempt, "status")) : "-",
               code.empty() ? "delivered" : code, text(attempt, "verdict"),
               std::to_string(number(attempt, "duration_ms")), short_time(attempt, "next_at"),
               or_dash(text(attempt, "receiver_request_id"))});
  }
  if (!out.json()) out.table(table);
  return kDone;
}

namespace {

// Of what stands at `path`.
Result<int> print_payload(Session& session, const std::string& path) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get(path + "/payload");
  if (!answer) return fail(answer.error());
  if (session.out().json()) {
    session.out().object(*answer);
    return kDone;
  }
  const auto data = base64_decode(text(*answer, "data_base64"));
  if (!data)
    return fail(Errc::corrupt, "API_ANSWER_UNEXPECTED", "the answer's data is no base64",
                "check that it is a postriderd of this version that answers");
  std::cout << *data << std::flush;  // bytes for a file or a pipe, not for a terminal
  return kDone;
}

}  // namespace

Result<int> deliveries_payload(Session& session) {
  return print_payload(session, "/v1/deliveries/" + encoded(session.line().id));
}

Result<int> events_payload(Session& session) {
  return print_payload(session, "/v1/events/" + encoded(session.line().id));
}

Result<int> events_show(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get("/v1/events/" + encoded(session.line().id));
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  if (out.json()) {
    out.object(*answer);
    return kDone;
  }
  Table table({text(*answer, "webhook_id"), ""});
  for (const auto* name :
       {"id", "tenant", "source", "type", "time", "datacontenttype", "endpoint", "replay_job"})
    table.add({name, or_dash(text(*answer, name))});
  table.add({"position",
             std::to_string(number(*answer, "partition")) + "-" + std::to_string(number(*answer, "offset"))});
  table.add({"bytes", member(*answer, "bytes").dump()});
  out.table(table);
  return kDone;
}

Result<int> deliveries_show(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get("/v1/deliveries/" + encoded(session.line().id));
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  const auto& deliveries = list(*answer, "deliveries");
  for (const auto& delivery : deliveries) {
    if (out.json())
      out.object(delivery);
    else
      show_delivery(out, delivery);
  }
  const auto why = text(*answer, "explanation");
  if (out.json() && deliveries.empty())
    out.object({{"id", session.line().id}, {"state", nullptr}, {"explanation", why}});
  else if (!why.empty())
    out.line((deliveries.empty() ? "No delivery: " : "Note: ") + printable(why));
  return kDone;
}

}  // namespace postrider::ops
