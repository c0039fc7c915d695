#include "engine/api/http_parser.h"

#include <algorithm>
#include <charconv>

namespace postrider {
namespace {

bool is_token_char(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_field_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

bool is_target(std::string_view text) {
  return !text.empty() && text.front() == '/' && text.find('#') == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool lists_word(std::string_view list, std::string_view word) {
  while (true) {
    const auto comma = list.find(',');
    if (same_word(trimmed(list.substr(0, comma)), word)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

std::optional<std::uint64_t> number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::size_t RequestParser::feed(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && (state_ == State::head || state_ == State::body)) {
    const auto rest = bytes.substr(taken);
    taken += in_data_ ? feed_data(rest) : feed_line(rest);
  }
  return taken;
}

std::size_t RequestParser::feed_line(std::string_view bytes) {
  const auto newline = bytes.find('\n');
  const auto taken = newline == std::string_view::npos ? bytes.size() : newline + 1;
  head_bytes_ += taken;
  if (head_bytes_ > limits_.head_bytes) {
    fail(431, "HEADERS_TOO_LARGE",
         "the request's head is larger than " + std::to_string(limits_.head_bytes) + " bytes");
    return taken;
  }
  line_.append(bytes.substr(0, taken));
  if (newline == std::string_view::npos) return taken;
  if (line_.size() < 2 || line_[line_.size() - 2] != '\r') {
    fail(400, "INVALID_REQUEST", "a line does not end in CR LF");
    return taken;
  }
  const auto line = std::move(line_);
  line_.clear();
  on_line(std::string_view(line).substr(0, line.size() - 2));
  return taken;
}

std::size_t RequestParser::feed_data(std::string_view bytes) {
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), data_left_));
  if (request_.body.size() + taken > body_bytes_max_) {
    fail(413, "PAYLOAD_TOO_LARGE", "the body is larger than " + std::to_string(body_bytes_max_) + " bytes");
    return taken;
  }
  request_.body.append(bytes.substr(0, taken));
  data_left_ -= taken;
  if (data_left_ > 0) return taken;
  in_data_ = false;
  if (chunked_)
    expected_ = Line::chunk_end;
  else
    state_ = State::done;
  return taken;
}

void RequestParser::on_line(std::string_view line) {
  switch (expected_) {
    case Line::request:
      if (!line.empty()) return on_request_line(line);
      // RFC 9112 §2.2: an empty line before the request is skipped; the head's limit bounds how many.
      return;
    case Line::header:
      return line.empty() ? on_head_end() : on_header_line(line);
    case Line::chunk_size:
      return on_chunk_size(line);
    case Line::chunk_end:
      if (!line.empty()) return fail(400, "INVALID_REQUEST", "a chunk is longer than its size");
      expected_ = Line::chunk_size;
      return;
    case Line::trailer:
      if (line.empty()) state_ = State::done;  // trailers are dropped
      return;
  }
}

void RequestParser::on_request_line(std::string_view line) {
  const auto first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return fail(400, "INVALID_REQUEST", "the request line is malformed");
  const auto method = line.substr(0, first), target = line.substr(first + 1, last - first - 1),
             version = line.substr(last + 1);
  if (!is_token(method) || method.size() > 16 || !is_target(target))
    return fail(400, "INVALID_REQUEST", "the request line is malformed");
  if (version != "HTTP/1.1" && version != "HTTP/1.0")
    return fail(505, "INVALID_REQUEST", "only HTTP/1.1 is spoken here");
  http_1_0_ = version == "HTTP/1.0";
  keep_alive_ = !http_1_0_;
  request_.method = method;
  const auto question = target.find('?');
  request_.path = target.substr(0, question);
  if (question != std::string_view::npos) request_.query = target.substr(question + 1);
  expected_ = Line::header;
}

void RequestParser::on_header_line(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return fail(400, "INVALID_REQUEST", "a header's name is malformed");
  const auto name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
  if (!is_field_text(value))
    return fail(400, "INVALID_REQUEST", "a header's value holds a control character");
  if (request_.headers.size() >= limits_.headers)
    return fail(431, "HEADERS_TOO_LARGE",
                "there are more than " + std::to_string(limits_.headers) + " headers");
  if (judge_header(name, value)) request_.headers.push_back({std::string(name), std::string(value)});
}

// The headers that frame the message. False: the request was refused.
bool RequestParser::judge_header(std::string_view name, std::string_view value) {
  const auto refuse = [this](int status, const char* message) {
    fail(status, "INVALID_REQUEST", message);
    return false;
  };
  if (same_word(name, "content-length")) {
    const auto digits = std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
    const auto length = digits ? number(value, 10) : std::nullopt;
    if (!length || has_length_ || chunked_) return refuse(400, "Content-Length is malformed or not alone");
    has_length_ = true;
    announced_ = length;
  } else if (same_word(name, "transfer-encoding")) {
    if (has_length_ || chunked_ || http_1_0_) return refuse(400, "Transfer-Encoding is not alone");
    if (!same_word(value, "chunked")) return refuse(501, "the only transfer encoding is chunked");
    chunked_ = true;
  } else if (same_word(name, "host")) {
    if (has_host_) return refuse(400, "there are two Host headers");
    has_host_ = true;
  } else if (same_word(name, "connection")) {
    if (lists_word(value, "close")) keep_alive_ = false;
  } else if (same_word(name, "expect")) {
    if (!same_word(value, "100-continue")) return refuse(417, "the only expectation is 100-continue");
    expects_continue_ = !http_1_0_;
  }
  return true;
}

void RequestParser::on_head_end() {
  if (!has_host_ && !http_1_0_) return fail(400, "INVALID_REQUEST", "there is no Host header");
  if (!chunked_ && !announced_) announced_ = 0;
  state_ = State::head_done;
}

void RequestParser::begin_body(std::size_t body_bytes_max) {
  body_bytes_max_ = body_bytes_max;
  if (announced_ && *announced_ > body_bytes_max)
    return fail(413, "PAYLOAD_TOO_LARGE",
                "the body is larger than " + std::to_string(body_bytes_max) + " bytes");
  state_ = State::body;
  if (chunked_) {
    expected_ = Line::chunk_size;
    return;
  }
  data_left_ = *announced_;
  if (data_left_ == 0)
    state_ = State::done;
  else
    in_data_ = true;
  // Room at once: a body that grows would leave copies of what it holds behind.
  request_.body.reserve(static_cast<std::size_t>(data_left_));
}

void RequestParser::on_chunk_size(std::string_view line) {
  const auto size = number(line.substr(0, line.find(';')), 16);
  if (!size) return fail(400, "INVALID_REQUEST", "a chunk's size is malformed");
  // Each chunk's line has the head's limit anew; how many there may be is up to the server's deadline.
  if (*size > body_bytes_max_ - request_.body.size())
    return fail(413, "PAYLOAD_TOO_LARGE",
                "the body is larger than " + std::to_string(body_bytes_max_) + " bytes");
  head_bytes_ = 1;
  data_left_ = *size;
  if (*size == 0)
    expected_ = Line::trailer;
  else
    in_data_ = true;
}

ApiRequest RequestParser::take() {
  auto request = std::move(request_);
  *this = RequestParser(limits_);
  return request;
}

void RequestParser::fail(int status, std::string code, std::string message) {
  state_ = State::failed;
  keep_alive_ = false;
  failure_ = {status, std::move(code), std::move(message)};
}

}  // namespace postrider
