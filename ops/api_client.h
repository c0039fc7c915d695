#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "engine/core/secret.h"

namespace postrider::ops {

// A daemon's HTTP API, blocking, over one connection. One thread.
class ApiClient {
 public:
  struct Options {
    std::string base;   // "http://127.0.0.1:8080"
    Secret token;       // empty: none
    std::string actor;  // stands in audit facts beside the token's id
    std::string ca_file;
    std::string client_cert, client_key;  // PEM files; empty: none
  };
  // Errc::invalid (WRONG_USE): the base is no http(s) address.
  static Result<std::unique_ptr<ApiClient>> open(Options options);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  // The answer's JSON. Errors are the API's own (code, message, suggestion), or API_UNREACHABLE (unavailable:
  // nobody answered), or API_ANSWER_UNEXPECTED (something that is no postriderd did).
  Result<nlohmann::ordered_json> get(const std::string& path);
  Result<nlohmann::ordered_json> post(const std::string& path, const nlohmann::ordered_json& body);
  Result<nlohmann::ordered_json> put(const std::string& path, const nlohmann::ordered_json& body);
  Result<nlohmann::ordered_json> remove(const std::string& path);

 private:
  struct Connection;
  explicit ApiClient(std::unique_ptr<Connection> connection);
  Result<nlohmann::ordered_json> ask(const char* method, const std::string& path, const std::string* body);
  std::unique_ptr<Connection> connection_;
};

// Every page of a list, as one answer of its last page with all that is listed under `name`. `limit`: at most
// so many; 0: all. `next_cursor` of the answer: there are more.
Result<nlohmann::ordered_json> get_pages(ApiClient& api, const std::string& path, const char* name,
                                         std::size_t limit = 0);

// A path's segment or a query's value, percent-encoded.
std::string encoded(std::string_view text);
// Adds "?name=value" or "&name=value"; nothing for an empty value.
void add_parameter(std::string& path, std::string_view name, std::string_view value);

}  // namespace postrider::ops
