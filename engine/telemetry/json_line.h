#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace postrider::telemetry {

// One log record as one line of strict JSON (RFC 8259), built into a buffer that is used again: no allocation
// once it has grown, since a line is written for every attempt. Bytes that are not UTF-8 become U+FFFD; a
// text over kTextBytesMax is cut and ends in "…". Keys are ours and plain. Not thread-safe.
class JsonLine {
 public:
  static constexpr std::size_t kTextBytesMax = 4096;

  JsonLine& begin();
  JsonLine& text(std::string_view key, std::string_view value);
  // Left out when empty.
  JsonLine& text_if(std::string_view key, std::string_view value) {
    return value.empty() ? *this : text(key, value);
  }
  JsonLine& number(std::string_view key, std::int64_t value);
  JsonLine& number(std::string_view key, double value);  // not finite: null
  JsonLine& boolean(std::string_view key, bool value);
  // RFC 3339, UTC, milliseconds. The date is computed once a second.
  JsonLine& time(std::string_view key, std::int64_t unix_ms);
  // The whole line, without a line feed; valid until the next begin().
  std::string_view end();

 private:
  void key(std::string_view name);
  void quoted(std::string_view value);

  std::string bytes_;
  std::int64_t cached_second_ = -1;
  std::string cached_date_;  // "2026-01-31T12:00:00"
};

}  // namespace postrider::telemetry
