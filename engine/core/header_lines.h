#pragma once
#include <string>
#include <string_view>

#include "engine/core/event.h"

// Headers of a request as the lines that go out, judged. Those that all requests of an event share are made
// into lines once.
namespace postrider {

bool is_field_name(std::string_view name);  // a token (RFC 9110 §5.6.2)
// With which the message itself is framed or routed: the transport's, whatever the case of its letters.
bool is_transports_name(std::string_view name);

// A token as name as above, a value without control bytes other than tab, and none of the names with
// which the message itself is framed or routed (Content-Length, Transfer-Encoding, Connection, Host, Expect,
// …): those are the transport's.
bool may_send(const Header& header);

inline char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}
// Inline: most names differ in length, and this runs for every header of every request and answer.
inline bool equal_ignoring_case(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (ascii_lower(left[i]) != ascii_lower(right[i])) return false;
  }
  return true;
}

// Immutable.
class HeaderLines {
 public:
  explicit HeaderLines(Headers headers);
  HeaderLines(const HeaderLines&) = delete;
  HeaderLines& operator=(const HeaderLines&) = delete;

  bool may_be_sent() const { return may_be_sent_; }  // each of them
  const Headers& headers() const { return headers_; }
  // All of them as they stand in a request, each with its line's end.
  const std::string& block() const { return block_; }

 private:
  Headers headers_;
  std::string block_;
  bool may_be_sent_ = true;
};

}  // namespace postrider
