#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/config.h"

// The table of keys: each declared once. Inside the room only.
namespace postrider::config {

// A value as it stood in the file or in a variable, before its key has judged it.
struct Value {
  enum class Kind { text, integer, boolean, list, other };
  Kind kind = Kind::other;
  std::string text;  // a variable's is always text: the key's reader takes it apart
  std::int64_t integer = 0;
  bool boolean = false;
  std::vector<std::string> list;  // whole numbers as text
  bool from_variable = false;
};

// What is wrong with a value, and what would be right.
struct Refusal {
  std::string wrong;
  std::string right;
};
using Read = tl::expected<void, Refusal>;

struct Key {
  std::string_view name;  // "delivery.timeout"
  std::string_view help;  // a sentence: meaning, unit, limits
  bool required = false;
  std::function<Read(Config&, const Value&)> read;
  std::function<std::string(const Config&)> print;  // as a TOML value; empty: unset
};

const std::vector<Key>& keys();
const Key* find_key(std::string_view name);
// The key spelt most like `name`, if it is like it at all; else empty.
std::string nearest_key(std::string_view name);
std::string nearest_variable(std::string_view name);
// "delivery.timeout" → "POSTRIDER_DELIVERY_TIMEOUT"
std::string variable_of(std::string_view key);

std::string quoted(std::string_view text);  // as a TOML string

// An entry of oidc.roles, "VALUE=ROLE", added.
Result<void> add_role(std::string_view entry, std::map<std::string, Scopes>& roles);

// [kafka]: names that hold secrets, and names that are the engine's own to set (with the reason).
bool is_secret_property(std::string_view name);
std::string_view reserved_property(std::string_view name);  // empty: free

// What no key can judge alone. Fills `warnings`.
Result<void> check_rules(Config& config);

// That the key file (in development it may be missing), the certificates and their key can be used.
Result<void> check_files(const Config& config);

}  // namespace postrider::config
