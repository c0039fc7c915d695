// tenants list; endpoints test
#include "engine/core/ids.h"
#include "ops/api_client.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {

Result<int> tenants_list(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get("/v1/tenants");
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"TENANT", "ENDPOINTS", "STOPPED", "TOKENS"});
  for (const auto& tenant : list(*answer, "tenants")) {
    if (out.json())
      out.object(tenant);
    else
      table.add({text(tenant, "id"), std::to_string(number(tenant, "endpoints")),
                 std::to_string(number(tenant, "endpoints_stopped")),
                 std::to_string(number(tenant, "tokens"))});
  }
  if (!out.json()) out.table(table);
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
