#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

// Reading the API's answers without trusting them: what is absent or of another type is empty. Included by
// .cc files only.
namespace postrider::ops {

using Json = nlohmann::ordered_json;

inline const Json& member(const Json& object, const char* name) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}
inline std::string text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}
inline std::string text(const Json& object, const char* name) {
  return text(member(object, name));
}
inline std::int64_t number(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_number() ? value.get<std::int64_t>() : 0;
}
inline bool flag(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_boolean() && value.get<bool>();
}
// For loops: the members of an array; none when it is no array.
inline const Json& list(const Json& object, const char* name) {
  static const Json kNone = Json::array();
  const Json& value = member(object, name);
  return value.is_array() ? value : kNone;
}

// A time as the API writes it, without its fraction; "-" for null.
inline std::string short_time(const Json& object, const char* name) {
  const std::string time = text(object, name);
  const auto dot = time.find('.');
  return time.empty() ? "-" : dot == std::string::npos ? time : time.substr(0, dot) + "Z";
}
inline std::string or_dash(std::string value) {
  return value.empty() ? "-" : value;
}

}  // namespace postrider::ops
