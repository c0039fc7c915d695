#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/core/bytes.h"

// The names things go by. Formats are stored and sent: they are pinned by tests/core/ids_test.cc.
namespace postrider {

// A string that is one kind of name and no other.
template <class Tag>
class Name {
 public:
  Name() = default;
  explicit Name(std::string text) : text_(std::move(text)) {}
  const std::string& str() const { return text_; }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Name&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Name& name) {
    return H::combine(std::move(h), name.text_);
  }

 private:
  std::string text_;
};

using TenantId = Name<struct TenantTag>;          // [A-Za-z0-9_-]{1,64}
using EndpointId = Name<struct EndpointTag>;      // [A-Za-z0-9_-]{1,64}
using Incarnation = Name<struct IncarnationTag>;  // random, at creation: "inc_" + 22 of base 62
using WebhookId = Name<struct WebhookTag>;        // "msg_" + 22 of base 62
using DeliveryId = Name<struct DeliveryTag>;      // "dlv_" + partition in base 36 + "_" + 22 of base 62
using ReplayJobId = Name<struct ReplayJobTag>;    // "rpl_" + 22 of base 62; empty: not a replay
using Environment = Name<struct EnvironmentTag>;  // [a-z][a-z0-9-]{0,31}
using LogIdentity = Name<struct LogIdentityTag>;  // "log_" + 22 of base 62

using Partition = std::int32_t;
using Offset = std::int64_t;

// Partition and offset in `events`.
struct Position {
  Partition partition = 0;
  Offset offset = 0;
  auto operator<=>(const Position&) const = default;
};

// An endpoint for life: its id may be used again after deletion, its incarnation never.
struct Target {
  EndpointId endpoint;
  Incarnation incarnation;
  auto operator<=>(const Target&) const = default;
};
// "endpoint:incarnation" and back.
std::string format_target(const Target& target);
std::optional<Target> parse_target(std::string_view text);

bool is_tenant_or_endpoint_id(std::string_view text);
bool is_environment_name(std::string_view text);

// The same for every endpoint, retry, repeat and replay of an event.
WebhookId webhook_id(const TenantId& tenant, std::string_view source, std::string_view event_id);

DeliveryId delivery_id(const LogIdentity& log, Position position, const WebhookId& webhook,
                       const Incarnation& incarnation, const ReplayJobId& job);
// What a delivery id says, beside its partition. delivery_id() = delivery_id_of(partition, delivery_hash()).
Hash128 delivery_hash(const LogIdentity& log, Position position, const WebhookId& webhook,
                      const Incarnation& incarnation, const ReplayJobId& job);
DeliveryId delivery_id_of(Partition partition, const Hash128& hash);
std::optional<Hash128> hash_of(std::string_view delivery_id);  // nullopt: it is none
// The source partition that a delivery id names: its owner knows the delivery.
std::optional<Partition> partition_of(std::string_view delivery_id);

// What makes two events one (D11): tenant, source, id, target and replay job.
Hash128 repeat_key(const TenantId& tenant, std::string_view source, std::string_view event_id,
                   std::string_view target, const ReplayJobId& job);

// The same as far as a fact of one of its deliveries tells it. Two events under one such key may still differ
// in their target.
Hash128 proof_key(const WebhookId& webhook, const ReplayJobId& job);

// "inc_…", "rpl_…", "log_…", "sec_…" from 128 random bits. `prefix` with or without its '_'.
std::string random_id(std::string_view prefix, std::uint64_t high, std::uint64_t low);

}  // namespace postrider
