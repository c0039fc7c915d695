// tenants list | show | put | delete; endpoints test
#include <fstream>
#include <iterator>

#include "engine/core/ids.h"
#include "ops/api_client.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

Result<std::string> tenant_path(const CommandLine& line) {
  if (!is_tenant_or_endpoint_id(line.tenant))
    return wrong_use("TENANT is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  return "/v1/tenants/" + line.tenant;
}

// What is said of it: {"name": …, "description": …, "endpoints_max": …, "suspended": …}.
Result<Json> declaration_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Json body = Json::parse(content, nullptr, false);
  if (!file || !body.is_object())
    return wrong_use("FILE is not there, or holds no JSON object",
                     "write {\"name\": \"…\", \"endpoints_max\": 20}, as schemas/openapi.yaml says");
  return body;
}

void show_tenant(const Output& out, const Json& tenant) {
  if (out.json()) return out.object(tenant);
  Table table({text(tenant, "id"), ""});
  const auto row = [&](const char* name, std::string value) { table.add({name, or_dash(std::move(value))}); };
  const Json& most = member(tenant, "endpoints_max");
  row("name", text(tenant, "name"));
  row("description", text(tenant, "description"));
  row("endpoints", std::to_string(number(tenant, "endpoints")));
  row("endpoints at most", most.is_null() ? "as configured" : most.dump());
  row("stopped", std::to_string(number(tenant, "endpoints_stopped")));
  row("tokens", std::to_string(number(tenant, "tokens")));
  row("suspended", flag(tenant, "suspended") ? "yes" : "no");
  row("revision", std::to_string(number(tenant, "revision")));
  row("changed", short_time(tenant, "changed_at") + " by " + or_dash(text(tenant, "changed_by")));
  out.table(table);
}

}  // namespace

Result<int> tenants_list(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = get_pages(**api, "/v1/tenants", "tenants");
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"TENANT", "NAME", "ENDPOINTS", "STOPPED", "TOKENS", "SUSPENDED"});
  for (const auto& tenant : list(*answer, "tenants")) {
    if (out.json())
      out.object(tenant);
    else
      table.add({text(tenant, "id"), or_dash(text(tenant, "name")),
                 std::to_string(number(tenant, "endpoints")),
                 std::to_string(number(tenant, "endpoints_stopped")),
                 std::to_string(number(tenant, "tokens")), flag(tenant, "suspended") ? "yes" : "-"});
  }
  if (!out.json()) out.table(table);
  return kDone;
}

Result<int> tenants_show(Session& session) {
  auto path = tenant_path(session.line());
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get(*path);
  if (!answer) return fail(answer.error());
  show_tenant(session.out(), *answer);
  return kDone;
}

Result<int> tenants_put(Session& session) {
  const auto& line = session.line();
  auto path = tenant_path(line);
  if (!path) return fail(path.error());
  auto body = declaration_in(line.file);
  if (!body) return fail(body.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->put(*path + (line.no_wait ? "?wait=false" : ""), *body);
  if (!answer) return fail(answer.error());
  show_tenant(session.out(), *answer);
  return kDone;
}

Result<int> tenants_delete(Session& session) {
  const auto& line = session.line();
  auto path = tenant_path(line);
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  if (!session.ask("Forget what was said of " + line.tenant + "?")) return kFailed;
  auto answer = (*api)->remove(*path + (line.no_wait ? "?wait=false" : ""));
  if (!answer) return fail(answer.error());
  if (session.out().json())
    session.out().object({{"id", line.tenant}, {"deleted", flag(*answer, "deleted")}});
  else
    session.out().line("forgotten: " + line.tenant);
  return kDone;
}

Result<int> endpoints_test(Session& session) {
  const auto& line = session.line();
  if (!is_tenant_or_endpoint_id(line.tenant) || !is_tenant_or_endpoint_id(line.endpoint))
    return wrong_use("TENANT or ID is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  auto api = session.api();
  if (!api) return fail(api.error());
  Json body = Json::object();
  if (!line.type.empty()) body["type"] = line.type;
  auto answer = (*api)->post("/v1/tenants/" + line.tenant + "/endpoints/" + line.endpoint + "/test", body);
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  if (out.json()) {
    out.object(*answer);
    return kDone;
  }
  const auto id = text(*answer, "webhook_id");
  out.line(id);
  out.note("On its way. What came of it: postrider-ops deliveries show " + id);
  return kDone;
}

}  // namespace postrider::ops
