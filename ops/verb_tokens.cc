// tokens create | list | revoke
#include "engine/core/time.h"
#include "ops/api_client.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

std::string scopes_of(const Json& token) {
  std::string all;
  for (const auto& scope : list(token, "scopes")) all += (all.empty() ? "" : " ") + text(scope);
  return all.ends_with(" admin") ? "admin" : all;  // which holds them all
}

Result<Json> declaration(Session& session) {
  const auto& line = session.line();
  Json body = {{"name", line.name}};
  if (!line.tenant.empty()) body["tenant"] = line.tenant;
  if (!line.role.empty()) body["role"] = line.role;
  if (!line.scopes.empty()) body["scopes"] = line.scopes;
  if (line.expires.empty()) return body;
  const auto lives = parse_duration(line.expires);
  if (!lives) return wrong_use("--expires is no duration", "write 30d or 12h");
  body["expires_at"] = rfc3339(session.now_ms() + lives->count());
  return body;
}

}  // namespace

Result<int> tokens_create(Session& session) {
  auto body = declaration(session);
  if (!body) return fail(body.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto token = (*api)->post("/v1/tokens", *body);
  if (!token) return fail(token.error());
  const auto& out = session.out();
  if (out.json()) {
    out.object(*token);
    return kDone;
  }
  const auto tenant = text(*token, "tenant");
  out.line(text(*token, "token"));
  out.note("It stands nowhere else. " + text(*token, "id") + " is for " +
           (tenant.empty() ? "the platform" : "the tenant " + tenant) + ", may do " + scopes_of(*token) +
           ", and ends " + short_time(*token, "expires_at") + ".");
  return kDone;
}

Result<int> tokens_list(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  std::string path = "/v1/tokens";
  add_parameter(path, "tenant", session.line().tenant);
  auto answer = get_pages(**api, path, "tokens");
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"TOKEN", "NAME", "TENANT", "STATE", "USED", "ENDS", "REVIEW", "BY", "MAY DO"});
  for (const auto& token : list(*answer, "tokens")) {
    if (out.json())
      out.object(token);
    else
      table.add(
          {text(token, "id"), or_dash(text(token, "name")), or_dash(text(token, "tenant")),
           text(token, "state"),
           member(token, "last_used_at").is_null() ? "never" : text(token, "last_used_at").substr(0, 10),
           short_time(token, "expires_at"),
           short_time(token, "review_at") + (flag(token, "review_due") ? " (due)" : ""),
           or_dash(text(token, "created_by")), scopes_of(token)});
  }
  if (!out.json()) out.table(table);
  return kDone;
}

Result<int> tokens_revoke(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto token = (*api)->remove("/v1/tokens/" + encoded(session.line().id));
  if (!token) return fail(token.error());
  const auto& out = session.out();
  if (out.json())
    out.object(*token);
  else
    out.line(text(*token, "id") + " is revoked: no instance accepts it any more.");
  return kDone;
}

}  // namespace postrider::ops
