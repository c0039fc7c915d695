#include "engine/flow/active.h"

#include <utility>

#include "engine/flow/endpoint_state.h"

namespace postrider::flow {
namespace {

// 16 bits of partition above 48 of offset: 2.8e14 records a partition.
std::uint64_t pack(Position position) {
  return (static_cast<std::uint64_t>(position.partition) << 48) | static_cast<std::uint64_t>(position.offset);
}

}  // namespace

DeliveryRef ActiveDelivery::ref() const {
  DeliveryRef made;
  write_ref(made);
  return made;
}

void ActiveDelivery::write_ref(DeliveryRef& into) const {
  into.id = id;
  into.webhook_id = event->webhook_id;
  into.event_id = event->event.id;
  into.event_type = event->event.type;
  into.tenant = endpoint->tenant;
  into.target = endpoint->target;
  into.position = event->position;
  into.replay_job = event->event.replay_job;
}

ActiveDelivery& ActiveTable::add(std::shared_ptr<ActiveEvent> event, EndpointState& endpoint, DeliveryId id) {
  auto [serial, added] = deliveries_.add();
  added.serial = serial;
  added.generation = event->generation;
  added.endpoint = &endpoint;
  added.id = std::move(id);
  added.event = std::move(event);
  added.event->deliveries.push_back(serial);
  if (added.event->active++ == 0) {
    events_[pack(added.event->position)] = added.event;
    bytes_ += added.event->bytes;
  }
  return added;
}

ActiveDelivery& ActiveTable::add_parked(std::shared_ptr<ActiveEvent> event, EndpointState& endpoint,
                                        DeliveryId id) {
  ActiveDelivery& added = add(std::move(event), endpoint, std::move(id));
  added.parked = true;
  by_id_.erase(&added);  // the newer one counts
  by_id_.insert(&added);
  return added;
}

ActiveDelivery* ActiveTable::find(std::uint64_t serial) {
  return deliveries_.find(serial);
}

ActiveDelivery* ActiveTable::find(const DeliveryId& id) {
  if (auto at = by_id_.find(id); at != by_id_.end()) return *at;
  ActiveDelivery* found = nullptr;
  deliveries_.for_each([&](std::uint64_t, ActiveDelivery& delivery) {
    if (delivery.id == id) found = &delivery;
  });
  return found;
}

void ActiveTable::remove(std::uint64_t serial) {
  ActiveDelivery* const delivery = deliveries_.find(serial);
  if (delivery == nullptr) return;
  if (delivery->parked) {
    if (auto known = by_id_.find(delivery); known != by_id_.end() && *known == delivery) by_id_.erase(known);
  }
  if (--delivery->event->active == 0) {
    bytes_ -= delivery->event->bytes;
    auto held = events_.find(pack(delivery->event->position));
    if (held != events_.end() && held->second.lock() == delivery->event) events_.erase(held);
  }
  deliveries_.remove(serial);
}

std::shared_ptr<ActiveEvent> ActiveTable::event_at(Position position) {
  auto at = events_.find(pack(position));
  return at == events_.end() ? nullptr : at->second.lock();
}

std::vector<std::uint64_t> ActiveTable::of_partition(Partition partition) const {
  std::vector<std::uint64_t> serials;
  deliveries_.for_each([&](std::uint64_t serial, const ActiveDelivery& delivery) {
    if (delivery.partition() == partition) serials.push_back(serial);
  });
  return serials;
}

}  // namespace postrider::flow
