#include "engine/core/http_date.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace postrider {
namespace {

// The date as its writer spelled it, part by part.
struct Parts {
  std::string_view day, month, year, clock;
};

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (words.size() < 8) {
    const std::size_t start = text.find_first_not_of(" ,-");
    if (start == std::string_view::npos) break;
    text.remove_prefix(start);
    const std::size_t end = std::min(text.find_first_of(" ,-"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

std::optional<Parts> parts_of(const std::vector<std::string_view>& words) {
  if (words.size() == 6 && (words[5] == "GMT" || words[5] == "UTC")) {
    return Parts{.day = words[1], .month = words[2], .year = words[3], .clock = words[4]};
  }
  if (words.size() == 5)
    return Parts{.day = words[2], .month = words[1], .year = words[4], .clock = words[3]};
  return std::nullopt;
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "01" to "12"; empty: no month.
std::string month_number(std::string_view name) {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const std::size_t at = name.size() == 3 ? kMonths.find(name) : std::string_view::npos;
  if (at == std::string_view::npos || at % 3 != 0) return {};
  const std::string number = std::to_string(at / 3 + 1);
  return number.size() == 1 ? "0" + number : number;
}

std::optional<std::int64_t> read(const Parts& parts, std::string_view year) {
  const std::string month = month_number(parts.month);
  if (month.empty() || parts.day.empty() || parts.day.size() > 2 || !all_digits(parts.day))
    return std::nullopt;
  std::string text(year);
  text.append("-").append(month).append(parts.day.size() == 1 ? "-0" : "-").append(parts.day);
  return parse_rfc3339(text.append("T").append(parts.clock).append("Z"));
}

}  // namespace

std::optional<std::int64_t> parse_http_date(std::string_view text, WallTime now) {
  if (text.size() > 64) return std::nullopt;
  const auto parts = parts_of(words_of(text));
  if (!parts || parts->clock.size() != 8) return std::nullopt;
  if (parts->year.size() != 2 || !all_digits(parts->year)) return read(*parts, parts->year);
  // More than 50 years ahead is the last year that ended in these digits.
  const int this_year = std::stoi(rfc3339(to_ms(now)).substr(0, 4));
  int year = this_year / 100 * 100 + std::stoi(std::string(parts->year));
  if (year > this_year + 50) year -= 100;
  if (year < this_year - 49) year += 100;
  return read(*parts, std::to_string(year));
}

}  // namespace postrider
