#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"
#include "engine/core/time.h"

namespace postrider {

// The view's ordered bytes, family by family. What the keys mean is flow's (engine/flow/view.h): here they
// only have an order. In the families marked TTL a value begins with 8 bytes, big-endian: the log time (unix
// ms) from which it may vanish.
enum class Family : std::uint8_t {
  meta,     // positions, identity
  parked,   // delivery id → state
  due,      // due time, delivery id
  held,     // endpoint, delivery id: parked deliveries of stopped endpoints
  claims,   // position → sealed payload; TTL
  history,  // delivery id, time → attempt fact; TTL
  index,    // webhook-id and event id → delivery ids; TTL
  repeats,  // partition, key → first position; TTL
};
inline constexpr int kFamilyCount = 8;
constexpr bool has_ttl(Family family) {
  return family >= Family::claims;
}

// Changes that happen together or not at all.
struct StoreBatch {
  struct Op {
    Family family;
    std::string key;
    std::optional<std::string> value;  // nullopt: delete
  };
  std::vector<Op> ops;
  void put(Family family, std::string key, std::string value) {
    ops.push_back({family, std::move(key), std::move(value)});
  }
  void erase(Family family, std::string key) { ops.push_back({family, std::move(key), std::nullopt}); }
  bool empty() const { return ops.empty(); }
};

// A view: what is lost can be built again from the log. One thread at a time.
class Store {
 public:
  virtual ~Store() = default;
  virtual Result<std::optional<std::string>> get(Family family, std::string_view key) = 0;
  virtual Result<void> write(const StoreBatch& batch, bool sync) = 0;
  // May return before it is written, so that the caller makes the next large batch meanwhile. The store keeps
  // it until it is: each later call waits for it, tries it again if it failed, and tells that error. Of
  // write_behind() itself too: an error speaks of an earlier batch, this one is taken all the same.
  virtual Result<void> write_behind(StoreBatch batch) = 0;
  // Keys in [from, to) in order until `each` returns false. `to` empty: to the family's end.
  virtual Result<void> scan(
      Family family, std::string_view from, std::string_view to,
      const std::function<bool(std::string_view key, std::string_view value)>& each) = 0;
  virtual Result<void> erase_range(Family family, std::string_view from, std::string_view to) = 0;
  // TTL values older than this may vanish.
  virtual void set_log_time(LogTime now) = 0;
};

}  // namespace postrider
