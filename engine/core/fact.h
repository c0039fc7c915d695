#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/decide.h"
#include "engine/core/endpoint.h"
#include "engine/core/ids.h"
#include "engine/core/outcome.h"
#include "engine/core/time.h"

// Stored changes: what stands on the log beside `events` and the registry. Plain values; engine/wire turns
// them into bytes. `unknown` keeps the protobuf fields of a newer version, so that writing a value again
// loses none.
namespace postrider {

// Which assignment wrote it. Readers drop only records equal in delivery id, epoch and sequence.
struct Stamp {
  Offset epoch = 0;            // offset of the owner mark in `parked`
  std::uint64_t sequence = 0;  // rising within an epoch and partition
  auto operator<=>(const Stamp&) const = default;
};

// Who a delivery is: repeated in every fact of it, so that each can be read alone.
struct DeliveryRef {
  DeliveryId id;
  WebhookId webhook_id;
  std::string event_id;
  std::string event_type;
  TenantId tenant;
  Target target;
  Position position;
  ReplayJobId replay_job;
  bool operator==(const DeliveryRef&) const = default;
};

struct AttemptFact {
  Stamp stamp;
  DeliveryRef delivery;
  std::uint32_t number = 1;    // what the policy was charged, this one included
  std::int64_t signed_at = 0;  // unix seconds, wall: the timestamp that was signed
  std::int64_t at = 0;         // unix ms of log time
  std::int32_t status = 0;
  AttemptError error = AttemptError::none;
  Verdict::Kind verdict = Verdict::Kind::success;
  std::int64_t next_at = 0;  // retry: due, unix ms of log time
  Phases phases;
  std::string url;  // without query
  std::string receiver_request_id;
  std::string sealed_snippet;
  std::vector<std::string> secret_ids;  // that signed
  std::string body_digest;              // SHA-256, first 16 bytes
  Offset registry_version = 0;          // offset of `endpoints` that its event was routed under
  std::uint32_t fan_out = 1;            // deliveries of this event: tells a reader when it has seen all
  std::string unknown;
  bool operator==(const AttemptFact&) const = default;
};

// Closed list; spelling stored.
enum class CancelReason { endpoint_deleted, target_gone, tenant_erased, by_operator };
std::string_view reason_of(CancelReason reason);
std::optional<CancelReason> parse_cancel_reason(std::string_view text);

struct CancelledFact {
  Stamp stamp;
  DeliveryRef delivery;
  CancelReason reason = CancelReason::endpoint_deleted;
  std::int64_t at = 0;
  Offset registry_version = 0;  // as an attempt's
  std::uint32_t fan_out = 1;
  std::string unknown;
  bool operator==(const CancelledFact&) const = default;
};

// Events that owe nothing under that version, or nothing more (read again after a crash): offsets of one
// partition, first and last of each run.
struct NoMatchFact {
  Stamp stamp;
  Partition partition = 0;
  std::vector<std::pair<Offset, Offset>> offsets;
  Offset registry_version = 0;
  std::string unknown;
  bool operator==(const NoMatchFact&) const = default;
};

struct RepeatFact {
  Stamp stamp;
  Partition partition = 0;
  struct Repeat {
    Offset offset = 0;
    Offset first = 0;  // the position it repeats
    WebhookId webhook_id;
    bool operator==(const Repeat&) const = default;
  };
  std::vector<Repeat> repeats;
  std::string unknown;
  bool operator==(const RepeatFact&) const = default;
};

struct SetAsideFact {  // a bad event; its dead letter holds the bytes
  Stamp stamp;
  Position position;
  DeadReason reason = DeadReason::undecodable;
  std::int64_t at = 0;
  std::string unknown;
  bool operator==(const SetAsideFact&) const = default;
};

struct SourceLostFact {  // offsets that `events` no longer holds
  Stamp stamp;
  Partition partition = 0;
  Offset first = 0, last = 0;
  std::string unknown;
  bool operator==(const SourceLostFact&) const = default;
};

// The value of a `parked` record: enough to make the next attempt with nothing but `events` and the registry.
struct ParkedState {
  Stamp stamp;
  DeliveryRef delivery;
  std::uint32_t attempts = 0;  // charged so far
  std::int64_t due = 0;        // unix ms of log time
  std::int64_t appended = 0;   // of the event, unix ms of log time: lifetime
  std::uint32_t fan_out = 1;
  std::int32_t last_status = 0;
  AttemptError last_error = AttemptError::none;
  Offset registry_version = 0;  // as an attempt's
  std::string unknown;
  bool operator==(const ParkedState&) const = default;
};

// The other value of `parked` (key `owner`): whoever owns the partition from this offset on.
struct OwnerMark {
  LogIdentity log;
  std::string instance;
  std::optional<Offset> committed;
  Offset events_end = 0;
  std::optional<Offset> begins_at;  // of who began without a committed offset: the first event that is owed
  // The newest event that was read: another one in its place, and the topic was made again.
  struct Read {
    Offset offset = 0;
    std::int64_t appended = 0;  // unix ms
    bool operator==(const Read&) const = default;
  };
  std::optional<Read> read;
  std::string unknown;
  bool operator==(const OwnerMark&) const = default;
};
inline constexpr std::string_view kOwnerKey = "owner";

struct DeadLetter {
  Stamp stamp;
  DeliveryRef delivery;  // bad events: delivery id is "dlv_…" of the position with no incarnation
  DeadReason reason = DeadReason::attempts_exhausted;
  std::uint32_t attempts = 0;
  std::int32_t last_status = 0;
  AttemptError last_error = AttemptError::none;
  std::int64_t dead_at = 0;  // unix ms of log time
  std::int64_t appended = 0;
  std::string sealed_payload;  // the event (protobuf format), or the raw record of a bad one; sealed
  std::uint64_t payload_bytes = 0;
  std::string payload_digest;  // SHA-256
  std::string detail;          // schema_violation: where and how, without any value
  // The CloudEvent's source: with tenant and id it makes the webhook-id, which a replay keeps, so that a
  // replay straight from the log need not open the payload. Empty: a bad event, or one written before the
  // field was.
  std::string event_source;
  Offset registry_version = 0;  // as an attempt's; of a bad event, which was not routed: 0
  std::uint32_t fan_out = 1;
  std::string unknown;
  bool operator==(const DeadLetter&) const = default;
};

enum class DeadLetterState { open, replayed, resolved };
std::string_view name_of(DeadLetterState state);

// Written beside dead letters: what became of one.
struct DeadLetterMark {
  DeliveryId delivery;
  TenantId tenant;
  DeadLetterState state = DeadLetterState::resolved;
  std::string actor;
  std::string why;
  ReplayJobId job;      // replayed: by which
  std::int64_t at = 0;  // unix ms
  std::string unknown;
  bool operator==(const DeadLetterMark&) const = default;
};

// What became of a request under an Idempotency-Key: a record of `requests` (core/request_ledger.h).
struct RequestFact {
  enum class Step {
    begun,     // somebody runs it; told again while it is under way
    answered,  // it is done: repeats get that answer
    released,  // nothing came of it, or nobody knows what: it may be run again
  };
  std::string key;  // 16 bytes: a hash of whose token, which route and which Idempotency-Key
  std::string run;  // "run_…"
  Step step = Step::begun;
  std::string token_id;
  std::string fingerprint;  // 16 bytes: a hash of what was asked
  std::string origin;       // the first run whose end nobody knows; else this one
  TenantId tenant;          // answered: whose key seals it; empty: the environment's own
  std::string sealed_answer;
  std::string unknown;
  bool operator==(const RequestFact&) const = default;
};

// An answer of the API as it is kept for a repeat.
struct StoredAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool operator==(const StoredAnswer&) const = default;
};

struct AuditFact {
  std::string actor, token_id, action, resource, scope, environment;
  TenantId tenant;
  std::string event_type, subject_id, correlation_id, source, target, outcome, error;
  std::int64_t at = 0;  // unix ms
  std::string unknown;
  bool operator==(const AuditFact&) const = default;
};

// A tenant's key, wrapped by the key service: a record of `keys`, keyed tenant/key id.
struct WrappedKeyFact {
  TenantId tenant;      // empty: the environment's own
  std::string key_id;   // "key_…"
  std::string service;  // which key service and key wrapped it, e.g. "file:1f3a…"
  std::string wrapped;
  bool destroyed = false;
  std::int64_t created_at = 0;
  std::uint32_t generation = 0;  // 0: the tenant's first; a rotation's is one above what it found
  std::string unknown;
  bool operator==(const WrappedKeyFact&) const = default;
};
// Its record's key: "<tenant>/<key id>"; "~environment" stands for no tenant.
std::string key_record_key(const WrappedKeyFact& fact);

}  // namespace postrider
