#include "engine/api/cursor.h"
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/operations/audit.h"
#include "engine/operations/audit_list.h"

// Who did what: the list of audit facts, and the facts that the API's own commands leave.
namespace postrider {
namespace {

constexpr std::size_t kWordBytesMax = 512;

Json known(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json view_of(const AuditFact& fact) {
  return {{"at", time_or_null(fact.at)},
          {"actor", fact.actor},
          {"token_id", known(fact.token_id)},
          {"action", fact.action},
          {"resource", fact.resource},
          {"scope", known(fact.scope)},
          {"tenant", known(fact.tenant.str())},
          {"event_type", known(fact.event_type)},
          {"subject_id", known(fact.subject_id)},
          {"correlation_id", known(fact.correlation_id)},
          {"source", known(fact.source)},
          {"target", known(fact.target)},
          {"outcome", known(fact.outcome)},
          {"error", known(fact.error)}};
}

Result<AuditFilter> audit_filter_of(const Call& call) {
  AuditFilter filter;
  if (call.query.contains("tenant") && !is_tenant_or_endpoint_id(call.parameter("tenant")))
    return fail(Errc::invalid, "INVALID_REQUEST", "tenant is no tenant id",
                "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  for (const auto* name : {"actor", "action"})
    if (call.query.contains(name) &&
        (call.parameter(name).empty() || call.parameter(name).size() > kWordBytesMax))
      return fail(Errc::invalid, "INVALID_REQUEST", std::string(name) + " is empty or too long",
                  "give it as the list shows it, or leave it out");
  filter.tenant = call.filter_as_seen(TenantId(call.parameter("tenant")));
  filter.actor = call.parameter("actor");
  filter.action = call.parameter("action");
  const auto since = call.time("since"), until = call.time("until");
  if (!since) return fail(since.error());
  if (!until) return fail(until.error());
  filter.since = *since;
  filter.until = *until;
  return filter;
}

}  // namespace

void Routes::list_audit(CallPtr call) {
  if (auto fine = call->only({"tenant", "actor", "action", "since", "until", "limit", "cursor"}); !fine)
    return call->refuse(fine.error());
  const auto filter = audit_filter_of(*call);
  if (!filter) return call->refuse(filter.error());
  const auto limit = call->limit(kAuditListed, kAuditListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto from = walk_from(*call);
  if (!from) return call->refuse(from.error());
  scan(call, [self = shared_from_this(), call, filter = *filter, from = *from, limit = *limit] {
    auto desk_copy = self->desk;
    const auto page = postrider::list_audit(desk_copy, filter, from, limit, self->scans.patience());
    if (!page) return call->refuse(page.error());
    Json facts = Json::array();
    for (const auto& fact : page->facts) facts.push_back(view_of(fact));
    Json next = nullptr;
    if (page->next) next = Cursor(*call).next(format_place(*page->next));
    call->answer(json_answer(200, {{"audit", std::move(facts)}, {"next_cursor", std::move(next)}}));
  });
}

void Routes::tell(const CallPtr& call, AuditFact fact, Untold untold, std::function<void()> then) {
  const auto why = [untold](const Error& error) {
    return Error{Errc::unavailable, "AUDIT_UNAVAILABLE",
                 "the log did not take the audit fact: " + error.message +
                     (untold == Untold::is_done ? "; the change itself is in force" : ""),
                 untold == Untold::is_done ? "look at it, then repeat the command" : "try again in a moment"};
  };
  const bool taken =
      teller.run([self = shared_from_this(), call, why, fact = std::move(fact), then = std::move(then)] {
        auto desk_copy = self->desk;
        if (auto told = append_audit(desk_copy, fact); !told) return call->refuse(why(told.error()));
        then();
      });
  if (!taken) call->refuse(why({Errc::overloaded, "OVERLOADED", "too many wait", "try again"}));
}

void Routes::tell_outcome(const CallPtr& call, AuditFact fact, const Error* refusal,
                          std::function<void()> then) {
  fact.outcome = refusal ? "refused" : "done";
  if (refusal) fact.error = refusal->code;
  if (!refusal) return tell(call, std::move(fact), Untold::is_done, std::move(then));
  // Nothing was done: the caller learns why, whether or not it can be told.
  const auto answered = [call, refusal = *refusal] { call->refuse(refusal); };
  const bool taken = teller.run([self = shared_from_this(), fact = std::move(fact), answered] {
    auto desk_copy = self->desk;
    (void)append_audit(desk_copy, fact);
    answered();
  });
  if (!taken) answered();
}

}  // namespace postrider
