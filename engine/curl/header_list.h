#pragma once
#include <curl/curl.h>

#include <string>
#include <vector>

#include "engine/core/header_lines.h"

// The request's headers as libcurl wants them, where they do not go as one piece (request_head.h): a
// curl_slist whose nodes and text live in two buffers that are kept from request to request, so that a
// request allocates nothing here.
namespace postrider {

class HeaderList {
 public:
  // libcurl sends CR and LF in header values as they are, so every header is judged again here. False: one
  // may not be sent, and the list is empty. The list is valid until the next build(), and while `shared`
  // lives (nullptr: none).
  bool build(const Headers& own, const HeaderLines* shared);
  curl_slist* list() { return nodes_.empty() ? nullptr : nodes_.data(); }

 private:
  std::string text_;
  std::vector<curl_slist> nodes_;
};

}  // namespace postrider
