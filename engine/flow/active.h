#pragma once
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/hash/hash.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/event.h"
#include "engine/core/fact.h"
#include "engine/core/header_lines.h"
#include "engine/core/outcome.h"
#include "engine/core/slab.h"

namespace postrider::flow {

struct EndpointState;

// An event held in memory because one of its deliveries is at work.
struct ActiveEvent {
  Position position;
  std::uint64_t generation = 0;  // of the partition's assignment
  LogTime appended{};
  Event event;
  WebhookId webhook_id;
  std::uint32_t fan_out = 0;
  Offset registry_version = 0;  // that it was routed under
  // Counted deliveries whose end or parking is not on the log yet: at 0 the offset settles.
  std::uint32_t unrecorded = 0;
  std::optional<Hash128> first_key;       // its place in the index of first positions, once it has settled
  bool claimed = false;                   // its claim check stands in the view
  bool has_payload = true;                // false: nowhere to be found any more
  std::size_t bytes = 0;                  // charged to the byte budget
  std::vector<std::uint64_t> deliveries;  // serials; the ended ones are skipped
  std::uint32_t active = 0;               // deliveries in the ActiveTable
  // What goes out, made once for all endpoints of a format. Shared with the transport while it sends.
  struct Body {
    std::shared_ptr<const HeaderLines> headers;
    std::shared_ptr<const std::string> bytes;
    std::string digest;  // first 16 bytes of SHA-256
  };
  std::shared_ptr<const Body> binary, structured;
};

// A delivery held in memory: queued, sending or being recorded.
struct ActiveDelivery {
  std::uint64_t serial = 0;      // ActiveTable's
  std::uint64_t generation = 0;  // of the partition's assignment
  // Shared with the event's other deliveries; the last one drops the body.
  std::shared_ptr<ActiveEvent> event;
  EndpointState* endpoint = nullptr;  // Dispatch's: tenant, target, queue
  DeliveryId id;
  std::uint32_t attempts = 0;  // charged so far
  bool parked = false;         // a state stands on `parked`: its end writes a tombstone
  // Counted in event->unrecorded: made when the event was read. One that comes back from parking is not,
  // though it may share the event with siblings that are.
  bool counted = false;
  // Offsets of foreign records of `parked` seen meanwhile: our last word must lie above them, and until it
  // does the view's position stays below.
  std::vector<Offset> foreign_at;
  std::optional<std::int64_t> due_row;  // the due row it was loaded from or parked under
  enum class Stage { queued, sending, recording } stage = Stage::queued;
  SteadyTime queued_at{};
  std::int32_t last_status = 0;
  AttemptError last_error = AttemptError::none;

  Partition partition() const { return event->position.partition; }
  DeliveryRef ref() const;
  void write_ref(DeliveryRef& into) const;  // into memory that is used again
};

// Deliveries by serial: whoever holds only a serial (a queue, an answer under way) finds out here whether the
// delivery is still ours.
class ActiveTable {
 public:
  ActiveDelivery& add(std::shared_ptr<ActiveEvent> event, EndpointState& endpoint, DeliveryId id);
  // One that comes back from parking.
  ActiveDelivery& add_parked(std::shared_ptr<ActiveEvent> event, EndpointState& endpoint, DeliveryId id);
  ActiveDelivery* find(std::uint64_t serial);
  bool has_parked(const DeliveryId& id) const { return by_id_.contains(id); }
  ActiveDelivery* find(const DeliveryId& id);  // looks at each that did not come from parking: for rare cases
  void remove(std::uint64_t serial);
  std::size_t size() const { return deliveries_.size(); }

  // The event under that position, while a delivery of it is active.
  std::shared_ptr<ActiveEvent> event_at(Position position);
  std::size_t bytes() const { return bytes_; }

  // Serials of one partition's deliveries.
  std::vector<std::uint64_t> of_partition(Partition partition) const;

 private:
  std::size_t bytes_ = 0;
  Slab<ActiveDelivery> deliveries_;
  // Those that came back from parking, by the id that stands in them. The others are many, and nobody asks.
  struct IdOf {
    using is_transparent = void;
    static const DeliveryId& of(const DeliveryId& id) { return id; }
    static const DeliveryId& of(const ActiveDelivery* delivery) { return delivery->id; }
    template <typename One>
    std::size_t operator()(const One& one) const {
      return absl::HashOf(of(one));
    }
    template <typename One, typename Other>
    bool operator()(const One& one, const Other& other) const {
      return of(one) == of(other);
    }
  };
  absl::flat_hash_set<ActiveDelivery*, IdOf, IdOf> by_id_;
  absl::flat_hash_map<std::uint64_t, std::weak_ptr<ActiveEvent>> events_;  // by position, packed
};

}  // namespace postrider::flow
