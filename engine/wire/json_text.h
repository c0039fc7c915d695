#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// JSON as text: says where the members of an object stand, so that a producer's bytes are passed on as they
// were written instead of being parsed and printed again. Strict RFC 8259 with strict UTF-8 inside strings,
// nesting bounded. Pure; no allocation beyond the member list; linear time.
namespace postrider::wire {

inline constexpr int kJsonDepthMax = 64;

enum class JsonKind { object, array, string, integer, fraction, boolean, null };

// A member of the outermost object. The views point into the scanned text; strings keep quotes and escapes.
struct JsonMember {
  std::string_view name;
  std::string_view value;
  JsonKind kind = JsonKind::null;
};

// What is wrong, and at which byte.
struct JsonFlaw {
  std::string what;
  std::size_t at = 0;
};

// True for one JSON value with nothing but blanks around it.
bool is_json(std::string_view text);
// The members of one JSON object in their order. A flaw, or a value of another kind, is reported in `flaw`.
std::optional<std::vector<JsonMember>> json_members(std::string_view text, JsonFlaw& flaw);
// The elements of one JSON array in their order, as text.
std::optional<std::vector<std::string_view>> json_elements(std::string_view text, JsonFlaw& flaw);
// A scanned string's content; nullopt: an escape names half a surrogate pair.
std::optional<std::string> unquote_json(std::string_view quoted);
// Appends `text` as a JSON string. Bytes that are no UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace postrider::wire
