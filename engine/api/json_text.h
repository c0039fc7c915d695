#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/http_message.h"
#include "engine/core/result.h"

// JSON in and out of the API's own room: included by its .cc files only.
namespace postrider {

using Json = nlohmann::ordered_json;

// One line; bytes that are no UTF-8 are replaced, so that nothing stored can break an answer.
std::string text_of(const Json& json);
ApiResponse json_answer(int status, const Json& body);

Json time_or_null(std::int64_t unix_ms);  // RFC 3339 UTC; 0: null

inline constexpr int kBodyDepthMax = 8;

// A request body that shall be one JSON object. Errc::invalid for what is none, is nested more deeply, or
// holds a key twice. An empty body is an empty object.
Result<Json> parse_body(const ApiRequest& request, int depth_max = kBodyDepthMax);

// Takes an object apart field by field, by type, and refuses what nobody asked for. The first thing that is
// wrong is kept and answered by done(); getters then answer their defaults. Errors name the field, never its
// value.
class Fields {
 public:
  explicit Fields(Json& object) : object_(object) {}
  std::optional<std::string> text(const char* name, std::size_t bytes_max = 4096);
  std::optional<bool> flag(const char* name);
  std::optional<double> number(const char* name, double least, double most);
  std::optional<std::uint32_t> count(const char* name, std::uint32_t least, std::uint32_t most);
  // An array of strings, or one string.
  std::optional<std::vector<std::string>> texts(const char* name, std::size_t count_max);
  // A member that is an object; nullptr: absent.
  Json* object(const char* name);
  void wrong(const std::string& field, const std::string& what, const std::string& suggestion);
  Result<void> done();

 private:
  Json* member(const char* name);
  Json& object_;
  std::set<std::string> asked_;
  std::optional<Error> error_;
};

}  // namespace postrider
