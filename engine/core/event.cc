#include "engine/core/event.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace postrider {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

// The code point at the front of `text`, taken off it; nullopt when it is no well-formed UTF-8 (overlong
// forms, surrogates and values above U+10FFFF included).
std::optional<std::uint32_t> take_code_point(std::string_view& text) {
  const auto byte_at = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t first = byte_at(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return std::nullopt;
  std::uint32_t point = length == 1 ? first : first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(i) & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (byte_at(i) & 0x3f);
  }
  constexpr std::array<std::uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  if (point < kLeast[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return std::nullopt;
  text.remove_prefix(length);
  return point;
}

// CloudEvents 1.0, type system, String: no control characters, no noncharacters, well-formed Unicode. Control
// characters would besides be able to end a header line.
bool is_attribute_text(std::string_view text) {
  if (text.size() > kAttributeBytesMax) return false;
  while (!text.empty()) {
    const auto point = take_code_point(text);
    if (!point || *point < 0x20 || (*point >= 0x7f && *point < 0xa0)) return false;
    if ((*point & 0xfffe) == 0xfffe || (*point >= 0xfdd0 && *point <= 0xfdef)) return false;
  }
  return true;
}

// It becomes a Content-Type line as it is, not percent-encoded as other attributes are.
bool is_header_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_extension_name(std::string_view name) {
  constexpr std::array<std::string_view, 13> kTaken{
      "id",   "source", "type",        "subject", "time",      "datacontenttype", "dataschema",
      "data", "tenant", "environment", "target",  "replayjob", "specversion"};
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  }) && std::find(kTaken.begin(), kTaken.end(), name) == kTaken.end();
}

bool has_good_extensions(const Event& event) {
  if (event.extensions.size() > kExtensionsMax) return false;
  std::vector<std::string_view> names;
  for (const auto& [name, value] : event.extensions) {
    if (!is_extension_name(name) || !is_attribute_text(value)) return false;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) == names.end();
}

bool has_good_attributes(const Event& event) {
  if (event.id.empty() || event.source.empty() || event.type.empty()) return false;
  for (const std::string* text : {&event.id, &event.source, &event.type, &event.subject,
                                  &event.datacontenttype, &event.dataschema, &event.replay_job.str()}) {
    if (!is_attribute_text(*text)) return false;
  }
  if (!event.time.empty() && !parse_rfc3339(event.time)) return false;
  return is_header_text(event.datacontenttype) && has_good_extensions(event);
}

}  // namespace

const std::string* find_header(const Headers& headers, std::string_view name) {
  const auto found = std::find_if(headers.begin(), headers.end(), [&](const Header& header) {
    return same_ignoring_case(header.name, name);
  });
  return found == headers.end() ? nullptr : &found->value;
}

std::string_view reason_of(BadEvent bad) {
  switch (bad) {
    case BadEvent::undecodable:
      return "undecodable";
    case BadEvent::oversize:
      return "oversize";
    case BadEvent::no_tenant:
      return "no_tenant";
    case BadEvent::bad_tenant:
      return "bad_tenant";
    case BadEvent::foreign_environment:
      return "foreign_environment";
    case BadEvent::bad_attribute:
      return "bad_attribute";
  }
  return "undecodable";
}

std::optional<BadEvent> check(const Event& event, const Environment& ours) {
  if (event.tenant.empty()) return BadEvent::no_tenant;
  if (!is_tenant_or_endpoint_id(event.tenant.str())) return BadEvent::bad_tenant;
  if (!event.environment.empty() && event.environment != ours.str()) return BadEvent::foreign_environment;
  if (event.data.size() > kEventDataBytesMax) return BadEvent::oversize;
  if (!has_good_attributes(event)) return BadEvent::bad_attribute;
  return std::nullopt;
}

}  // namespace postrider
