#include "engine/vault/vault_key_service.h"

#include <curl/curl.h>

#include <cstring>
#include <mutex>
#include <utility>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

constexpr char kPlainVersion = 1;
constexpr std::size_t kAnswerBytesMax = 64 * 1024;
constexpr std::size_t kWordsMax = 200;
constexpr long kConnectMs = 2000;

struct EasyFree {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using Easy = std::unique_ptr<CURL, EasyFree>;

// Request headers; the token is overwritten before libcurl's list of it goes.
class Headers {
 public:
  Headers() = default;
  Headers(const Headers&) = delete;
  Headers& operator=(const Headers&) = delete;
  ~Headers() {
    for (curl_slist* at = list_; at != nullptr; at = at->next)
      explicit_bzero(at->data, std::strlen(at->data));
    curl_slist_free_all(list_);
  }
  void add(std::string line) {
    if (curl_slist* longer = curl_slist_append(list_, line.c_str())) list_ = longer;
    cleanse(line);
  }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

struct Answer {
  long status = 0;
  Secret body;
};

// The string under `name`, or nothing. Not a JSON parser: one would leave the plaintext behind in buffers of
// its own. What is asked for here is base64 or "vault:v…", in which nothing is ever escaped.
std::string_view string_under(std::string_view name, std::string_view json) {
  const auto skip_blanks = [](std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r\n");
    return first == std::string_view::npos ? std::string_view() : text.substr(first);
  };
  const std::string key = '"' + std::string(name) + '"';
  for (auto at = json.find(key); at != std::string_view::npos; at = json.find(key, at + 1)) {
    std::string_view rest = skip_blanks(json.substr(at + key.size()));
    if (!rest.starts_with(':')) continue;
    rest = skip_blanks(rest.substr(1));
    if (!rest.starts_with('"')) continue;
    rest.remove_prefix(1);
    const auto end = rest.find_first_of("\"\\");
    return end == std::string_view::npos || rest[end] == '\\' ? std::string_view() : rest.substr(0, end);
  }
  return {};
}

// Vault's own words, {"errors":["…"]}, fit to be shown: its errors hold no secret, yet others may answer.
std::string words_of(std::string_view json) {
  const auto errors = json.find("\"errors\"");
  if (errors == std::string_view::npos) return {};
  const auto begin = json.find('"', errors + 8);
  if (begin == std::string_view::npos) return {};
  std::string words;
  words.reserve(kWordsMax);
  for (const char c : json.substr(begin + 1)) {
    if (c == '"' || words.size() >= kWordsMax) break;
    words.push_back(c >= 0x20 && c < 0x7f ? c : ' ');
  }
  return words;
}

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string digest_of(std::string_view associated) {
  const Digest digest = sha256(associated);
  return {digest.begin(), digest.end()};
}

class VaultKeyService final : public KeyService {
 public:
  VaultKeyService(VaultOptions options, Easy easy)
      : options_(std::move(options)),
        easy_(std::move(easy)),
        name_("vault:" + options_.place.origin.substr(options_.place.origin.find("//") + 2) + "/" +
              options_.place.mount + "/" + options_.place.key) {}

  const std::string& name() const override { return name_; }
  bool is_local() const override { return false; }

  Result<std::string> wrap(std::string_view bytes, std::string_view associated) override {
    const std::string digest = digest_of(associated);
    std::string plain;
    plain.reserve(1 + digest.size() + bytes.size());
    plain.append(1, kPlainVersion).append(digest).append(bytes);
    const Secret encoded(base64_encode(plain));
    cleanse(plain);
    const auto answer = call("encrypt", "plaintext", encoded.reveal(), digest);
    if (!answer) return fail(answer.error());
    const std::string_view wrapped = string_under("ciphertext", answer->body.reveal());
    if (!wrapped.starts_with("vault:v")) return no_vault();
    return std::string(wrapped);
  }

  Result<Secret> unwrap(std::string_view wrapped, std::string_view associated) override {
    // It goes into the request as it is.
    const bool clean =
        wrapped.starts_with("vault:v") && wrapped.find_first_of("\"\\\r\n") == std::string::npos;
    if (!clean) return corrupt();
    const std::string digest = digest_of(associated);
    const auto answer = call("decrypt", "ciphertext", wrapped, digest);
    if (!answer) return fail(answer.error());
    auto decoded = base64_decode(string_under("plaintext", answer->body.reveal()));
    if (!decoded || decoded->empty()) return no_vault();
    const Secret plain(*std::move(decoded));
    const std::string_view text = plain.reveal();
    const bool ours = text.size() > 1 + digest.size() && text.front() == kPlainVersion &&
                      text.substr(1, digest.size()) == digest;
    if (!ours) return corrupt();
    return Secret(std::string(text.substr(1 + digest.size())));
  }

