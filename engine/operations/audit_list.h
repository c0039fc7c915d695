#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/fact.h"
#include "engine/operations/newest_first.h"

// Who did what, as `audit` has it.
namespace postrider {

struct AuditFilter {
  TenantId tenant;    // empty: any; so are all below
  std::string actor;  // as the fact names it
  std::string action;
  std::int64_t since = 0, until = 0;  // append times, unix ms, [since, until); 0: unbounded

  bool matches(const AuditFact& fact) const;
};

struct AuditPage {
  std::vector<AuditFact> facts;  // newest first
  std::optional<LogPlace> next;  // nullopt: that was all
};
inline constexpr std::size_t kAuditListed = 100, kAuditListedMax = 1000;
inline constexpr std::uint64_t kAuditRecordsMax = 50'000;  // looked at for a page

// A page may hold fewer than `limit`, or none, and still name where to go on.
Result<AuditPage> list_audit(Desk& desk, const AuditFilter& filter, const LogPlace& from,
                             std::size_t limit = kAuditListed, const Patience& patience = {});

}  // namespace postrider
