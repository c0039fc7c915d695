#include "engine/core/ids.h"

#include <algorithm>
#include <array>
#include <limits>

namespace postrider {
namespace {

constexpr std::string_view kDeliveryPrefix = "dlv_";

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alphanumeric(char c) {
  return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

std::array<char, 8> big_endian(std::uint64_t number) {
  std::array<char, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(static_cast<unsigned char>(number >> (56 - 8 * i) & 0xff));
  }
  return bytes;
}

}  // namespace

std::string format_target(const Target& target) {
  return target.endpoint.str() + ":" + target.incarnation.str();
}

std::optional<Target> parse_target(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view endpoint = text.substr(0, colon);
  const std::string_view incarnation = text.substr(colon + 1);
  // An incarnation is compared whole with those that exist; here only its alphabet counts.
  if (!is_tenant_or_endpoint_id(endpoint) || !is_tenant_or_endpoint_id(incarnation)) return std::nullopt;
  return Target{EndpointId(std::string(endpoint)), Incarnation(std::string(incarnation))};
}

bool is_tenant_or_endpoint_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '-';
  });
}

bool is_environment_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 && is_lower(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

// The next five formats are stored, and some are sent. Changing an input, its order or its spelling makes
// every event in flight a stranger to its own history: tests/core/ids_test.cc pins them.

WebhookId webhook_id(const TenantId& tenant, std::string_view source, std::string_view event_id) {
  const std::array<std::string_view, 3> parts{tenant.str(), source, event_id};
  return WebhookId("msg_" + base62(hash128(parts)));
}

DeliveryId delivery_id(const LogIdentity& log, Position position, const WebhookId& webhook,
                       const Incarnation& incarnation, const ReplayJobId& job) {
  return delivery_id_of(position.partition, delivery_hash(log, position, webhook, incarnation, job));
}

DeliveryId delivery_id_of(Partition partition, const Hash128& hash) {
  return DeliveryId(std::string(kDeliveryPrefix) + base36(static_cast<std::uint64_t>(partition)) + "_" +
                    base62(hash));
}

std::optional<Hash128> hash_of(std::string_view delivery_id) {
  if (!delivery_id.starts_with(kDeliveryPrefix)) return std::nullopt;
  const std::size_t bar = delivery_id.find('_', kDeliveryPrefix.size());
  if (bar == std::string_view::npos) return std::nullopt;
  return parse_base62(delivery_id.substr(bar + 1));
}

Hash128 delivery_hash(const LogIdentity& log, Position position, const WebhookId& webhook,
                      const Incarnation& incarnation, const ReplayJobId& job) {
  const auto partition = big_endian(static_cast<std::uint64_t>(position.partition));
  const auto offset = big_endian(static_cast<std::uint64_t>(position.offset));
  const std::array<std::string_view, 6> parts{log.str(),
                                              {partition.data(), partition.size()},
                                              {offset.data(), offset.size()},
                                              webhook.str(),
                                              incarnation.str(),
                                              job.str()};
  return hash128(parts);
}

std::optional<Partition> partition_of(std::string_view delivery_id) {
  if (!delivery_id.starts_with(kDeliveryPrefix)) return std::nullopt;
  delivery_id.remove_prefix(kDeliveryPrefix.size());
  const std::size_t bar = delivery_id.find('_');
  if (bar == std::string_view::npos) return std::nullopt;
  const std::string_view hash = delivery_id.substr(bar + 1);
  if (hash.size() != kBase62Length || !std::all_of(hash.begin(), hash.end(), is_alphanumeric))
    return std::nullopt;
  const auto partition = parse_base36(delivery_id.substr(0, bar));
  if (!partition || *partition > static_cast<std::uint64_t>(std::numeric_limits<Partition>::max())) {
    return std::nullopt;
  }
  return static_cast<Partition>(*partition);
}

Hash128 repeat_key(const TenantId& tenant, std::string_view source, std::string_view event_id,
                   std::string_view target, const ReplayJobId& job) {
  const std::array<std::string_view, 5> parts{tenant.str(), source, event_id, target, job.str()};
  return hash128(parts);
}

Hash128 proof_key(const WebhookId& webhook, const ReplayJobId& job) {
  const std::array<std::string_view, 2> parts{webhook.str(), job.str()};
  return hash128(parts);
}

std::string random_id(std::string_view prefix, std::uint64_t high, std::uint64_t low) {
  Hash128 bits;
  const auto high_bytes = big_endian(high);
  const auto low_bytes = big_endian(low);
  const auto as_byte = [](char c) { return static_cast<unsigned char>(c); };
  std::transform(high_bytes.begin(), high_bytes.end(), bits.bytes.begin(), as_byte);
  std::transform(low_bytes.begin(), low_bytes.end(), bits.bytes.begin() + 8, as_byte);
  std::string id(prefix);
  if (!prefix.ends_with('_')) id.push_back('_');
  return id + base62(bits);
}

}  // namespace postrider
