#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/ids.h"
#include "engine/core/time.h"

namespace postrider {

struct Header {
  std::string name;
  std::string value;
  bool operator==(const Header&) const = default;
};
using Headers = std::vector<Header>;
// The first value under that name, ASCII case ignored; nullptr when there is none.
const std::string* find_header(const Headers& headers, std::string_view name);

// A CloudEvent 1.0 as it was decoded from `events` (engine/wire/cloud_event.h). `data` is byte for byte what
// the producer wrote (structured JSON: the text of the "data" member, or data_base64 decoded).
struct Event {
  std::string id;
  std::string source;
  std::string type;
  std::string subject;          // empty: absent
  std::string time;             // RFC 3339, as written; empty: absent
  std::string datacontenttype;  // empty: absent
  std::string dataschema;
  TenantId tenant;
  std::string environment;                                      // empty: the topic's own
  std::optional<Target> target;                                 // replays only
  ReplayJobId replay_job;                                       // replays only
  std::vector<std::pair<std::string, std::string>> extensions;  // the rest: traceparent, orderingkey, …
  std::string data;
  bool operator==(const Event&) const = default;
};

inline constexpr std::size_t kEventDataBytesMax = std::size_t{256} * 1024;  // D5
// Bounds of ours, so that attributes stay headers a receiver accepts: of each value, and of their number.
inline constexpr std::size_t kAttributeBytesMax = 4096;
inline constexpr std::size_t kExtensionsMax = 64;

// Why a record is no event of ours: the closed list of dead letters' reasons for bad events.
enum class BadEvent { undecodable, oversize, no_tenant, bad_tenant, foreign_environment, bad_attribute };
std::string_view reason_of(BadEvent bad);  // "undecodable", "oversize", …

// What decode cannot see: size, tenant's grammar, environment, required attributes. nullopt: acceptable.
std::optional<BadEvent> check(const Event& event, const Environment& ours);

}  // namespace postrider
