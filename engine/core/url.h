#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace postrider {

// An endpoint's URL, strictly read: https (or http where the guard's development rule allows it later), a
// host, no user info, no fragment, port 1–65535, no backslash, blank, control or non-ASCII byte, at most
// 2,048 bytes.
struct Url {
  std::string scheme;  // "https" or "http"
  std::string host;    // lower case; an IPv6 literal without brackets
  std::uint16_t port = 443;
  std::string path;   // begins with '/'
  std::string query;  // with its '?'; empty: none. May hold a secret: sealed at rest, cut from logs.
  bool host_is_ipv6 = false;

  std::string without_query() const;
  std::string whole() const;
};
Result<Url> parse_url(std::string_view text);

}  // namespace postrider
