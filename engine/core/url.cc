#include "engine/core/url.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/core/address_policy.h"

namespace postrider {
namespace {

constexpr std::size_t kUrlBytesMax = 2048;
constexpr auto kTooLong = "the URL is longer than 2,048 bytes";
constexpr std::size_t kHostBytesMax = 253;  // RFC 1035, without the root's dot
constexpr std::size_t kLabelBytesMax = 63;

// No part of the URL stands in a message: its query may be a secret, and what is wrong may be where it
// begins.
tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_ENDPOINT_URL", std::move(message), std::move(suggestion));
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// What no URL of ours may hold anywhere. libcurl would send CR and LF as they are, and reads a backslash as a
// slash where others do not.
std::optional<Error> refused_bytes(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\r' || byte == '\n') {
      return Error{Errc::invalid, "INVALID_ENDPOINT_URL", "the URL holds a line end", "remove it"};
    }
    if (byte == ' ' || byte < 0x20 || byte == 0x7f) {
      return Error{Errc::invalid, "INVALID_ENDPOINT_URL", "the URL holds a blank or a control character",
                   "remove it, or percent-encode it (%20)"};
    }
    if (byte >= 0x80) {
      return Error{Errc::invalid, "INVALID_ENDPOINT_URL", "the URL holds a character outside ASCII",
                   "percent-encode it in the path, or write the host in its xn-- form"};
    }
    if (byte == '\\') {
      return Error{Errc::invalid, "INVALID_ENDPOINT_URL", "the URL holds a backslash", "use '/'"};
    }
    if (std::string_view("\"<>^`{|}").find(c) != std::string_view::npos) {
      return Error{Errc::invalid, "INVALID_ENDPOINT_URL",
                   "the URL holds a character that RFC 3986 does not allow", "percent-encode it"};
    }
  }
  return std::nullopt;
}

bool has_whole_escapes(std::string_view text) {
  for (std::size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 1)) {
    if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
  }
  return true;
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kLabelBytesMax && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return is_lower(c) || is_digit(c) || c == '-' || c == '_'; });
}

// Resolvers read a host whose last label is a number as an IPv4 address: 2130706433, 0x7f.1 and 017700000001
// are all 127.0.0.1.
bool ends_in_a_number(std::string_view host) {
  const std::size_t dot = host.rfind('.');
  std::string_view label = dot == std::string_view::npos ? host : host.substr(dot + 1);
  if (label.starts_with("0x")) return std::all_of(label.begin() + 2, label.end(), is_hex);
  return !label.empty() && std::all_of(label.begin(), label.end(), is_digit);
}

Result<std::string> read_name(std::string_view text) {
  std::string host = lower(text);
  if (host.ends_with('.')) host.pop_back();  // the root's dot: the same name
  if (host.empty()) return refuse("the URL has no host", "write https://host/path");
  if (host.find('%') != std::string::npos) {
    return refuse("the URL's host is percent-encoded",
                  "write the host in plain letters, or in its xn-- form");
  }
  if (ends_in_a_number(host)) {
    if (!parse_ip(host)) {
      return refuse("the URL's host is a number that could be read as an address in more than one way",
                    "write the address as four decimal numbers without leading zeros, such as 192.0.2.1");
    }
    return host;
  }
  if (host.size() > kHostBytesMax)
    return refuse("the URL's host is longer than 253 bytes", "use a shorter name");
  for (std::string_view rest = host; true;) {
    const std::size_t dot = rest.find('.');
    if (!is_label(rest.substr(0, dot))) {
      return refuse(
          "the URL's host is not a host name",
          "use labels of 1 to 63 letters, digits and hyphens between dots, such as hooks.example.com");
    }
    if (dot == std::string_view::npos) return host;
    rest.remove_prefix(dot + 1);
  }
}

Result<std::uint16_t> read_port(std::string_view digits) {
  unsigned long port = 0;
  const bool plausible = !digits.empty() && digits.size() <= 5 && digits.front() != '0' &&
                         std::all_of(digits.begin(), digits.end(), is_digit);
  if (plausible) port = std::stoul(std::string(digits));
  if (port < 1 || port > 65535) {
    return refuse("the URL's port is not a number from 1 to 65535",
                  "correct it, or leave it and its colon out");
  }
  return static_cast<std::uint16_t>(port);
}

// "host", "host:port", "[v6]" or "[v6]:port".
Result<void> read_authority(std::string_view text, Url& url) {
  if (text.find('@') != std::string_view::npos) {
    return refuse("the URL has user info",
                  "remove what stands before '@' in the host; endpoints are signed to instead");
  }
  std::string_view after;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    const auto address =
        close == std::string_view::npos ? std::nullopt : parse_ip(lower(text.substr(1, close - 1)));
    if (!address || !address->v6) {
      return refuse("the URL's host in brackets is not an IPv6 address in its short form",
                    "write it as RFC 5952 says, such as [2001:db8::1], without a zone");
    }
    url.host = format_ip(*address);
    url.host_is_ipv6 = true;
    after = text.substr(close + 1);
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    auto host = read_name(text.substr(0, colon));
    if (!host) return fail(std::move(host.error()));
    url.host = std::move(*host);
    after = text.substr(colon);
  }
  if (after.empty()) return {};
  if (after.front() != ':')
    return refuse("something stands between the URL's host and its path", "remove it");
  const auto port = read_port(after.substr(1));
  if (!port) return fail(port.error());
  url.port = *port;
  return {};
}

}  // namespace

std::string Url::without_query() const {
  std::string text = scheme + "://" + (host_is_ipv6 ? "[" + host + "]" : host);
  if (port != (scheme == "https" ? 443 : 80)) text += ":" + std::to_string(port);
  return text + path;
}

std::string Url::whole() const {
  return without_query() + query;
}

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kUrlBytesMax) return refuse(kTooLong, "shorten it");
  if (auto error = refused_bytes(text)) return fail(std::move(*error));
  const std::size_t colon = text.find("://");
  Url url;
  url.scheme = lower(text.substr(0, std::min(colon, text.size())));
  if (colon == std::string_view::npos || (url.scheme != "https" && url.scheme != "http")) {
    return refuse("the URL does not begin with https://", "write https://host/path");
  }
  url.port = url.scheme == "https" ? 443 : 80;
  text.remove_prefix(colon + 3);
  if (text.find('#') != std::string_view::npos) {
    return refuse("the URL has a fragment, which is never sent", "remove '#' and what follows it");
  }
  const std::size_t authority_end = std::min(text.find_first_of("/?"), text.size());
  if (auto read = read_authority(text.substr(0, authority_end), url); !read)
    return fail(std::move(read.error()));
  text.remove_prefix(authority_end);
  if (!has_whole_escapes(text)) {
    return refuse("the URL has a '%' that two hexadecimal digits do not follow",
                  "write a percent sign as %25");
  }
  if (text.find_first_of("[]") < text.find('?')) {
    return refuse("the URL's path holds a bracket", "percent-encode it: %5B, %5D");
  }
  const std::size_t query = std::min(text.find('?'), text.size());
  url.path = query == 0 ? "/" : std::string(text.substr(0, query));
  url.query = std::string(text.substr(query));
  // As it is written it may be longer by the slash of an empty path, and it is read again at dispatch.
  if (url.whole().size() > kUrlBytesMax) return refuse(kTooLong, "shorten it");
  return url;
}

}  // namespace postrider
