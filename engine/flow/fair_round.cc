#include "engine/flow/fair_round.h"

#include <algorithm>
#include <utility>

#include "engine/flow/endpoint_state.h"

namespace postrider::flow {

void FairRound::append(TenantTurn& tenant) {
  tenant.next = nullptr;
  (last_ != nullptr ? last_->next : first_) = &tenant;
  last_ = &tenant;
  tenant.listed = true;
}

void FairRound::pop() {
  first_->listed = false;
  first_ = std::exchange(first_->next, nullptr);
  if (first_ == nullptr) last_ = nullptr;
}

void FairRound::add(EndpointState& endpoint) {
  TenantTurn& tenant = *endpoint.tenant_turn;
  endpoint.next_in_turn = nullptr;
  (tenant.last != nullptr ? tenant.last->next_in_turn : tenant.first) = &endpoint;
  tenant.last = &endpoint;
  if (!tenant.listed) append(tenant);
}

FairRound::Turn FairRound::begin() {
  while (first_->credit <= 0) {
    first_->credit += kQuantum;
    if (first_->credit > 0) break;
    TenantTurn& in_debt = *first_;
    pop();
    append(in_debt);
  }
  TenantTurn& tenant = *first_;
  EndpointState& endpoint = *tenant.first;
  tenant.first = std::exchange(endpoint.next_in_turn, nullptr);
  if (tenant.first == nullptr) tenant.last = nullptr;
  return {endpoint, tenant.credit};
}

void FairRound::end(const Turn& turn, std::int64_t spent, bool again) {
  TenantTurn& tenant = *turn.endpoint.tenant_turn;
  tenant.credit -= spent;
  if (again) add(turn.endpoint);
  const bool waits = tenant.first != nullptr;
  if (waits && tenant.credit > 0) return;
  if (!waits) tenant.credit = std::min<std::int64_t>(tenant.credit, 0);  // nobody saves up
  pop();
  if (waits) append(tenant);
}

}  // namespace postrider::flow
