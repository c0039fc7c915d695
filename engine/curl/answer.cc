#include "engine/curl/answer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/core/header_lines.h"

namespace postrider {

namespace {

// 1xx blocks before the final one. RFC 9110 §15.2 sets no limit; real servers send one or two.
constexpr std::size_t kInformationalMax = 16;
constexpr std::size_t kKeptHeadersMax = 24;
constexpr std::size_t kKeptValueBytesMax = 256;
constexpr std::size_t kBlanksBehindMax = 64;  // that a value may have and is kept without
constexpr std::size_t kNameBytesMax = 128;    // a longer one is none that is kept

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

// Up to one byte more, which tells that it is too long.
void append_within(std::string& text, std::string_view more, std::size_t most) {
  text.append(more.substr(0, most + 1 - std::min(text.size(), most + 1)));
}

bool is_kept(std::string_view name) {
  if (name.size() > kNameBytesMax) return false;
  // Every vendor prefixes it his own way: X-RateLimit-Reset, RateLimit, X-Acme-Rate-Limit-Remaining.
  if (contains_ignoring_case(name, "ratelimit") || contains_ignoring_case(name, "rate-limit")) return true;
  for (const std::string_view kept : kKeptNames) {
    if (equal_ignoring_case(name, kept)) return true;
  }
  return false;
}

}  // namespace

// --- what the parser tells ---------------------------------------------------------------------------------

struct Answer::Callbacks {
  static Answer& self(http_parser* parser) { return *static_cast<Answer*>(parser->data); }

  static int message_begin(http_parser* parser) {
    Answer& answer = self(parser);
    if (answer.complete_) answer.junk_ = true;  // a second answer, to no request
    return answer.complete_ ? -1 : 0;
  }
  static int field(http_parser* parser, const char* at, std::size_t length) {
    Answer& answer = self(parser);
    if (std::exchange(answer.in_value_, false) && answer.header_line() != 0) return -1;
    answer.line_bytes_ += length;
    append_within(answer.name_, {at, length}, kNameBytesMax);
    return 0;
  }
  static int value(http_parser* parser, const char* at, std::size_t length) {
    Answer& answer = self(parser);
    answer.in_value_ = true;
    answer.line_bytes_ += length;
    append_within(answer.value_, {at, length}, kKeptValueBytesMax + kBlanksBehindMax);
    return 0;
  }
  static int headers_complete(http_parser* parser) { return self(parser).headers_end(); }
  static int body(http_parser* parser, const char* at, std::size_t length) {
    return self(parser).body({at, length});
  }
  static int message_complete(http_parser* parser) { return self(parser).message_end(); }

  static http_parser_settings all() {
    http_parser_settings settings;
    http_parser_settings_init(&settings);
    settings.on_message_begin = &message_begin;
    settings.on_header_field = &field;
    settings.on_header_value = &value;
    settings.on_headers_complete = &headers_complete;
    settings.on_body = &body;
    settings.on_message_complete = &message_complete;
    return settings;
  }
};

int Answer::refuse(AttemptError why) {
  fault_ = why;
  return -1;  // 1 would mean something else to the parser where headers end
}

int Answer::header_line() {
  if (is_trailer()) {
    // A final status is not taken back for them, and nothing in them is asked for.
    trailer_bytes_ += line_bytes_;
    if (trailer_bytes_ > limits_.header_bytes_max) return refuse(AttemptError::body_too_large);
  } else if (headers_.size() < kKeptHeadersMax && is_kept(name_) &&
             value_.size() <= kKeptValueBytesMax + kBlanksBehindMax) {
    while (!value_.empty() && (value_.back() == ' ' || value_.back() == '\t')) value_.pop_back();
    if (value_.size() <= kKeptValueBytesMax) headers_.push_back({name_, value_});
  }
  name_.clear();
  value_.clear();
  line_bytes_ = 0;
  return 0;
}

int Answer::headers_end() {
  if (std::exchange(in_value_, false) && header_line() != 0) return -1;
  const auto status = static_cast<std::int32_t>(parser_.status_code);
  // HTTP/2 was not negotiated; 101 would turn the connection into something that we never asked for.
  if (parser_.http_major != 1 || status < 100 || status == 101) return refuse(AttemptError::malformed);
  if (status >= 200) {
    final_status_ = status;
    return 0;
  }
  headers_.clear();  // an informational answer's headers are not the final one's
  return ++informational_ <= kInformationalMax ? 0 : refuse(AttemptError::headers_too_large);
}

int Answer::body(std::string_view bytes) {
  if (snippet_.size() < kSnippetBytesMax) {
    snippet_.append(bytes.substr(0, kSnippetBytesMax - snippet_.size()));
  }
  body_bytes_ += bytes.size();
  return body_bytes_ <= limits_.body_bytes_max ? 0 : refuse(AttemptError::body_too_large);
}

int Answer::message_end() {
  if (final_status_ == 0) return 0;  // of an informational one
  if (std::exchange(in_value_, false) && header_line() != 0) return -1;
  complete_ = true;
  keeps_connection_ = http_should_keep_alive(&parser_) != 0;
  return 0;
}

// --- what it is given
// ----------------------------------------------------------------------------------------

void Answer::begin() {
  http_parser_init(&parser_, HTTP_RESPONSE);
  parser_.data = this;
  // A length beside chunks is wrong, but not in doubt: the chunks count (RFC 9112 §6.3).
  parser_.allow_chunked_length = 1;
  final_status_ = 0;
  wire_bytes_ = trailer_bytes_ = body_bytes_ = informational_ = 0;
  line_bytes_ = 0;
  complete_ = keeps_connection_ = junk_ = in_value_ = false;
  fault_ = AttemptError::none;
  name_.clear();
  value_.clear();
  headers_.clear();
  snippet_.clear();
}

bool Answer::take(std::string_view bytes) {
  static const http_parser_settings kSettings = Callbacks::all();
  if (fault_ != AttemptError::none) return false;
  wire_bytes_ += bytes.size();
  http_parser_execute(&parser_, &kSettings, bytes.data(), bytes.size());
  const http_errno wrong = HTTP_PARSER_ERRNO(&parser_);
  if (complete_) {
    junk_ = junk_ || wrong != HPE_OK;
    return false;
  }
  if (fault_ != AttemptError::none) return false;
  const bool too_long =
      wrong == HPE_HEADER_OVERFLOW || (wrong == HPE_OK && wire_bytes_ > limits_.header_bytes_max);
  if (final_status_ == 0 && too_long) {
    refuse(AttemptError::headers_too_large);
  } else if (wrong != HPE_OK || wire_bytes_ > limits_.wire_bytes_max) {
    refuse(AttemptError::malformed);
  }
  return fault_ == AttemptError::none;
}

void Answer::end_of_stream() {
  take({});
}

void Answer::give(Outcome& outcome) {
  outcome.status = final_status_;
  if (final_status_ == 0) headers_.clear();  // half a block says nothing
  outcome.headers = std::exchange(headers_, {});
  outcome.snippet = std::exchange(snippet_, {});
}

}  // namespace postrider
