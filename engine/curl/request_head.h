#pragma once
#include <string>

#include "engine/core/header_lines.h"
#include "engine/core/url.h"

// A request's target and headers in one piece, for CURLOPT_REQUEST_TARGET. libcurl prints the headers of a
// list a character at a time, some 3 µs a request, but copies a target as it stands: so the target, the
// version and the headers are handed over as that, and what libcurl writes behind it, " HTTP/1.1", becomes
// the end of the last header, User-Agent: a second product, as RFC 9110 §10.1.5 allows.
namespace postrider {

class RequestHead {
 public:
  // Whether the libcurl that runs is one that is known to copy it: 7.88. tests/curl reads what arrives.
  static bool is_copied_whole();

  // Of all requests to that URL. Its path and query hold no blank and no control byte (core/url.h).
  void set_url(const Url& url);
  // False: a header may not be sent, or there is no User-Agent to end with; then text() says nothing. Every
  // header is judged here, as in HeaderList. Nothing is allocated once the buffer has grown.
  bool build(const Headers& own, const HeaderLines* shared);
  const std::string& text() const { return text_; }  // until the next build() or set_url()

 private:
  std::string text_;
  std::size_t first_line_ = 0;  // so much of it is the URL's
};

}  // namespace postrider
