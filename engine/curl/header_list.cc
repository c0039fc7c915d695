#include "engine/curl/header_list.h"

#include <cstring>

namespace postrider {

namespace {

// What libcurl would add by itself, taken out by a name without a value: no 100-continue round trip, and no
// form content type where the caller names none.
constexpr std::string_view kNoExpect = "Expect:";
constexpr std::string_view kNoContentType = "Content-Type:";

}  // namespace

bool HeaderList::build(const Headers& own, const HeaderLines* shared) {
  nodes_.clear();
  if (shared != nullptr && !shared->may_be_sent()) return false;
  std::size_t bytes = kNoExpect.size() + kNoContentType.size() + 2;
  bool has_content_type = shared != nullptr && shared->has_content_type();
  for (const Header& header : own) {
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
  for (const Header& header : own) {
    nodes_.push_back({at, nullptr});
    put(header.name);
    // "Name;" is libcurl's spelling of a header with an empty value; "Name:" would take it out.
    put(header.value.empty() ? std::string_view(";") : std::string_view(": "));
    put(header.value);
    *at++ = '\0';
  }
  if (shared != nullptr) {
    // libcurl only reads the list it was given.
    for (const char* line : shared->lines()) nodes_.push_back({const_cast<char*>(line), nullptr});
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
