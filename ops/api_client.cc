#include "ops/api_client.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <utility>

#include "ops/json_fields.h"
#include "ops/output.h"

namespace postrider::ops {
namespace {

constexpr std::size_t kAnswerBytesMax = 64 << 20;
constexpr long kConnectMillis = 5'000;
constexpr long kAnswerMillis = 90'000;  // look-ups on the log take their time; the API gives up before

struct HeaderList {
  curl_slist* list = nullptr;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }
};

std::size_t take(char* bytes, std::size_t one, std::size_t count, void* into) {
  auto& answer = *static_cast<std::string*>(into);
  if (answer.size() + one * count > kAnswerBytesMax) return 0;
  answer.append(bytes, one * count);
  return one * count;
}

Errc errc_of(long status) {
  switch (status) {
    case 401:
    case 403:
      return Errc::denied;
    case 404:
      return Errc::not_found;
    case 409:
      return Errc::conflict;
    case 429:
      return Errc::overloaded;
    case 500:
      return Errc::corrupt;
    case 502:
    case 503:
    case 504:
      return Errc::unavailable;
    default:
      return Errc::invalid;
  }
}

Error unexpected_answer(const std::string& base, long status) {
  return {status >= 500 ? Errc::unavailable : Errc::invalid, "API_ANSWER_UNEXPECTED",
          base + " answered " + std::to_string(status) + ", and not as postriderd does",
          "check that --api names a daemon's `listen` address"};
}

Error error_of(const std::string& base, long status, const Json& body) {
  Error error{errc_of(status), text(body, "code"), text(body, "message"), text(body, "suggestion")};
  if (error.code.empty()) return unexpected_answer(base, status);
  if (error.code == "OVERLOADED") error.errc = Errc::overloaded;
  if (error.code == "AUTH_FAILED")
    error.suggestion =
        "give --token-file or POSTRIDER_TOKEN: the first token stands in admin.token in the daemon's data "
        "directory; "
        "`postrider-ops tokens reset --log …` makes another one while the daemons are down";
  return error;
}

Error no_answer(const ApiClient::Options& options, CURLcode result) {
  std::string suggestion = "check the address, and that postriderd runs; its log says why it does not";
  // Of TLS 1.3 a client has done its part before it is told that its certificate is missing.
  const bool ended = result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR ||
                     result == CURLE_GOT_NOTHING || result == CURLE_SSL_CONNECT_ERROR ||
                     result == CURLE_SSL_CERTPROBLEM;
  if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
    suggestion = "name the authority of its certificate (--ca FILE)";
  else if (ended && options.base.starts_with("https://"))
    suggestion =
        "it ended the connection: where it has tls.client_ca, name a certificate of that authority with "
        "--client-cert and --client-key";
  return {Errc::unavailable, "API_UNREACHABLE",
          "no answer from " + options.base + ": " + curl_easy_strerror(result), std::move(suggestion)};
}

}  // namespace

struct ApiClient::Connection {
  Options options;
  CURL* curl = nullptr;
  ~Connection() { curl_easy_cleanup(curl); }
};

ApiClient::ApiClient(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
ApiClient::~ApiClient() = default;

Result<std::unique_ptr<ApiClient>> ApiClient::open(Options options) {
  while (options.base.ends_with('/')) options.base.pop_back();
  if (!options.base.starts_with("http://") && !options.base.starts_with("https://"))
    return wrong_use("--api takes an http or https address",
                     "write http://127.0.0.1:8080, or as the daemon's `listen` has it");
  auto connection = std::make_unique<Connection>();
  connection->options = std::move(options);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  connection->curl = curl_easy_init();
  return std::unique_ptr<ApiClient>(new ApiClient(std::move(connection)));
}

Result<Json> ApiClient::get(const std::string& path) {
  return ask("GET", path, nullptr);
}
Result<Json> ApiClient::remove(const std::string& path) {
  return ask("DELETE", path, nullptr);
}

Result<Json> ApiClient::post(const std::string& path, const Json& body) {
  const std::string sent = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return ask("POST", path, &sent);
}

Result<Json> ApiClient::put(const std::string& path, const Json& body) {
  std::string sent = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  auto answer = ask("PUT", path, &sent);
  OPENSSL_cleanse(sent.data(), sent.size());  // it may hold signing secrets
  return answer;
}

Result<Json> ApiClient::ask(const char* method, const std::string& path, const std::string* body) {
  const auto& options = connection_->options;
  CURL* const curl = connection_->curl;
  curl_easy_reset(curl);  // keeps the connection
  HeaderList headers;
  if (!options.token.empty()) headers.add("Authorization: Bearer " + std::string(options.token.reveal()));
  if (!options.actor.empty()) headers.add("Postrider-Actor: " + options.actor);
  headers.add("Expect:");
  if (body) {
    headers.add("Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data());
  }
  std::string answer;
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(curl, CURLOPT_URL, (options.base + path).c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // a proxy of the environment would see the token
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectMillis);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kAnswerMillis);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  if (!options.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options.ca_file.c_str());
  if (!options.client_cert.empty()) curl_easy_setopt(curl, CURLOPT_SSLCERT, options.client_cert.c_str());
  if (!options.client_key.empty()) curl_easy_setopt(curl, CURLOPT_SSLKEY, options.client_key.c_str());
  if (const auto result = curl_easy_perform(curl); result != CURLE_OK)
    return fail(no_answer(options, result));
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  auto json = Json::parse(answer, nullptr, false);
  if (status >= 300) return fail(error_of(options.base, status, json));
  if (json.is_discarded()) return fail(unexpected_answer(options.base, status));
  return json;
}

Result<Json> get_pages(ApiClient& api, const std::string& path, const char* name, std::size_t limit) {
  Json all = Json::array();
  std::string page_path = path;
  while (true) {
    auto page = api.get(page_path);
    if (!page) return fail(page.error());
    if (!page->is_object()) return page;
    auto& listed = (*page)[name];
    if (listed.is_array())
      for (auto& each : listed) {
        if (limit != 0 && all.size() >= limit) break;
        all.push_back(std::move(each));
      }
    const auto next = page->find("next_cursor");
    if (next == page->end() || !next->is_string() || (limit != 0 && all.size() >= limit)) {
      listed = std::move(all);
      return page;
    }
    page_path = path;
    add_parameter(page_path, "cursor", next->get<std::string>());
  }
}

std::string encoded(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain)
      out += c;
    else
      out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
  return out;
}

void add_parameter(std::string& path, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  path += path.find('?') == std::string::npos ? '?' : '&';
  path.append(name).append("=").append(encoded(value));
}

}  // namespace postrider::ops
