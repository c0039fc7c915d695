#pragma once
#include <cstddef>
#include <cstdint>

namespace postrider::flow {

struct EndpointState;

// Endpoints of one tenant that have something to send, in turn. Owned by Dispatch, for good.
struct TenantTurn {
  EndpointState* first = nullptr;
  EndpointState* last = nullptr;
  TenantTurn* next = nullptr;
  std::int64_t credit =
      0;  // what it may spend before the next tenant has its turn; below 0: spent in advance
  bool listed = false;
  std::size_t queued = 0;  // deliveries of its endpoints that wait in memory
  std::size_t flying = 0;  // endpoints of it with an attempt under way
};

// Whose turn it is to send: tenant after tenant, and within one endpoint after endpoint, so that ten thousand
// endpoints of one tenant get together what the only one of another gets. Deficit round robin (Shreedhar and
// Varghese, 1995): a tenant spends up to kQuantum a turn, and what it spent beyond, because its last body was
// large, its next turns lack. Constant time, no allocation; the links stand in the states.
class FairRound {
 public:
  static constexpr std::int64_t kQuantum = 4;  // small attempts
  // What it costs to sign and to send a body, in small attempts.
  static constexpr std::int64_t cost_of(std::size_t body_bytes) {
    return 1 + static_cast<std::int64_t>(body_bytes / (16 * 1024));
  }

  // Behind its tenant's others. It must not stand in the round, and know its tenant's turn.
  void add(EndpointState& endpoint);
  bool empty() const { return first_ == nullptr; }
  // The next endpoint, no longer in the round, and how much it may spend. Its turn ends before another's
  // begins.
  struct Turn {
    EndpointState& endpoint;
    std::int64_t credit;
  };
  Turn begin();
  // `again`: it has more to send.
  void end(const Turn& turn, std::int64_t spent, bool again);

 private:
  void append(TenantTurn& tenant);
  void pop();

  TenantTurn* first_ = nullptr;  // a ring by its ends
  TenantTurn* last_ = nullptr;
};

}  // namespace postrider::flow
