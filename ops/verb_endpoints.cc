// endpoints list | show | disable | enable | delete; secrets rotate | revoke
#include <openssl/crypto.h>

#include "engine/core/ids.h"
#include "ops/json_fields.h"
#include "ops/references.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

std::string joined(const Json& words) {
  if (words.is_string()) return words.get<std::string>();
  std::string all;
  if (words.is_array())
    for (const auto& word : words) all += (all.empty() ? "" : ", ") + text(word);
  return all;
}

Result<std::string> endpoint_path(const CommandLine& line) {
  if (!is_tenant_or_endpoint_id(line.tenant) || !is_tenant_or_endpoint_id(line.endpoint))
    return wrong_use("TENANT or ID is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  return "/v1/tenants/" + line.tenant + "/endpoints/" + line.endpoint;
}

void show_endpoint(const Output& out, const Json& endpoint) {
  if (out.json()) return out.object(endpoint);
  Table table({text(endpoint, "tenant") + "/" + text(endpoint, "id"), ""});
  const auto row = [&](const char* name, std::string value) { table.add({name, or_dash(std::move(value))}); };
  const Json& limits = member(endpoint, "limits");
  row("url", text(endpoint, "url") + (flag(endpoint, "has_query") ? "?… (its query is sealed)" : ""));
  row("types", joined(member(endpoint, "types")));
  row("retry", joined(member(endpoint, "retry")));
  row("scheme", text(endpoint, "scheme"));
  row("format", text(endpoint, "format"));
  row("limits", std::to_string(number(limits, "concurrency")) + " at once, " +
                    std::to_string(number(limits, "queue_max")) + " waiting in memory, rate a second " +
                    (member(limits, "rate_per_second").is_number() && member(limits, "rate_per_second") != 0
                         ? member(limits, "rate_per_second").dump()
                         : "unlimited"));
  row("state", text(endpoint, "state"));
  row("since", short_time(endpoint, "since"));
  row("why", text(endpoint, "why"));
  row("by", text(endpoint, "by"));
  row("held", std::to_string(number(endpoint, "held")));
  row("queued", std::to_string(number(endpoint, "queued")));
  for (const auto& secret : list(endpoint, "secrets"))
    row("secret",
        text(secret, "id") + ", " + text(secret, "state") + ", made " + short_time(secret, "created_at") +
            (member(secret, "expires_at").is_null() ? ""
                                                    : ", signs until " + short_time(secret, "expires_at")) +
            (flag(secret, "is_old") ? ", over a year old: rotate it" : ""));
  row("incarnation", text(endpoint, "incarnation"));
  row("revision", std::to_string(number(endpoint, "revision")));
  row("changed", short_time(endpoint, "changed_at") + " by " + or_dash(text(endpoint, "changed_by")));
  out.table(table);
}

Result<int> change_endpoint(Session& session, const char* verb, const Json& body) {
  auto path = endpoint_path(session.line());
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->post(*path + verb + (session.line().no_wait ? "?wait=false" : ""), body);
  if (!answer) return fail(answer.error());
  show_endpoint(session.out(), *answer);
  return kDone;
}

}  // namespace

Result<int> endpoints_list(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  std::string path = "/v1/endpoints";
  add_parameter(path, "tenant", session.line().tenant);
  auto answer = get_pages(**api, path, "endpoints");
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  Table table({"TENANT", "ENDPOINT", "STATE", "SINCE", "HELD", "URL", "WHY"});
  for (const auto& endpoint : list(*answer, "endpoints")) {
    if (out.json())
      out.object(endpoint);
    else
      table.add({text(endpoint, "tenant"), text(endpoint, "id"), text(endpoint, "state"),
                 short_time(endpoint, "since"), std::to_string(number(endpoint, "held")),
                 text(endpoint, "url"), or_dash(text(endpoint, "why"))});
  }
  if (out.json()) return kDone;
  if (table.empty())
    out.line("There are no endpoints. `postrider-ops endpoints apply FILE` declares some.");
  else
    out.table(table);
  return kDone;
}

Result<int> endpoints_show(Session& session) {
  auto path = endpoint_path(session.line());
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get(*path);
  if (!answer) return fail(answer.error());
  show_endpoint(session.out(), *answer);
  return kDone;
}

