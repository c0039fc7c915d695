#pragma once
#include <curl/curl.h>

#include <optional>
#include <string>

#include "engine/core/event.h"
#include "engine/core/result.h"
#include "engine/core/time.h"

// One request to the daemon's HTTP API over libcurl. Internal; one thread.
namespace postrider::producers {

struct HttpTarget {
  std::string base;   // "http://127.0.0.1:8080"
  std::string token;  // empty: none
  std::string ca_file;
  std::string client_cert, client_key;  // PEM files; empty: none
};

struct HttpAnswer {
  long status = 0;
  std::string body;  // at most 4 MiB
  std::optional<Millis> retry_after;
};

class HttpRequest {
 public:
  HttpRequest(const HttpTarget& target, const std::string& path, Millis timeout);
  ~HttpRequest();
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  void post(const Headers& headers, std::string body);
  CURL* handle() { return curl_; }
  // What came of it. Errc::unavailable: no answer (code API_UNREACHABLE).
  Result<HttpAnswer> answer(CURLcode result);
  Result<HttpAnswer> perform() { return answer(curl_easy_perform(curl_)); }

 private:
  static std::size_t take(char* bytes, std::size_t one, std::size_t count, void* self);

  std::string base_, body_, response_;
  CURL* curl_;
  curl_slist* headers_ = nullptr;
};

}  // namespace postrider::producers
