#include "engine/daemon/error_text.h"

#include <cstdio>
#include <string_view>

namespace postrider {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::string error_json(const Error& error) {
  return "{\"code\":" + quoted(error.code) + ",\"message\":" + quoted(error.message) +
         ",\"suggestion\":" + quoted(error.suggestion) +
         ",\"retryable\":" + (error.retryable() ? "true" : "false") + "}";
}

}  // namespace postrider
