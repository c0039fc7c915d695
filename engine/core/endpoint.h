#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/event.h"
#include "engine/core/ids.h"
#include "engine/core/retry_policy.h"
#include "engine/core/time.h"

namespace postrider {

enum class Scheme { standard_webhooks, x_webhook };
enum class BodyFormat { binary, structured };

struct EndpointLimits {
  std::uint32_t concurrency = 16;  // attempts in flight at once, 1–1000
  std::uint32_t queue_max = 1000;  // deliveries waiting in memory; more are parked
  double rate_per_second = 0;      // 0: no limit
  bool operator==(const EndpointLimits&) const = default;
};

// Why an endpoint takes nothing for now. Events meanwhile are held as parked.
enum class Stop { none, disabled, quarantined, unverified };

// One customer's URL as declared: the `def` facet. A value.
struct EndpointDef {
  TenantId tenant;
  EndpointId id;
  Incarnation incarnation;
  std::uint64_t revision = 0;      // of this record, 1 at creation
  std::uint64_t replaces = 0;      // the revision this record replaced; 0 at creation
  std::string url;                 // without its query
  std::string sealed_query;        // sealed (DESIGN §11); empty: no query
  std::vector<std::string> types;  // "order.created", "order.*", "*"
  RetryPolicy retry;
  Scheme scheme = Scheme::standard_webhooks;
  BodyFormat format = BodyFormat::binary;
  EndpointLimits limits;
  // Ids of the secrets that are in force: so of two writers at once only the one whose record is applied has
  // changed them. Empty (of an older version): all that are known.
  std::vector<std::string> secret_ids;
  bool disabled = false;  // by an operator or the customer
  std::string disabled_why;
  std::string changed_by;             // actor
  std::int64_t changed_at = 0;        // unix ms, the writer's wall clock: for people
  std::uint64_t enable_revision = 0;  // revision of the last `enable`: older health facts are void
  bool deleted = false;
  // What its receiver must give back before anything is delivered (core/challenge.h), sealed. Empty: nothing.
  std::string sealed_challenge;
  std::int64_t challenged_at = 0;  // unix ms, the writer's wall clock: when that was made
  std::string proven_by;           // "challenge", "value", "platform"; empty: nobody asked
  std::string unknown;             // protobuf fields of a newer version, kept as they came
  bool operator==(const EndpointDef&) const = default;
};

enum class SecretState { active = 0, expiring = 1, revoked = 2 };  // only ever moves forward

// The `secret` facet: one signing secret of one incarnation, sealed.
struct EndpointSecret {
  TenantId tenant;
  EndpointId endpoint;
  Incarnation incarnation;
  std::string id;  // "sec_…"
  SecretState state = SecretState::active;
  std::int64_t created_at = 0;  // unix ms
  std::int64_t expires_at = 0;  // unix ms of log time; expiring: signs until then
  std::string sealed;           // sealed "whsec_…"; empty once revoked
  std::string digest;  // SHA-256 over incarnation and key bytes, hex: lets `apply` see that nothing changed
  std::string unknown;
  bool operator==(const EndpointSecret&) const = default;
};

}  // namespace postrider
