#pragma once
#include <string>

#include "engine/core/fact.h"
#include "engine/operations/desk.h"

namespace postrider {

// Appends one audit fact, `environment` and `at` filled in, and returns once the log has it.
Result<void> append_audit(Desk& desk, AuditFact fact);

// A fact about `action` by `actor`: the fields that every job fills alike.
AuditFact audit_of(const Actor& actor, std::string action, std::string resource);

}  // namespace postrider
