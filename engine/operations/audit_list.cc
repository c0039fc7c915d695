#include "engine/operations/audit_list.h"

#include "engine/wire/codec.h"

namespace postrider {

bool AuditFilter::matches(const AuditFact& fact) const {
  return (tenant.empty() || tenant == fact.tenant) && (actor.empty() || actor == fact.actor) &&
         (action.empty() || action == fact.action);
}

Result<AuditPage> list_audit(Desk& desk, const AuditFilter& filter, const LogPlace& from, std::size_t limit,
                             const Patience& patience) {
  NewestFirst<AuditFact> walk(desk,
                              {.since = filter.since,
                               .until = filter.until,
                               .partition = {},
                               .records_max = kAuditRecordsMax,
                               .patience = patience},
                              [&](const Record& record) -> std::optional<AuditFact> {
                                auto fact = wire::decode_audit(desk.environment, record.value.value_or(""));
                                if (!fact || !filter.matches(*fact)) return std::nullopt;
                                return *std::move(fact);
                              });
  if (auto done = walk.begin({Topic::audit}, from); !done) return fail(done.error());
  AuditPage page;
  while (page.facts.size() < limit) {
    auto found = walk.next();
    if (!found) return fail(found.error());
    if (!*found) break;
    page.facts.push_back(std::move((*found)->item));
  }
  if (walk.more()) page.next = walk.place();
  return page;
}

}  // namespace postrider
