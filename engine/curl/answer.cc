#include "engine/curl/answer.h"

#include <array>
#include <utility>

#include "engine/curl/header_list.h"

namespace postrider {

namespace {

// 1xx blocks before the final one. RFC 9110 §15.2 sets no limit; real servers send one or two.
constexpr std::size_t kInformationalMax = 16;
constexpr std::size_t kKeptHeadersMax = 24;
constexpr std::size_t kKeptValueBytesMax = 256;

constexpr std::array<std::string_view, 11> kKeptNames = {
    "retry-after",      "date",   "x-request-id",     "request-id",      "x-correlation-id",
    "correlation-id",   "cf-ray", "x-amzn-requestid", "x-amzn-trace-id", "x-github-request-id",
    "webhook-challenge"};

// `part` begins with an r.
bool contains_ignoring_case(std::string_view text, std::string_view part) {
  for (std::size_t at = 0; at + part.size() <= text.size(); ++at) {
    if ((text[at] | 0x20) == 'r' && equal_ignoring_case(text.substr(at, part.size()), part)) return true;
  }
  return false;
}

bool is_kept(std::string_view name) {
  // Every vendor prefixes it his own way: X-RateLimit-Reset, RateLimit, X-Acme-Rate-Limit-Remaining.
  if (contains_ignoring_case(name, "ratelimit") || contains_ignoring_case(name, "rate-limit")) return true;
  for (const std::string_view kept : kKeptNames) {
    if (equal_ignoring_case(name, kept)) return true;
  }
  return false;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// "HTTP/1.1 204 No Content" → 204; 0: no such line. libcurl has judged the version by now.
std::int32_t status_in(std::string_view line) {
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos || line.size() < blank + 4) return 0;
  std::int32_t status = 0;
  for (const char c : line.substr(blank + 1, 3)) {
    if (c < '0' || c > '9') return 0;
    status = status * 10 + (c - '0');
  }
  return status;
}

}  // namespace

void Answer::begin() {
  block_status_ = final_status_ = 0;
  header_bytes_ = body_bytes_ = informational_ = 0;
  fault_ = AttemptError::none;
  headers_.clear();
  snippet_.clear();
}

bool Answer::refuse(AttemptError why) {
  fault_ = why;
  return false;
}

bool Answer::take_header_line(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > limits_.header_bytes_max) {
    // Trailers count too, but a final status is not taken back for them.
    return refuse(final_status_ != 0 ? AttemptError::body_too_large : AttemptError::headers_too_large);
  }
  if (final_status_ != 0) return true;  // trailers: nothing in them is asked for
  if (line.substr(0, 5) == "HTTP/") return begin_block(line);
  if (trimmed(line).empty()) return end_block();
  keep_if_asked_for(line);
  return true;
}

bool Answer::begin_block(std::string_view status_line) {
  block_status_ = status_in(status_line);
  headers_.clear();  // an informational answer's headers are not the final one's
  // HTTP/2 was not negotiated: libcurl would take its status line here.
  const bool is_http1 = status_line.substr(0, 7) == "HTTP/1.";
  return (is_http1 && block_status_ >= 100) || refuse(AttemptError::malformed);
}

bool Answer::end_block() {
  if (block_status_ >= 200) {
    final_status_ = block_status_;
    return true;
  }
  // 101 would turn the connection into something we never asked for.
  if (block_status_ == 101) return refuse(AttemptError::malformed);
  return ++informational_ <= kInformationalMax || refuse(AttemptError::headers_too_large);
}

void Answer::keep_if_asked_for(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || headers_.size() >= kKeptHeadersMax) return;
  const auto name = line.substr(0, colon);
  if (!is_kept(name)) return;
  const auto value = trimmed(line.substr(colon + 1));
  if (value.size() <= kKeptValueBytesMax) headers_.push_back({std::string(name), std::string(value)});
}

bool Answer::take_body(std::string_view bytes) {
  if (snippet_.size() < kSnippetBytesMax) {
    snippet_.append(bytes.substr(0, kSnippetBytesMax - snippet_.size()));
  }
  body_bytes_ += bytes.size();
  return body_bytes_ <= limits_.body_bytes_max || refuse(AttemptError::body_too_large);
}

void Answer::give(Outcome& outcome) {
  outcome.status = final_status_;
  outcome.headers = std::exchange(headers_, {});
  outcome.snippet = std::exchange(snippet_, {});
}

}  // namespace postrider
