// audit list
#include <algorithm>

#include "ops/dead_letter_filter.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

Result<std::string> audit_path(Session& session) {
  const auto& line = session.line();
  std::string path = "/v1/audit";
  add_parameter(path, "tenant", line.tenant);
  add_parameter(path, "actor", line.who);
  add_parameter(path, "action", line.action);
  for (const auto& [name, text] : {std::pair{"since", line.since}, {"until", line.until}}) {
    if (text.empty()) continue;
    const auto moment = parse_moment(text, name, session.now_ms());
    if (!moment) return fail(moment.error());
    add_parameter(path, name, rfc3339(*moment));
  }
  add_parameter(path, "limit", std::to_string(std::min<std::size_t>(line.limit, 1000)));
  return path;
}

// What it was about, in one column.
std::string about(const Json& fact) {
  const auto resource = text(fact, "resource"), subject = text(fact, "subject_id");
  return subject.empty() || resource.find(subject) != std::string::npos ? resource : resource + " " + subject;
}

}  // namespace

Result<int> audit_list(Session& session) {
  const auto path = audit_path(session);
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = get_pages(**api, *path, "audit", session.line().limit);
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"AT", "ACTOR", "TOKEN", "ACTION", "TENANT", "ABOUT", "OUTCOME", "WHAT"});
  for (const auto& fact : list(*answer, "audit")) {
    if (out.json()) {
      out.object(fact);
      continue;
    }
    const auto error = text(fact, "error");
    table.add({short_time(fact, "at"), or_dash(text(fact, "actor")), or_dash(text(fact, "token_id")),
               text(fact, "action"), or_dash(text(fact, "tenant")), or_dash(about(fact)),
               or_dash(text(fact, "outcome")) + (error.empty() ? "" : " (" + error + ")"),
               or_dash(text(fact, "scope"))});
  }
  if (out.json()) return kDone;
  if (table.empty())
    out.line("There are no such audit facts.");
  else
    out.table(table);
  if (!text(*answer, "next_cursor").empty())
    out.note("There are more: --limit, --since and the other options narrow it down.");
  return kDone;
}

}  // namespace postrider::ops
