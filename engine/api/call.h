#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/http_server.h"
#include "engine/api/problem.h"
#include "engine/core/scope.h"
#include "engine/operations/desk.h"

namespace postrider {

// One request on its way to its answer. Shared by the callbacks that it waits for.
struct Call {
  ApiRequest request;
  std::vector<std::string> path;             // the values of the route's {…}, decoded
  std::map<std::string, std::string> query;  // decoded
  Grant grant;  // of its token; without one (where a route is open) it allows nothing
  Actor actor;
  std::string origin;  // of a request under an Idempotency-Key: what it makes is named after it
  HttpServer::Respond respond;

  ~Call();  // cleanses the body: it may have held a signing secret

  void answer(ApiResponse response) const { respond(std::move(response)); }
  void refuse(const Error& error) const { respond(problem(error)); }
  // A tenant as this call may see it: one that is not its token's is nobody's, so that what belongs to others
  // is looked for in the same way as what does not exist, and is answered in the same words.
  TenantId as_seen(const TenantId& tenant) const { return grant.sees(tenant) ? tenant : TenantId(kNobody); }
  // Of a filter: none given is the token's own; of the platform's, all.
  TenantId filter_as_seen(const TenantId& asked) const {
    return asked.empty() ? grant.tenant : as_seen(asked);
  }
  static constexpr const char* kNobody = "~";  // no tenant id: is_tenant_or_endpoint_id() refuses it

  // A name for what a request under an Idempotency-Key makes; "": there is no such key, take a random one.
  std::string named(std::string_view prefix) const;
  // A query parameter, "" when absent.
  std::string parameter(const std::string& name) const;
  // Refuses parameters beyond those, or "true"/"false" ones that are neither.
  Result<void> only(std::initializer_list<std::string_view> names) const;
  Result<bool> flag(const std::string& name, bool otherwise) const;
  Result<std::int64_t> time(const std::string& name) const;  // RFC 3339; absent: 0
  // Of a list's page, 1 to `most`.
  Result<std::size_t> limit(std::size_t otherwise, std::size_t most) const;
};
using CallPtr = std::shared_ptr<Call>;

// Percent-decoding (RFC 3986); in a query '+' is a blank. nullopt: malformed, or it hides a NUL.
std::optional<std::string> percent_decoded(std::string_view text, bool in_query);
// "a=1&b=2"; nullopt: malformed, a name twice, or more than 32.
std::optional<std::map<std::string, std::string>> parse_query(std::string_view text);

}  // namespace postrider
