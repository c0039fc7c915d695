#include "engine/oidc/issuer.h"

#include <curl/curl.h>

#include <nlohmann/json.hpp>
#include <string_view>

namespace postrider::oidc {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kAnswerBytesMax = 256 * 1024;
constexpr long kConnectMillis = 2'000, kAnswerMillis = 5'000;
constexpr std::string_view kDiscovery =
    "/.well-known/openid-configuration";  // OpenID Connect Discovery 1.0 §4

struct EasyFree {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

std::size_t take(char* bytes, std::size_t one, std::size_t count, void* into) {
  auto& answer = *static_cast<std::string*>(into);
  if (answer.size() + one * count > kAnswerBytesMax) return 0;
  answer.append(bytes, one * count);
  return one * count;
}

int go_on(void* stopping, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<std::atomic<bool>*>(stopping)->load() ? 1 : 0;
}

tl::unexpected<Error> unavailable(std::string what) {
  return fail(Errc::unavailable, "OIDC_UNAVAILABLE", std::move(what),
              "look at the issuer, oidc.issuer and oidc.ca_file; tokens of ours work meanwhile");
}

std::string string_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

bool Issuer::may_ask(const std::string& url) const {
  if (url.starts_with("https://")) return true;
  return options_.plain_http &&
         (url.starts_with("http://127.0.0.1:") || url.starts_with("http://localhost:"));
}

Result<std::string> Issuer::get(const std::string& url) {
  if (!may_ask(url)) return unavailable("the issuer's address is not https");
  const std::unique_ptr<CURL, EasyFree> handle(curl_easy_init());
  CURL* const curl = handle.get();
  std::string answer;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, options_.plain_http ? "http,https" : "https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectMillis);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kAnswerMillis);
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, go_on);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &stopping_);
  if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  if (const auto result = curl_easy_perform(curl); result != CURLE_OK)
    return unavailable("no answer from " + url + ": " + curl_easy_strerror(result));
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) return unavailable(url + " answered " + std::to_string(status));
  return answer;
}

Result<std::shared_ptr<const KeySet>> Issuer::keys() {
  std::string base = options_.url;
  while (base.ends_with('/')) base.pop_back();
  const auto document = get(base + std::string(kDiscovery));
  if (!document) return fail(document.error());
  const Json read = Json::parse(*document, nullptr, false);
  // Another's document would name another's keys (§4.3).
  if (!read.is_object() || string_in(read, "issuer") != options_.url)
    return unavailable("what stands at " + base + std::string(kDiscovery) + " is not of issuer " +
                       options_.url);
  const auto keys = get(string_in(read, "jwks_uri"));
  if (!keys) return fail(keys.error());
  return KeySet::read(*keys);
}

}  // namespace postrider::oidc
