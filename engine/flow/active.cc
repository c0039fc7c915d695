#include "engine/flow/active.h"

namespace postrider::flow {
namespace {

// 16 bits of partition above 48 of offset: 2.8e14 records a partition.
std::uint64_t pack(Position position) {
  return (static_cast<std::uint64_t>(position.partition) << 48) | static_cast<std::uint64_t>(position.offset);
}

}  // namespace

ActiveDelivery& ActiveTable::add(std::unique_ptr<ActiveDelivery> delivery) {
  ActiveDelivery& added = *delivery;
  by_id_.erase(&added);  // the newer one counts
  by_id_.insert(&added);
  added.event->deliveries.push_back(added.serial);
  Held& held = events_[pack(added.event->position)];
  if (held.deliveries++ == 0) {
    held.event = added.event;
    bytes_ += added.event->bytes;
  }
  deliveries_.emplace(added.serial, std::move(delivery));
  return added;
}

ActiveDelivery* ActiveTable::find(std::uint64_t serial) {
  auto at = deliveries_.find(serial);
  return at == deliveries_.end() ? nullptr : at->second.get();
}

ActiveDelivery* ActiveTable::find(const DeliveryId& id) {
  auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : *at;
}

void ActiveTable::remove(std::uint64_t serial) {
  auto at = deliveries_.find(serial);
  if (at == deliveries_.end()) return;
  if (auto known = by_id_.find(at->second.get()); known != by_id_.end() && *known == at->second.get()) {
    by_id_.erase(known);
  }
  auto held = events_.find(pack(at->second->event->position));
  if (held != events_.end() && --held->second.deliveries == 0) {
    bytes_ -= at->second->event->bytes;
    events_.erase(held);
  }
  deliveries_.erase(at);
}

std::shared_ptr<ActiveEvent> ActiveTable::event_at(Position position) {
  auto at = events_.find(pack(position));
  return at == events_.end() ? nullptr : at->second.event.lock();
}

std::vector<std::uint64_t> ActiveTable::of_partition(Partition partition) const {
  std::vector<std::uint64_t> serials;
  for (const auto& [serial, delivery] : deliveries_) {
    if (delivery->ref.position.partition == partition) serials.push_back(serial);
  }
  return serials;
}

}  // namespace postrider::flow
