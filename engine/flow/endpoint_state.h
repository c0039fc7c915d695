#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/address_policy.h"
#include "engine/core/circuit_breaker.h"
#include "engine/core/concurrency_limit.h"
#include "engine/core/endpoint.h"
#include "engine/core/health.h"
#include "engine/core/outcome.h"
#include "engine/core/rate_limiter.h"
#include "engine/core/url.h"
#include "engine/core/window_pace.h"
#include "engine/flow/fair_round.h"
#include "engine/flow/settle.h"
#include "engine/ports/keys.h"
#include "engine/ports/transport.h"

namespace postrider::flow {

// What a shard keeps of one endpoint incarnation while it has to do with it: queue, breaker, limits, signer,
// addresses. Plain state without locks; Dispatch moves it.
struct EndpointState {
  TenantId tenant;
  Target target;
  const Endpoint* declared = nullptr;  // the registry's, which never forgets one; null: not looked up yet

  struct Queued {
    std::uint64_t serial = 0;  // the ones that are gone are skipped
    std::size_t bytes = 0;     // of its event in memory, as it was queued
  };
  std::deque<Queued> queue;
  std::size_t queued_bytes = 0;  // of them all, the ones that are gone too
  std::uint32_t in_flight = 0;
  ConcurrencyLimit concurrency;
  WindowPace pace;
  // Its newest attempt had no answer in time, or the log says that it was failing when this process began.
  bool silent = false;
  bool listed = false;  // waits in Dispatch: for its turn, for a time, or for a flight of the silent ones
  TenantTurn* tenant_turn = nullptr;  // Dispatch's; never null in its states
  EndpointState* next_in_turn = nullptr;
  // Attempts that came back, smoothed: an endpoint that empties its queue within a second is waited for.
  double done_per_second = 0;
  std::uint32_t done_since = 0;
  SteadyTime counted_at{};
  SteadyTime answered_at{};  // the newest attempt that came back
  CircuitBreaker breaker;
  bool breaker_was_open = false;
  std::string last_failure;  // "HTTP 503", "timeout"; of the newest attempt that failed
  RateLimiter limiter;
  std::map<Partition, EndpointHealth> health;
  std::uint64_t held = 0;  // parked while stopped, of our partitions
  bool draining_held = false;
  // A stop that we saw ourselves and that the registry may not have told back yet; void after an enable.
  Stop local_stop = Stop::none;
  std::uint64_t enable_revision = 0;
  LogTime resumed_at{};  // when its tenant's suspension was last lifted, as far as it was adopted

  // Prepared from the registry; anew when the endpoint's version there changes.
  std::uint64_t version = 0;
  Url url;
  std::shared_ptr<const Sender> sender;
  std::unique_ptr<Signer> signer;
  std::optional<LogTime> signer_until;  // an expiring secret among them
  SteadyTime opened_until{};            // secrets and query; then they are opened anew
  std::uint64_t opening = 0;            // Dispatch's number of the last time
  Scheme scheme = Scheme::standard_webhooks;
  BodyFormat format = BodyFormat::binary;
  RetryPolicy retry;
  EndpointLimits limits;
  bool prepared = false;

  // Vetted addresses of url.host.
  std::vector<IpAddress> addresses;
  std::shared_ptr<const Destination> destination;  // of url and addresses; null: they changed
  SteadyTime resolved_until{};
  bool resolving = false;
  std::optional<AttemptError> no_address;  // dns or denied, until resolved_until
};

}  // namespace postrider::flow
