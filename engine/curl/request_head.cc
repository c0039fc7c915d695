#include "engine/curl/request_head.h"

#include <charconv>

namespace postrider {

namespace {

void append_host(std::string& out, const Url& url) {
  if (url.host_is_ipv6) {
    out.append(1, '[').append(url.host).append(1, ']');
  } else {
    out.append(url.host);
  }
  const bool usual = url.port == (url.scheme == "https" ? 443 : 80);
  if (!usual) out.append(1, ':').append(std::to_string(url.port));
}

}  // namespace

void RequestHead::set_url(const Url& url) {
  text_.assign("POST ").append(url.path).append(url.query).append(" HTTP/1.1\r\nHost: ");
  append_host(text_, url);
  text_.append("\r\nAccept: */*\r\n");
  first_lines_ = text_.size();
}

bool RequestHead::build(const Headers& own, const HeaderLines* shared, std::size_t body_bytes) {
  text_.resize(first_lines_);
  if (shared != nullptr && !shared->may_be_sent()) return false;
  for (const Header& header : own) {
    if (!may_send(header)) {
      text_.resize(first_lines_);
      return false;
    }
    text_.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  if (shared != nullptr) text_.append(shared->block());
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof(digits), body_bytes).ptr;
  text_.append("Content-Length: ").append(digits, end).append("\r\n\r\n");
  return true;
}

}  // namespace postrider
