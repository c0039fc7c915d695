#pragma once
#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <memory>

#include "engine/core/endpoint.h"
#include "engine/flow/active.h"
#include "engine/flow/context.h"
#include "engine/flow/endpoint_state.h"

namespace postrider::flow {

// What it takes before a request may go to an endpoint: its URL and secrets are opened, its name is looked up
// and each answer vetted; and the request itself, signed. Keeps what it opened for few endpoints and not for
// long. Owned by Dispatch, its thread; states live as long.
class RequestMaker {
 public:
  explicit RequestMaker(Context& context) : context_(context) {}

  // `soon`: a key is asked for just now; `no`: nothing can be signed for it at present.
  enum class Prepared { yes, soon, no };
  Prepared prepare(EndpointState& state, const Endpoint& endpoint, SteadyTime now);
  // Signers of whom `opened_max` others were opened since, or whose key is no longer kept.
  void forget_opened(SteadyTime now);

  // Of one that is prepared. `pending`: on_resolved() will tell; `none`: `state.no_address` says why.
  enum class Addresses { ready, pending, none };
  Addresses addresses(EndpointState& state, SteadyTime now);
  // Whose lookup it was; nullptr: none of ours.
  EndpointState* on_resolved(std::uint64_t token, const Result<Resolved>& resolved);

  // Made once an event and format.
  const std::shared_ptr<const ActiveEvent::Body>& body(ActiveEvent& event, BodyFormat format) const;
  // Of one that is prepared and has addresses. `seconds`: the wall clock's, which is signed.
  HttpRequest request_of(EndpointState& state, const WebhookId& webhook, std::int64_t seconds,
                         const ActiveEvent::Body& out);

 private:
  Prepared open(EndpointState& state, const Endpoint& endpoint);
  void keep_opened(EndpointState& state);

  Context& context_;
  absl::flat_hash_map<std::uint64_t, EndpointState*> lookups_;
  std::uint64_t last_token_ = 0;
  struct Opened {
    EndpointState* state;
    std::uint64_t opening;
    SteadyTime until;
  };
  std::deque<Opened> opened_;  // in the order of opening
  std::uint64_t openings_ = 0;
};

}  // namespace postrider::flow
