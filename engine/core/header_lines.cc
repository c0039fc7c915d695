#include "engine/core/header_lines.h"

#include <array>
#include <utility>

namespace postrider {

namespace {

constexpr std::array<std::string_view, 13> kOursAlone = {"host",
                                                         "content-length",
                                                         "transfer-encoding",
                                                         "connection",
                                                         "expect",
                                                         "upgrade",
                                                         "trailer",
                                                         "te",
                                                         "keep-alive",
                                                         "http2-settings",
                                                         "proxy-connection",
                                                         "proxy-authorization",
                                                         "proxy-authenticate"};

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

bool is_field_name(std::string_view name) {
  return !name.empty() && consists_of(name, kTokenBytes);
}

bool is_transports_name(std::string_view name) {
  for (const std::string_view ours : kOursAlone) {
    if (equal_ignoring_case(name, ours)) return true;
  }
  return false;
}

bool may_send(const Header& header) {
  return is_field_name(header.name) && consists_of(header.value, kValueBytes) &&
         !is_transports_name(header.name);
}

HeaderLines::HeaderLines(Headers headers) : headers_(std::move(headers)) {
  for (const Header& header : headers_) {
    may_be_sent_ = may_be_sent_ && may_send(header);
    block_.append(header.name).append(": ").append(header.value).append("\r\n");
  }
}

}  // namespace postrider
