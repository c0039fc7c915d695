#pragma once
#include <cstdint>
#include <string>

#include "engine/core/address_policy.h"
#include "engine/core/circuit_breaker.h"
#include "engine/core/ids.h"
#include "engine/core/time.h"
#include "engine/flow/log_time.h"
#include "engine/ports/clock.h"
#include "engine/ports/decode_mark.h"
#include "engine/ports/keys.h"
#include "engine/ports/log.h"
#include "engine/ports/observer.h"
#include "engine/ports/random.h"
#include "engine/ports/resolver.h"
#include "engine/ports/schemas.h"
#include "engine/ports/store.h"
#include "engine/ports/transport.h"

// What every part of a shard may touch: its ports, its limits, and the log's time.
namespace postrider::flow {

struct Ports {
  Log& log;
  Transport& transport;
  Resolver& resolver;
  Store& store;
  const Clock& clock;
  Random& random;
  Keys& keys;
  Observer& observer;
  DecodeMark* decode_mark = nullptr;  // nullptr: none is kept
  SchemaCompiler* schemas = nullptr;  // nullptr: none can be declared
};

struct ShardConfig {
  Environment environment;
  std::string instance;  // random, for life of the data directory
  bool tenant_from_key = false;
  bool retry_client_errors = false;
  Millis attempt_timeout{15000};
  Millis lifetime = kLifetimeMax;
  Millis repeat_window = std::chrono::hours(24);  // 0: off
  Millis history_ttl = std::chrono::hours(24 * 30);
  std::size_t bytes_max = 256u << 20;  // fetched, queued and in flight
  // One endpoint's queue takes no more once it holds that much; an event counts in each endpoint's.
  std::size_t endpoint_queue_bytes = 32u << 20;
  std::size_t window_max = 24000;     // unsettled offsets of one partition
  std::size_t in_flight_max = 4096;   // attempts at once: all of them on connections
  std::size_t due_loaded_max = 4000;  // parked deliveries in memory at once
  Millis drain{2000};
  Millis stale_view = std::chrono::hours(12);  // half of `parked`'s delete.retention.ms
  AddressPolicy addresses;
  std::uint32_t endpoints_per_host = 0;  // of one tenant; 0: any number
  std::uint32_t endpoints_per_tenant = 0;
  bool challenge_tenants = false;  // endpoints that tenants declare must prove themselves
  Millis rotate_keys_after{0};     // of a tenant's key; 0: never
  std::size_t opened_max = 16384;  // endpoints whose secrets lie open; each is an HMAC key or two
  BreakerLimits breaker;
};

struct Context {
  Ports ports;
  ShardConfig config;
  LogTimeEstimate log_time;

  SteadyTime steady() const { return ports.clock.steady(); }
  LogTime log_now() const { return log_time.at(ports.clock.steady()); }
  // What a delay counts from (log_time.h).
  LogTime log_latest() const { return log_time.latest_at(ports.clock.steady()); }
};

}  // namespace postrider::flow
