#include "engine/telemetry/redaction.h"

#include <algorithm>
#include <array>

namespace postrider::telemetry {
namespace {

constexpr std::array<std::string_view, 6> kDeniedNames = {
    "authorization", "proxyauthorization", "cookie", "setcookie", "xapikey", "apikey"};
constexpr std::array<std::string_view, 5> kDeniedParts = {"secret", "password", "token", "privatekey",
                                                          "credential"};
constexpr std::array<std::string_view, 3> kSecretStarts = {"whsec_", "whsk_", "ptk_"};

std::string simplified(std::string_view name) {
  std::string simple;
  for (const char c : name) {
    if (c == '-' || c == '_') continue;
    simple.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return simple;
}

bool ends_url(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '"' || c == '\'' || c == '<' || c == '>' ||
         c == ')' || c == ',' || c == '`';
}
bool is_secret_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/' ||
         c == '=' || c == '-' || c == '_';
}

// `url` begins after "://".
void append_url_rest(std::string& out, std::string_view url) {
  const std::size_t authority_end = std::min(url.find_first_of("/?#\\"), url.size());
  const std::size_t at = url.substr(0, authority_end).rfind('@');
  if (at != std::string_view::npos) url.remove_prefix(at + 1);
  const std::size_t hidden = url.find_first_of("?#");
  if (hidden == std::string_view::npos) {
    out.append(url);
  } else {
    out.append(url.substr(0, hidden)).append("?\xe2\x80\xa6");
  }
}

std::string without_urls(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t scheme = text.find("://");
    if (scheme == std::string_view::npos) break;
    out.append(text.substr(0, scheme + 3));
    text.remove_prefix(scheme + 3);
    const auto end =
        static_cast<std::size_t>(std::find_if(text.begin(), text.end(), ends_url) - text.begin());
    append_url_rest(out, text.substr(0, end));
    text.remove_prefix(end);
  }
  return out.append(text);
}

void cut_secrets(std::string& text, std::string_view start) {
  for (std::size_t at = text.find(start); at != std::string::npos; at = text.find(start, at + 1)) {
    std::size_t end = at + start.size();
    while (end < text.size() && is_secret_character(text[end])) ++end;
    // The name of a kind of secret alone ("a whsec_ secret") tells nothing.
    if (end - at >= start.size() + 8) text.replace(at + start.size(), end - at - start.size(), kRedacted);
  }
}

}  // namespace

bool is_denied_name(std::string_view name) {
  const std::string simple = simplified(name);
  return std::find(kDeniedNames.begin(), kDeniedNames.end(), simple) != kDeniedNames.end() ||
         std::any_of(kDeniedParts.begin(), kDeniedParts.end(),
                     [&](std::string_view part) { return simple.find(part) != std::string::npos; });
}

std::string redact(std::string_view text) {
  std::string out = without_urls(text);
  for (const std::string_view start : kSecretStarts) cut_secrets(out, start);
  return out;
}

}  // namespace postrider::telemetry
