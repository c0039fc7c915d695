#include "engine/curl/header_list.h"

#include <algorithm>
#include <array>

namespace postrider {

namespace {

constexpr std::array<std::string_view, 11> kOursAlone = {
    "host", "content-length", "transfer-encoding", "connection",      "expect", "upgrade", "trailer",
    "te",   "keep-alive",     "http2-settings",    "proxy-connection"};

// What libcurl would add by itself, taken out by a name without a value: no 100-continue round trip, and no
// form content type where the caller names none.
constexpr std::string_view kNoExpect = "Expect:";
constexpr std::string_view kNoContentType = "Content-Type:";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_token_byte(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_value_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

}  // namespace

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return left.size() == right.size() && std::equal(left.begin(), left.end(), right.begin(),
                                                   [](char a, char b) { return lower(a) == lower(b); });
}

bool may_send(const Header& header) {
  if (header.name.empty() || !std::all_of(header.name.begin(), header.name.end(), is_token_byte))
    return false;
  if (!std::all_of(header.value.begin(), header.value.end(), is_value_byte)) return false;
  return std::none_of(kOursAlone.begin(), kOursAlone.end(),
                      [&](std::string_view ours) { return equal_ignoring_case(header.name, ours); });
}

bool HeaderList::build(const Headers& headers) {
  nodes_.clear();
  std::size_t bytes = kNoExpect.size() + kNoContentType.size() + 2;
  bool has_content_type = false;
  for (const Header& header : headers) {
    if (!may_send(header)) return false;
    bytes += header.name.size() + header.value.size() + 3;
    has_content_type = has_content_type || equal_ignoring_case(header.name, "content-type");
  }
  // The nodes point into the text: it must not move while it is written.
  text_.clear();
  text_.reserve(bytes);
  nodes_.reserve(headers.size() + 2);
  const auto add = [this](std::string_view name, std::string_view value) {
    nodes_.push_back({text_.data() + text_.size(), nullptr});
    text_.append(name).append(value).push_back('\0');
  };
  for (const Header& header : headers) {
    nodes_.push_back({text_.data() + text_.size(), nullptr});
    // "Name;" is libcurl's spelling of a header with an empty value; "Name:" would take it out.
    text_.append(header.name).append(header.value.empty() ? ";" : ": ").append(header.value).push_back('\0');
  }
  add(kNoExpect, {});
  if (!has_content_type) add(kNoContentType, {});
  for (std::size_t i = 0; i + 1 < nodes_.size(); ++i) nodes_[i].next = &nodes_[i + 1];
  return true;
}

}  // namespace postrider
