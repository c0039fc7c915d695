#include "engine/curl/request_head.h"

#include <curl/curl.h>

namespace postrider {

bool RequestHead::is_copied_whole() {
  static const unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
  return version >> 8 == 0x0758;  // 7.88
}

void RequestHead::set_url(const Url& url) {
  text_.assign(url.path).append(url.query).append(" HTTP/1.1\r\n");
  first_line_ = text_.size();
}

bool RequestHead::build(const Headers& own, const HeaderLines* shared) {
  if (shared == nullptr || !shared->may_be_sent() || shared->block().empty()) return false;
  text_.resize(first_line_);
  for (const Header& header : own) {
    if (!may_send(header)) return false;
    text_.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  text_.append(shared->block());
  return true;
}

}  // namespace postrider
