#pragma once
#include <curl/curl.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/event.h"

// The request's headers as libcurl wants them: a curl_slist whose nodes and text live in two buffers that are
// kept from request to request, so that a request allocates nothing here.
namespace postrider {

// libcurl sends CR and LF in header values as they are, so every header is judged again here: a token as name
// (RFC 9110 §5.6.2), a value without control bytes other than tab, and none of the names with which the
// message itself is framed or routed (Content-Length, Transfer-Encoding, Connection, Host, Expect, …): those
// are ours.
bool may_send(const Header& header);

class HeaderList {
 public:
  // False: a header may not be sent, and the list is empty. The list is valid until the next build().
  bool build(const Headers& headers);
  curl_slist* list() { return nodes_.empty() ? nullptr : nodes_.data(); }

 private:
  std::string text_;
  std::vector<curl_slist> nodes_;
};

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

}  // namespace postrider
