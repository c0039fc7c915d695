#include "producers/http_request.h"

#include <mutex>
#include <utility>

namespace postrider::producers {
namespace {

constexpr std::size_t kResponseBytesMax = 4 * 1024 * 1024;

void start_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

Error unreachable(const std::string& base, CURLcode result) {
  const bool trust = result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
  return {Errc::unavailable, "API_UNREACHABLE", "no answer from " + base + ": " + curl_easy_strerror(result),
          trust ? "name the authority of its certificate (--ca FILE)"
                : "check the address, and that the daemon runs"};
}

}  // namespace

HttpRequest::HttpRequest(const HttpTarget& target, const std::string& path, Millis timeout)
    : base_(target.base) {
  start_curl_once();
  curl_ = curl_easy_init();
  curl_easy_setopt(curl_, CURLOPT_URL, (target.base + path).c_str());
  curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl_, CURLOPT_PROXY, "");  // a proxy of the environment would see the token
  curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS, 10'000L);
  curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl_, CURLOPT_WRITEDATA, this);
  if (!target.ca_file.empty()) curl_easy_setopt(curl_, CURLOPT_CAINFO, target.ca_file.c_str());
  if (!target.client_cert.empty()) curl_easy_setopt(curl_, CURLOPT_SSLCERT, target.client_cert.c_str());
  if (!target.client_key.empty()) curl_easy_setopt(curl_, CURLOPT_SSLKEY, target.client_key.c_str());
  if (!target.token.empty()) {
    headers_ = curl_slist_append(headers_, ("Authorization: Bearer " + target.token).c_str());
  }
  curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
}

HttpRequest::~HttpRequest() {
  curl_easy_cleanup(curl_);
  curl_slist_free_all(headers_);
}

void HttpRequest::post(const Headers& headers, std::string body) {
  body_ = std::move(body);
  bool typed = false;
  for (const auto& [name, value] : headers) {
    typed = typed || name == "Content-Type";
    // "name;" is libcurl's spelling of a header without a value.
    headers_ = curl_slist_append(headers_, (value.empty() ? name + ";" : name + ": " + value).c_str());
  }
  if (!typed) headers_ = curl_slist_append(headers_, "Content-Type:");  // else libcurl would claim a form
  headers_ = curl_slist_append(headers_, "Expect:");
  curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
  curl_easy_setopt(curl_, CURLOPT_POST, 1L);
  curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_.size()));
  curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body_.c_str());
}

Result<HttpAnswer> HttpRequest::answer(CURLcode result) {
  if (result != CURLE_OK) return fail(unreachable(base_, result));
  HttpAnswer answer;
  curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &answer.status);
  curl_off_t seconds = 0;
  curl_easy_getinfo(curl_, CURLINFO_RETRY_AFTER, &seconds);
  if (seconds > 0) answer.retry_after = Millis(seconds * 1000);
  answer.body = std::move(response_);
  return answer;
}

std::size_t HttpRequest::take(char* bytes, std::size_t one, std::size_t count, void* self) {
  auto& response = static_cast<HttpRequest*>(self)->response_;
  if (response.size() + one * count > kResponseBytesMax) return 0;
  response.append(bytes, one * count);
  return one * count;
}

}  // namespace postrider::producers
