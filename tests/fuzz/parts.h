#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/event.h"

// How a target takes its input apart. Text where it can be, so that a dictionary and a mutation hit whole
// words.
namespace postrider::fuzz {

// Up to the next `end`, which is taken too; all that is left where there is none.
inline std::string_view take_until(std::string_view& rest, char end) {
  const auto at = rest.find(end);
  const auto taken = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return taken;
}

// The first byte as a choice of `of`.
inline unsigned take_choice(std::string_view& rest, unsigned of) {
  if (rest.empty()) return 0;
  const auto choice = static_cast<unsigned char>(rest.front());
  rest.remove_prefix(1);
  return choice % of;
}

// "name: value" lines up to an empty one.
inline Headers take_headers(std::string_view& rest) {
  Headers headers;
  while (!rest.empty()) {
    const auto line = take_until(rest, '\n');
    if (line.empty()) break;
    const auto colon = line.find(':');
    const auto value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    headers.push_back(
        {std::string(line.substr(0, colon)), std::string(value.substr(value.starts_with(' ') ? 1 : 0))});
  }
  return headers;
}

}  // namespace postrider::fuzz
