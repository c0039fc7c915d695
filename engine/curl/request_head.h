#pragma once
#include <cstddef>
#include <string>

#include "engine/core/header_lines.h"
#include "engine/core/url.h"

// A request from its first line to the empty one, as it leaves. What all requests to one URL share is written
// once, what all of an event share is copied; nothing is allocated once the buffer has grown.
namespace postrider {

class RequestHead {
 public:
  // Of all requests to that URL. Its path and query hold no blank and no control byte (core/url.h).
  void set_url(const Url& url);
  // Every header is judged here, whoever judged it before: a line break in one would be another header, or
  // another request. False: one may not be sent, and text() says nothing. `shared`: nullptr is none.
  bool build(const Headers& own, const HeaderLines* shared, std::size_t body_bytes);
  const std::string& text() const { return text_; }  // until the next build() or set_url()

 private:
  std::string text_;
  std::size_t first_lines_ = 0;  // so much of it is the URL's
};

}  // namespace postrider
