#include "engine/telemetry/json_line.h"

#include <array>
#include <charconv>
#include <cmath>

#include "engine/core/time.h"

namespace postrider::telemetry {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view kCut = "\xe2\x80\xa6";          // "…"

bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

bool continues(std::string_view rest, std::size_t at) {
  return at < rest.size() && (static_cast<unsigned char>(rest[at]) & 0xc0) == 0x80;
}

// Bytes of the UTF-8 sequence that `rest` begins with (RFC 3629); 0: it begins with none. No overlong forms,
// no surrogates, nothing above U+10FFFF.
std::size_t sequence_length(std::string_view rest) {
  const auto first = static_cast<unsigned char>(rest[0]);
  const auto second = static_cast<unsigned char>(rest.size() > 1 ? rest[1] : 0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(rest, 1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(rest, 1) || !continues(rest, 2)) return 0;
    if (first == 0xe0 && second < 0xa0) return 0;
    if (first == 0xed && second > 0x9f) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(rest, 1) || !continues(rest, 2) || !continues(rest, 3)) return 0;
    if (first == 0xf0 && second < 0x90) return 0;
    if (first == 0xf4 && second > 0x8f) return 0;
    return 4;
  }
  return 0;
}

void append_escaped(std::string& out, unsigned char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"':
      out.append("\\\"");
      return;
    case '\\':
      out.append("\\\\");
      return;
    case '\n':
      out.append("\\n");
      return;
    case '\r':
      out.append("\\r");
      return;
    case '\t':
      out.append("\\t");
      return;
    default:
      out.append("\\u00").append(1, kHex[c >> 4]).append(1, kHex[c & 15]);
  }
}

}  // namespace

JsonLine& JsonLine::begin() {
  bytes_.clear();
  bytes_.push_back('{');
  return *this;
}

void JsonLine::key(std::string_view name) {
  if (bytes_.size() > 1) bytes_.push_back(',');
  bytes_.push_back('"');
  bytes_.append(name).append("\":");
}

void JsonLine::quoted(std::string_view value) {
  const bool too_long = value.size() > kTextBytesMax;
  if (too_long) value = value.substr(0, kTextBytesMax);
  bytes_.push_back('"');
  while (!value.empty()) {
    std::size_t plain = 0;
    while (plain < value.size() && is_plain(static_cast<unsigned char>(value[plain]))) ++plain;
    bytes_.append(value.substr(0, plain));
    value.remove_prefix(plain);
    if (value.empty()) break;
    const auto c = static_cast<unsigned char>(value.front());
    const std::size_t length = sequence_length(value);
    if (length > 1) {
      bytes_.append(value.substr(0, length));
    } else if (length == 0) {
      bytes_.append(kReplacement);
    } else {
      append_escaped(bytes_, c);
    }
    value.remove_prefix(length == 0 ? 1 : length);
  }
  if (too_long) bytes_.append(kCut);
  bytes_.push_back('"');
}

JsonLine& JsonLine::text(std::string_view name, std::string_view value) {
  key(name);
  quoted(value);
  return *this;
}

JsonLine& JsonLine::number(std::string_view name, std::int64_t value) {
  key(name);
  std::array<char, 24> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  bytes_.append(digits.data(), written.ptr);
  return *this;
}

JsonLine& JsonLine::number(std::string_view name, double value) {
  key(name);
  if (!std::isfinite(value)) {
    bytes_.append("null");
    return *this;
  }
  std::array<char, 32> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  bytes_.append(digits.data(), written.ptr);
  return *this;
}

JsonLine& JsonLine::boolean(std::string_view name, bool value) {
  key(name);
  bytes_.append(value ? "true" : "false");
  return *this;
}

JsonLine& JsonLine::time(std::string_view name, std::int64_t unix_ms) {
  std::int64_t second = unix_ms / 1000;
  std::int64_t rest = unix_ms % 1000;
  if (rest < 0) {
    rest += 1000;
    --second;
  }
  if (second != cached_second_ || cached_date_.empty()) {
    cached_date_ = rfc3339(second * 1000).substr(0, 19);
    cached_second_ = second;
  }
  key(name);
  bytes_.push_back('"');
  bytes_.append(cached_date_).push_back('.');
  bytes_.push_back(static_cast<char>('0' + rest / 100));
  bytes_.push_back(static_cast<char>('0' + rest / 10 % 10));
  bytes_.push_back(static_cast<char>('0' + rest % 10));
  bytes_.append("Z\"");
  return *this;
}

std::string_view JsonLine::end() {
  bytes_.push_back('}');
  return bytes_;
}

}  // namespace postrider::telemetry
