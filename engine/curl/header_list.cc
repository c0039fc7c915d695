#include "engine/curl/header_list.h"

#include <array>
#include <cstring>

namespace postrider {

namespace {

constexpr std::array<std::string_view, 11> kOursAlone = {
    "host", "content-length", "transfer-encoding", "connection",      "expect", "upgrade", "trailer",
    "te",   "keep-alive",     "http2-settings",    "proxy-connection"};

// What libcurl would add by itself, taken out by a name without a value: no 100-continue round trip, and no
// form content type where the caller names none.
constexpr std::string_view kNoExpect = "Expect:";
constexpr std::string_view kNoContentType = "Content-Type:";

constexpr bool is_token_byte(unsigned char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
}

constexpr bool is_value_byte(unsigned char c) {
  return c == '\t' || (c >= 0x20 && c != 0x7f);
}

// Looked up, not computed: these two run over every byte of every request's headers.
template <bool (*holds)(unsigned char)>
constexpr std::array<bool, 256> table() {
  std::array<bool, 256> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = holds(static_cast<unsigned char>(i));
  return bytes;
}
constexpr auto kTokenBytes = table<is_token_byte>();
constexpr auto kValueBytes = table<is_value_byte>();

bool consists_of(std::string_view text, const std::array<bool, 256>& bytes) {
  for (const char c : text) {
    if (!bytes[static_cast<unsigned char>(c)]) return false;
  }
  return true;
}

}  // namespace

bool may_send(const Header& header) {
  if (header.name.empty() || !consists_of(header.name, kTokenBytes)) return false;
  if (!consists_of(header.value, kValueBytes)) return false;
  for (const std::string_view ours : kOursAlone) {
    if (equal_ignoring_case(header.name, ours)) return false;
  }
  return true;
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
  if (text_.size() < bytes) text_.resize(bytes);  // before the nodes point into it
  char* at = text_.data();
  const auto put = [&at](std::string_view part) {
    std::memcpy(at, part.data(), part.size());
    at += part.size();
  };
  for (const Header& header : headers) {
    nodes_.push_back({at, nullptr});
    put(header.name);
    // "Name;" is libcurl's spelling of a header with an empty value; "Name:" would take it out.
    put(header.value.empty() ? std::string_view(";") : std::string_view(": "));
    put(header.value);
    *at++ = '\0';
  }
  for (const std::string_view removed : {kNoExpect, has_content_type ? std::string_view() : kNoContentType}) {
    if (removed.empty()) continue;
    nodes_.push_back({at, nullptr});
    put(removed);
    *at++ = '\0';
  }
  for (std::size_t i = 0; i + 1 < nodes_.size(); ++i) nodes_[i].next = &nodes_[i + 1];
  return true;
}

}  // namespace postrider
