#include "engine/api/problem.h"

#include "engine/api/json_text.h"

namespace postrider {

int status_of(const Error& error) {
  if (error.code == "AUTH_FAILED") return 401;
  if (error.code == "PRECONDITION_FAILED") return 412;
  if (error.code == "PAYLOAD_TOO_LARGE") return 413;
  switch (error.errc) {
    case Errc::invalid:
      return 400;
    case Errc::not_found:
      return 404;
    case Errc::conflict:
      return 409;
    case Errc::unavailable:
      return 503;
    case Errc::overloaded:
      return error.code == "RATE_LIMITED" ? 429 : 503;
    case Errc::corrupt:
      return 500;
    case Errc::denied:
      return 403;
  }
  return 500;
}

ApiResponse problem(int status, const Error& error) {
  return problem(status, error, 1);
}

ApiResponse problem(int status, const Error& error, std::int64_t retry_after_seconds) {
  Json body = {{"type", "about:blank"},
               {"status", status},
               {"code", error.code},
               {"message", error.message},
               {"suggestion", error.suggestion},
               {"retryable", error.retryable()}};
  ApiResponse response;
  response.status = status;
  response.headers.push_back({"Content-Type", "application/problem+json"});
  if (error.retryable()) {
    body["retry_after"] = retry_after_seconds;
    response.headers.push_back({"Retry-After", std::to_string(retry_after_seconds)});
  }
  if (status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  response.body = text_of(body);
  return response;
}

ApiResponse problem(const Error& error) {
  return problem(status_of(error), error);
}

}  // namespace postrider
