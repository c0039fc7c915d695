#pragma once
#include <string>

#include "engine/core/event.h"

namespace postrider {

// A request to the HTTP API, whole.
struct ApiRequest {
  std::string method;  // "GET"
  std::string path;    // percent-encoded as it came: "/v1/endpoints"
  std::string query;   // without its '?'
  Headers headers;     // names as they came
  std::string body;
  std::string client;  // the address that the connection came from
};

struct ApiResponse {
  int status = 200;
  Headers headers;  // Content-Length, Date and Connection are the server's
  std::string body;
};

}  // namespace postrider
