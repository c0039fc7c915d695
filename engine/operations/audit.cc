#include "engine/operations/audit.h"

#include "engine/wire/codec.h"

namespace postrider {

AuditFact audit_of(const Actor& actor, std::string action, std::string resource) {
  AuditFact fact;
  fact.actor = actor.name;
  fact.token_id = actor.token_id;
  fact.correlation_id = actor.correlation_id;
  fact.action = std::move(action);
  fact.resource = std::move(resource);
  return fact;
}

Result<void> append_audit(Desk& desk, AuditFact fact) {
  fact.environment = desk.environment.str();
  if (fact.at == 0) fact.at = desk.now_ms();
  NewRecord record;
  record.topic = Topic::audit;
  record.key = fact.tenant.str();
  record.value = wire::encode(desk.environment, fact);
  auto appended = desk.log.append(std::move(record));
  if (!appended) return fail(appended.error());
  if (appended->status != Appended::Status::acknowledged) return fail(appended->error);
  return {};
}

}  // namespace postrider
