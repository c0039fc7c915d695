#include "engine/core/customer_headers.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>

#include "engine/core/header_lines.h"

namespace postrider {
namespace {

constexpr std::size_t kHeadersMax = 32;
constexpr std::size_t kBytesMax = 8192;
constexpr std::size_t kNameBytesMax = 64;

// Beside those of header_lines.h, which no request of ours may carry.
constexpr std::array<std::string_view, 12> kOurs = {
    "accept",       "accept-encoding", "alt-used",    "content-encoding", "content-type", "date",
    "max-forwards", "range",           "traceparent", "tracestate",       "user-agent",   "via"};
constexpr std::array<std::string_view, 4> kOurPrefixes = {"webhook-", "x-webhook-", "ce-", "proxy-"};

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_HEADER", std::move(message), std::move(suggestion));
}

std::string folded(std::string_view name) {
  std::string result(name);
  for (char& c : result) c = c == '_' ? '-' : ascii_lower(c);
  return result;
}

bool is_ours(std::string_view name) {
  return is_transports_name(name) || std::find(kOurs.begin(), kOurs.end(), name) != kOurs.end() ||
         std::any_of(kOurPrefixes.begin(), kOurPrefixes.end(),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

Result<void> check_name(std::string_view name) {
  if (name.size() > kNameBytesMax || !is_field_name(name)) {
    return refuse("a header's name is no token of 1 to 64 bytes", "use letters, digits and hyphens");
  }
  if (!is_ours(folded(name))) return {};
  return refuse("the header " + std::string(name) + " is not free to set",
                "leave it out: it frames, routes or signs the request, or tells of the event");
}

Result<void> check_value(const Header& header) {
  if (!is_printable(header.value)) {
    return refuse(
        "the value of " + header.name + " holds a line end, another control character or one beyond ASCII",
        "use printable ASCII alone");
  }
  if (header.value.empty() || header.value.front() == ' ' || header.value.back() == ' ') {
    return refuse("the value of " + header.name + " is empty, or a blank stands at one of its ends",
                  "give a value without blanks around it");
  }
  return {};
}

}  // namespace

Result<void> check_customer_headers(const Headers& headers) {
  if (headers.size() > kHeadersMax) return refuse("there are more than 32 headers", "leave some out");
  std::size_t bytes = 0;
  std::set<std::string> seen;
  for (const Header& header : headers) {
    if (auto fine = check_name(header.name); !fine) return fine;
    if (auto fine = check_value(header); !fine) return fine;
    if (!seen.insert(folded(header.name)).second)
      return refuse("the header " + header.name + " stands there twice", "give it once");
    bytes += header.name.size() + header.value.size() + 4;  // ": " and the line's end
  }
  if (bytes > kBytesMax) return refuse("the headers take more than 8 KiB", "shorten them");
  return {};
}

}  // namespace postrider
