#include "engine/api/call.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <charconv>

#include "engine/core/time.h"

namespace postrider {
namespace {

constexpr std::size_t kParametersMax = 32;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text, bool in_query) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const auto high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += in_query && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::optional<std::map<std::string, std::string>> parse_query(std::string_view text) {
  std::map<std::string, std::string> parameters;
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto part = text.substr(0, end);
    const auto equals = part.find('=');
    const auto name = percent_decoded(part.substr(0, equals), true);
    const auto value = percent_decoded(
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1), true);
    if (!name || !value || (!part.empty() && !parameters.emplace(*name, *value).second)) return std::nullopt;
    if (parameters.size() > kParametersMax) return std::nullopt;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parameters;
}

Call::~Call() {
  OPENSSL_cleanse(request.body.data(), request.body.size());
}

std::string Call::named(std::string_view prefix) const {
  return origin.empty() ? std::string() : std::string(prefix) + origin.substr(origin.find('_') + 1);
}

std::string Call::parameter(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? std::string() : found->second;
}

Result<void> Call::only(std::initializer_list<std::string_view> names) const {
  for (const auto& [name, value] : query) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::string list;
    for (const auto each : names) list += (list.empty() ? "" : ", ") + std::string(each);
    return fail(Errc::invalid, "INVALID_REQUEST",
                "there is no such query parameter here: " + name.substr(0, 64),
                list.empty() ? "leave it out" : "there are: " + list);
  }
  return {};
}

Result<bool> Call::flag(const std::string& name, bool otherwise) const {
  const auto text = parameter(name);
  if (text == "true") return true;
  if (text == "false") return false;
  if (!query.contains(name)) return otherwise;
  return fail(Errc::invalid, "INVALID_REQUEST", name + " is neither true nor false", "write true or false");
}

Result<std::int64_t> Call::time(const std::string& name) const {
  if (!query.contains(name)) return 0;
  if (const auto time = parse_rfc3339(parameter(name))) return *time;
  return fail(Errc::invalid, "INVALID_REQUEST", name + " is no time",
              "write RFC 3339, as in 2026-01-31T12:00:00Z");
}

Result<std::size_t> Call::limit(std::size_t otherwise, std::size_t most) const {
  if (!query.contains("limit")) return otherwise;
  const auto text = parameter("limit");
  std::size_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error == std::errc() && end == text.data() + text.size() && limit >= 1 && limit <= most) return limit;
  return fail(Errc::invalid, "INVALID_REQUEST", "limit is out of range",
              "write a number from 1 to " + std::to_string(most));
}

}  // namespace postrider