Result<int> endpoints_statistics(Session& session) {
  auto path = endpoint_path(session.line());
  if (!path) return fail(path.error());
  *path += "/statistics";
  add_parameter(*path, "window", session.line().window);
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get(*path);
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  if (out.json()) {
    out.object(*answer);
    return kDone;
  }
  const auto counts = [](const Json& object) {
    std::vector<std::string> words;
    words.reserve(object.size());
    for (const auto& [name, value] : object.items()) words.push_back(name + " " + value.dump());
    return printable(listed(words));
  };
  const auto& attempts = member(*answer, "attempts");
  const auto& latency = member(*answer, "latency_ms");
  Table table({text(*answer, "tenant") + "/" + text(*answer, "id"), ""});
  table.add({"since", short_time(*answer, "since")});
  table.add({"attempts", std::to_string(number(attempts, "total")) + ", " +
                             std::to_string(number(attempts, "succeeded")) + " succeeded"});
  table.add({"outcomes", or_dash(counts(member(attempts, "by_outcome")))});
  table.add({"latency, ms", latency.is_null() ? "-" : counts(latency)});
  table.add({"deliveries", counts(member(*answer, "deliveries"))});
  table.add({"this instance", counts(member(*answer, "here"))});
  if (const auto back = short_time(*answer, "looked_back_to"); back != "-")
    table.add({"looked back to", back});
  out.table(table);
  return kDone;
}

Result<int> endpoints_disable(Session& session) {
  return change_endpoint(session, "/disable", {{"why", session.line().why}});
}

Result<int> endpoints_enable(Session& session) {
  return change_endpoint(session, "/enable", Json::object());
}

Result<int> endpoints_verify(Session& session) {
  Json body = Json::object();
  if (!session.line().challenge.empty()) body["challenge"] = session.line().challenge;
  if (session.line().vouch) body["vouch"] = true;
  return change_endpoint(session, "/verify", body);
}

Result<int> endpoints_delete(Session& session) {
  const auto& line = session.line();
  auto path = endpoint_path(line);
  if (!path) return fail(path.error());
  auto api = session.api();
  if (!api) return fail(api.error());
  if (!session.ask("Delete " + line.tenant + "/" + line.endpoint +
                   ", and cancel every delivery that it is owed?"))
    return kFailed;
  auto answer = (*api)->remove(*path + (line.no_wait ? "?wait=false" : ""));
  if (!answer) return fail(answer.error());
  if (session.out().json())
    session.out().object(
        {{"tenant", line.tenant}, {"endpoint", line.endpoint}, {"deleted", flag(*answer, "deleted")}});
  else
    session.out().line("deleted " + line.tenant + "/" + line.endpoint);
  return kDone;
}

Result<int> secrets_rotate(Session& session) {
  const auto& line = session.line();
  auto path = endpoint_path(line);
  if (!path) return fail(path.error());
  Json body = Json::object();
  if (!line.overlap.empty()) body["overlap"] = line.overlap;
  if (!line.secret.empty()) {
    if (!is_reference(line.secret))
      return wrong_use("--secret is no reference", "write env:NAME or file:PATH, never the secret itself");
    auto secret = read_reference(line.secret);
    if (!secret) return fail(secret.error());
    body["secret"] = std::string(secret->reveal());
  }
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->post(*path + "/secrets/rotate" + (line.no_wait ? "?wait=false" : ""), body);
  if (auto* copy = body.contains("secret") ? body["secret"].get_ptr<std::string*>() : nullptr)
    OPENSSL_cleanse(copy->data(), copy->size());
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  if (out.json()) {
    out.object(*answer);
    return kDone;
  }
  if (const auto secret = text(*answer, "secret"); !secret.empty()) out.line(secret);
  for (const auto& difference : list(*answer, "differences")) out.note(text(difference).c_str());
  out.note("Hand the new secret to the customer before the overlap ends. It stands nowhere else.");
  return kDone;
}

Result<int> secrets_revoke(Session& session) {
  const auto& line = session.line();
  auto path = endpoint_path(line);
  if (!path) return fail(path.error());
  if (!is_tenant_or_endpoint_id(line.secret))
    return wrong_use("SECRET is no id", "`endpoints show` lists them: sec_…");
  auto api = session.api();
  if (!api) return fail(api.error());
  if (!session.ask("Revoke " + line.secret + " of " + line.tenant + "/" + line.endpoint +
                   "? A receiver that knows no other one refuses what comes."))
    return kFailed;
  auto answer = (*api)->remove(*path + "/secrets/" + line.secret + (line.no_wait ? "?wait=false" : ""));
  if (!answer) return fail(answer.error());
  if (session.out().json())
    session.out().object(*answer);
  else
    session.out().line("revoked " + line.secret + " of " + line.tenant + "/" + line.endpoint);
  return kDone;
}

}  // namespace postrider::ops
