#include "engine/api/shown_once.h"

#include <string>
#include <utility>

namespace postrider {

ApiResponse with_secret(ApiResponse response, std::string_view name, const Secret& secret) {
  const auto bytes = secret.reveal();
  std::string whole;
  whole.reserve(response.body.size() + name.size() + bytes.size() + 16);
  whole.append("{\"").append(name).append("\":\"").append(bytes).append("\",").append(response.body, 1);
  response.body = std::move(whole);
  response.headers.push_back({"Cache-Control", "no-store"});
  return response;
}

}  // namespace postrider
