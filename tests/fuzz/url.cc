// Our URL parser beside libcurl's, and the addresses that we judge beside those that the system would dial.
#include "engine/core/url.h"

#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "engine/core/address_policy.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

// As libcurl itself parses CURLOPT_URL with CURLOPT_PATH_AS_IS (7.88.1, lib/url.c, parseurlandfillconn).
constexpr unsigned kAsForATransfer = CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS;

struct Parts {
  std::string scheme, host, port, path, query;
  bool has_user = false;
};

std::string part(CURLU* handle, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(handle, which, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

std::optional<Parts> as_libcurl_reads(const std::string& text) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> handle(curl_url(), &curl_url_cleanup);
  if (curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), kAsForATransfer) != CURLUE_OK)
    return std::nullopt;
  Parts parts;
  parts.scheme = part(handle.get(), CURLUPART_SCHEME);
  parts.host = part(handle.get(), CURLUPART_HOST);
  parts.port = part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  parts.path = part(handle.get(), CURLUPART_PATH);
  parts.query = part(handle.get(), CURLUPART_QUERY);
  parts.has_user =
      !part(handle.get(), CURLUPART_USER).empty() || !part(handle.get(), CURLUPART_PASSWORD).empty();
  return parts;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return text;
}

bool agree(const Url& ours, Parts theirs) {
  theirs.host = lower(theirs.host);
  if (theirs.host.ends_with('.')) theirs.host.pop_back();  // the root's dot: the same name
  if (theirs.host.starts_with("[")) {
    // libcurl keeps a literal's spelling: compared by what it means.
    const auto literal = parse_ip(theirs.host.substr(1, theirs.host.size() - 2));
    if (!literal || !ours.host_is_ipv6) return false;
    theirs.host = format_ip(*literal);
  } else if (ours.host_is_ipv6) {
    return false;
  }
  const std::string query = ours.query.empty() ? "" : ours.query.substr(1);
  return ours.scheme == theirs.scheme && ours.host == theirs.host &&
         std::to_string(ours.port) == theirs.port && ours.path == theirs.path && query == theirs.query &&
         !theirs.has_user;
}

// What getaddrinfo would dial for that host without asking anybody: 0x7f.1 and 2130706433 are addresses too.
std::optional<IpAddress> dialled_unasked(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &freeaddrinfo);
  IpAddress address;
  address.v6 = found->ai_family == AF_INET6;
  if (address.v6) {
    std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in6*>(found->ai_addr)->sin6_addr, 16);
  } else {
    std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in*>(found->ai_addr)->sin_addr, 4);
  }
  return address;
}

}  // namespace

void url(std::string_view bytes) {
  const auto ours = parse_url(bytes);
  if (!ours) {
    const Error& error = ours.error();
    if (error.code != "INVALID_ENDPOINT_URL" || error.message.empty() || error.suggestion.empty())
      broken("a refusal without code, message or suggestion", bytes);
    return;
  }
  const std::string whole = ours->whole();
  const auto again = parse_url(whole);
  if (!again || again->whole() != whole || again->host != ours->host || again->port != ours->port)
    broken("what was written is read otherwise", bytes);
  const auto theirs = as_libcurl_reads(whole);
  if (!theirs) broken("libcurl does not take what we would give it", bytes);
  if (!agree(*ours, *theirs)) broken("libcurl reads what we give it otherwise", bytes);
  const auto given = as_libcurl_reads(std::string(bytes));
  if (given && !agree(*ours, *given)) broken("libcurl reads what the customer gave otherwise", bytes);
  if (dialled_unasked(ours->host) != parse_ip(ours->host)) broken("dialled is not what is judged", bytes);
}

}  // namespace postrider::fuzz
