// event-types list | show | put | delete
#include <fstream>
#include <iterator>

#include "engine/core/ids.h"
#include "ops/api_client.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

// Of the tenant, or without one of the platform.
Result<std::string> type_path(const CommandLine& line) {
  if (!line.tenant.empty() && !is_tenant_or_endpoint_id(line.tenant))
    return wrong_use("--tenant is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  return (line.tenant.empty() ? "/v1" : "/v1/tenants/" + line.tenant) + "/event-types/" + encoded(line.type);
}

// What describes it: {"description": …, "version": …, "classification": …, "deprecated": …, "schema": {…}}.
Result<Json> description_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Json body = Json::parse(content, nullptr, false);
  if (!file || !body.is_object())
    return wrong_use("FILE is not there, or holds no JSON object",
                     "write {\"description\": \"…\", \"schema\": {…}}, as schemas/openapi.yaml says");
  return body;
}

void show_type(const Output& out, const Json& type) {
  if (out.json()) return out.object(type);
  Table table({text(type, "name"), ""});
  const auto row = [&](const char* name, std::string value) { table.add({name, or_dash(std::move(value))}); };
  row("of", text(type, "tenant").empty() ? "the platform" : text(type, "tenant"));
  row("description", text(type, "description"));
  row("version", text(type, "version"));
  row("classification", text(type, "classification"));
  row("deprecated", flag(type, "deprecated") ? "yes" : "no");
  row("schema", member(type, "schema").is_null() ? "" : member(type, "schema").dump());
  row("revision", std::to_string(number(type, "revision")));
  row("changed", short_time(type, "changed_at") + " by " + or_dash(text(type, "changed_by")));
  out.table(table);
}

}  // namespace

Result<int> event_types_list(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  std::string path = "/v1/event-types";
  add_parameter(path, "tenant", session.line().tenant);
  auto answer = get_pages(**api, path, "event_types");
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"TYPE", "TENANT", "VERSION", "CLASSIFICATION", "SCHEMA", "DESCRIPTION"});
  for (const auto& type : list(*answer, "event_types")) {
    if (out.json())
      out.object(type);
    else
      table.add({text(type, "name") + (flag(type, "deprecated") ? " (deprecated)" : ""),
                 or_dash(text(type, "tenant")), or_dash(text(type, "version")), text(type, "classification"),
                 flag(type, "has_schema") ? "yes" : "-", or_dash(text(type, "description"))});
  }
  if (out.json()) return kDone;
  if (table.empty())
    out.line("There are no event types. `postrider-ops event-types put TYPE FILE` describes one.");
  else
    out.table(table);
  return kDone;
}

Result<int> event_types_show(Session& session) {
  auto path = type_path(session.line());
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get(*path);
  if (!answer) return fail(answer.error());
  show_type(session.out(), *answer);
  return kDone;
}

Result<int> event_types_put(Session& session) {
  const auto& line = session.line();
  auto path = type_path(line);
  if (!path) return fail(path.error());
  auto body = description_in(line.file);
  if (!body) return fail(body.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->put(*path + (line.no_wait ? "?wait=false" : ""), *body);
  if (!answer) return fail(answer.error());
  show_type(session.out(), *answer);
  return kDone;
}

Result<int> event_types_delete(Session& session) {
  const auto& line = session.line();
  auto path = type_path(line);
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  if (!session.ask("Forget the event type " + line.type + ", its schema too?")) return kFailed;
  auto answer = (*api)->remove(*path + (line.no_wait ? "?wait=false" : ""));
  if (!answer) return fail(answer.error());
  if (session.out().json())
    session.out().object({{"name", line.type}, {"deleted", flag(*answer, "deleted")}});
  else
    session.out().line("deleted " + line.type);
  return kDone;
}

}  // namespace postrider::ops
