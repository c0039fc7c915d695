#include "engine/api/dead_letter_filter.h"

#include "engine/core/registry.h"

namespace postrider {
namespace {

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

}  // namespace

Result<DeadLetterFilter> dead_letter_filter(const DeadLetterWords& words) {
  DeadLetterFilter filter;
  for (const auto* id : {&words.tenant, &words.endpoint})
    if (!id->empty() && !is_tenant_or_endpoint_id(*id))
      return refuse("tenant or endpoint is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  filter.tenant = TenantId(words.tenant);
  filter.endpoint = EndpointId(words.endpoint);
  if (!words.type.empty() && !is_type_pattern(words.type))
    return refuse("type is no type or pattern", "write \"order.created\", \"order.*\" or \"*\"");
  filter.type = words.type;
  if (!words.reason.empty()) {
    filter.reason = parse_dead_reason(words.reason);
    if (!filter.reason)
      return refuse("there is no such reason", "see GET /v1/dead-letters/summary for reasons");
  }
  if (words.state == "open")
    filter.state = DeadLetterState::open;
  else if (words.state == "replayed")
    filter.state = DeadLetterState::replayed;
  else if (words.state == "resolved")
    filter.state = DeadLetterState::resolved;
  else if (!words.state.empty())
    return refuse("there is no such state", "write open, replayed or resolved");
  return filter;
}

}  // namespace postrider
