#include "engine/core/fact.h"

namespace postrider {

std::string_view reason_of(CancelReason reason) {
  switch (reason) {
    case CancelReason::endpoint_deleted:
      return "endpoint_deleted";
    case CancelReason::target_gone:
      return "target_gone";
    case CancelReason::tenant_erased:
      return "tenant_erased";
    case CancelReason::by_operator:
      return "by_operator";
  }
  return "unknown";
}

std::optional<CancelReason> parse_cancel_reason(std::string_view text) {
  for (const auto reason : {CancelReason::endpoint_deleted, CancelReason::target_gone,
                            CancelReason::tenant_erased, CancelReason::by_operator}) {
    if (reason_of(reason) == text) return reason;
  }
  return std::nullopt;
}

std::string_view name_of(DeadLetterState state) {
  switch (state) {
    case DeadLetterState::open:
      return "open";
    case DeadLetterState::replayed:
      return "replayed";
    case DeadLetterState::resolved:
      return "resolved";
  }
  return "unknown";
}

std::string key_record_key(const WrappedKeyFact& fact) {
  return (fact.tenant.empty() ? std::string("~environment") : fact.tenant.str()) + "/" + fact.key_id;
}

}  // namespace postrider
