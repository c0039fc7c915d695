#include "ops/dead_letter_filter.h"

#include "engine/core/registry.h"
#include "engine/core/time.h"
#include "ops/output.h"

namespace postrider::ops {
namespace {

std::optional<DeadLetterState> state_of(const std::string& word) {
  for (const auto state : {DeadLetterState::open, DeadLetterState::replayed, DeadLetterState::resolved})
    if (name_of(state) == word) return state;
  return std::nullopt;
}

}  // namespace

std::string all_reasons() {
  std::string all;
  for (int i = 0; i <= static_cast<int>(DeadReason::crashed_decoder); ++i)
    all += (i ? ", " : "") + std::string(reason_of(static_cast<DeadReason>(i)));
  return all;
}

Result<std::int64_t> parse_moment(const std::string& text, const char* option, std::int64_t now_ms) {
  if (text.empty()) return 0;
  if (const auto time = parse_rfc3339(text)) return *time;
  if (const auto span = parse_duration(text)) return now_ms - span->count();
  return wrong_use(std::string(option) + " is no time",
                   "write 2026-01-31T12:00:00Z, or how long ago: 90m, 2h, 3d");
}

Result<DeadLetterFilter> filter_of(const CommandLine& line, std::int64_t now_ms) {
  DeadLetterFilter filter;
  for (const auto* id : {&line.tenant, &line.endpoint})
    if (!id->empty() && !is_tenant_or_endpoint_id(*id))
      return wrong_use("--tenant or --endpoint is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  filter.tenant = TenantId(line.tenant);
  filter.endpoint = EndpointId(line.endpoint);
  if (!line.type.empty() && !is_type_pattern(line.type))
    return wrong_use("--type is no type or pattern", "write order.created, order.* or *");
  filter.type = line.type;
  if (!line.reason.empty()) {
    filter.reason = parse_dead_reason(line.reason);
    if (!filter.reason)
      return wrong_use("there is no such reason: " + line.reason, "there are: " + all_reasons());
  }
  if (!line.state.empty()) filter.state = state_of(line.state);
  const auto since = parse_moment(line.since, "--since", now_ms),
             until = parse_moment(line.until, "--until", now_ms);
  if (!since) return fail(since.error());
  if (!until) return fail(until.error());
  filter.since = *since;
  filter.until = *until;
  for (const auto& id : line.ids) {
    if (!partition_of(id))
      return wrong_use("this is no delivery id: " + id, "write dlv_…, as `dead-letters list` has it");
    filter.ids.emplace_back(id);
  }
  return filter;
}

}  // namespace postrider::ops