 private:
  Result<Answer> call(std::string_view verb, std::string_view field, std::string_view value,
                      std::string_view context) {
    auto token = options_.token();
    if (!token) return fail(std::move(token.error()));
    std::string body;
    body.reserve(value.size() + 256);
    body.append("{\"").append(field).append("\":\"").append(value);
    body.append("\",\"context\":\"").append(base64_encode(context)).append("\"}");
    const Secret sent(std::move(body));
    const std::lock_guard guard(lock_);
    auto answer = post(verb, sent.reveal(), *token);
    if (!answer || answer->status == 200) return answer;
    return judge(answer->status, words_of(answer->body.reveal()));
  }

  Result<Answer> post(std::string_view verb, std::string_view body, const Secret& token) {
    CURL* const easy = easy_.get();
    curl_easy_reset(easy);  // keeps its connection
    const std::string url = options_.place.origin + "/v1/" + options_.place.mount + "/" + std::string(verb) +
                            "/" + options_.place.key;
    Headers headers;
    std::string line = "X-Vault-Token: ";
    line.reserve(line.size() + token.reveal().size());
    headers.add(std::move(line.append(token.reveal())));
    headers.add("X-Vault-Request: true");  // an agent's listener may insist on it
    headers.add("Content-Type: application/json");
    headers.add("Expect:");
    std::string answer;
    answer.reserve(4096);
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, options_.place.plain_http ? "http" : "https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout.count()));
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &VaultKeyService::take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
    const CURLcode code = curl_easy_perform(easy);
    Answer got{0, Secret(std::move(answer))};
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &got.status);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, nullptr);  // it goes before the handle does
    if (code != CURLE_OK) return unavailable(std::string("cannot be asked: ") + curl_easy_strerror(code));
    return got;
  }

  // Never more than was reserved or asked for: a text that grows would leave copies behind.
  static std::size_t take(const char* data, std::size_t, std::size_t size, void* to) {
    auto& answer = *static_cast<std::string*>(to);
    if (answer.size() + size > kAnswerBytesMax) return 0;
    if (answer.size() + size > answer.capacity()) {
      std::string larger;
      larger.reserve(kAnswerBytesMax);
      larger.append(answer);
      answer.swap(larger);
      cleanse(larger);
    }
    answer.append(data, size);
    return size;
  }

  tl::unexpected<Error> judge(long status, const std::string& words) const {
    const std::string said = "answered " + std::to_string(status) + (words.empty() ? "" : " (" + words + ")");
    // A tag that does not fit is told with 400 or, by some versions, with 500.
    const bool unfit = holds(words, "authentication failed") || holds(words, "invalid ciphertext");
    if (unfit && (status == 400 || status == 500)) return corrupt();
    if (status == 400 || status == 404 || status == 405) {
      return fail(Errc::denied, "KEY_SERVICE_KEY_UNUSABLE", "the key service " + name_ + " " + said,
                  "look at that key in Vault: is it there, enabled for encryption, and are its old versions "
                  "still allowed (min_decryption_version)?");
    }
    if (status == 401 || status == 403) {
      return fail(Errc::denied, "KEY_SERVICE_DENIED", "the key service " + name_ + " " + said,
                  "renew the token in keys.credential, and see that its policy allows `update` on encrypt/ "
                  "and decrypt/ of that key");
    }
    if (status >= 300 && status < 400) {
      return fail(Errc::unavailable, "KEY_SERVICE_UNAVAILABLE",
                  "the key service " + name_ + " leads elsewhere, and the token does not follow",
                  "name the active node, or a balancer that forwards to it, in keys.service");
    }
    return unavailable(said);
  }

  tl::unexpected<Error> unavailable(const std::string& how) const {
    return fail(Errc::unavailable, "KEY_SERVICE_UNAVAILABLE", "the key service " + name_ + " " + how,
                "nothing is lost: deliveries wait and go on by themselves; look at Vault (sealed?), its "
                "address and its certificate");
  }
  tl::unexpected<Error> no_vault() const { return unavailable("answered something that Vault does not"); }
  tl::unexpected<Error> corrupt() const {
    return fail(Errc::corrupt, "WRAPPED_KEY_CORRUPT",
                "a wrapped key was not wrapped by " + name_ + " for this use",
                "start with the key service that was in use when the key was made");
  }

  const VaultOptions options_;
  std::mutex lock_;
  Easy easy_;
  const std::string name_;
};

}  // namespace

Result<std::unique_ptr<KeyService>> open_vault_key_service(VaultOptions options) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  Easy easy(curl_easy_init());
  if (!easy)
    return fail(Errc::unavailable, "KEY_SERVICE_UNAVAILABLE", "libcurl cannot begin",
                "look at this machine's memory");
  return std::make_unique<VaultKeyService>(std::move(options), std::move(easy));
}

}  // namespace postrider
