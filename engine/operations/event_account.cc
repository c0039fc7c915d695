#include "engine/operations/event_account.h"

#include <algorithm>
#include <utility>

namespace postrider {
namespace {

using Kind = FactRow::Kind;

void fold(DeliveryAccount& delivery, const FactRow& row) {
  delivery.registry_version = std::max(delivery.registry_version, row.registry_version);
  switch (row.kind) {
    case Kind::delivered:
      delivery.delivered = true;
      break;
    case Kind::cancelled:
      delivery.cancelled = true;
      break;
    case Kind::dead_letter:
      delivery.dead = true;
      break;
    case Kind::parked:
      delivery.parked = true;
      break;
    case Kind::gave_up:
      delivery.gave_up_at = std::max(delivery.gave_up_at, row.at);
      break;
    default:
      break;
  }
}

}  // namespace

void EventAccount::clear() {
  auto kept = std::move(deliveries);
  auto kept_routings = std::move(routings);
  kept.clear();
  kept_routings.clear();
  *this = {};
  deliveries = std::move(kept);
  routings = std::move(kept_routings);
}

void EventAccount::apply(const FactRow& row) {
  if (row.registry_version > 0) {
    auto at = routings.begin();
    while (at != routings.end() && at->registry_version < row.registry_version) ++at;
    if (at == routings.end() || at->registry_version != row.registry_version)
      at = routings.insert(at, Routing{row.registry_version, row.epoch, 0});
    at->epoch = std::min(at->epoch, row.epoch);
    at->fan_out = std::max(at->fan_out, row.fan_out);
  }
  switch (row.kind) {
    case Kind::no_match:
      no_match = true;
      return;
    case Kind::repeat:
      repeat = true;
      first = row.at;
      return;
    case Kind::set_aside:
      set_aside = true;
      aside_at = row.at;
      return;
    case Kind::bad_letter:
      bad_letter = true;
      return;
    default:
      break;
  }
  if (deliveries.empty() || deliveries.back().delivery != row.delivery)
    deliveries.push_back({.delivery = row.delivery});
  fold(deliveries.back(), row);
}

EventAccount::Routing EventAccount::last_routing() const {
  Routing last;
  for (const Routing& routing : routings)
    if (routing.epoch >= last.epoch) last = routing;
  return last;
}

bool EventAccount::knows(const Hash128& delivery) const {
  return std::binary_search(deliveries.begin(), deliveries.end(), DeliveryAccount{.delivery = delivery},
                            [](const auto& a, const auto& b) { return a.delivery < b.delivery; });
}

std::string_view sentence_of(Gap gap) {
  switch (gap) {
    case Gap::no_fact:
      return "no fact speaks of it";
    case Gap::fewer_than_fan_out:
      return "facts speak of fewer deliveries than it was routed to";
    case Gap::matched_after_all:
      return "a fact says that nothing matched, yet this endpoint did";
    case Gap::no_dead_letter:
      return "its last attempt gave it up, and no dead letter holds it";
    case Gap::not_parked:
      return "its last attempt failed, and it is parked no more";
    case Gap::aside_without_letter:
      return "it was set aside, and no dead letter holds it";
    case Gap::repeat_of_later:
      return "it is called a repeat of itself or of a later event";
    case Gap::repeat_of_another:
      break;
  }
  return "it is called a repeat of an event that is another one";
}

}  // namespace postrider
