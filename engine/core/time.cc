#include "engine/core/time.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <utility>

namespace postrider {
namespace {

constexpr std::int64_t kSecond = 1000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;

// Largest first: format_duration takes the first that divides.
constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> kUnits{
    {{"d", kDay}, {"h", kHour}, {"m", kMinute}, {"s", kSecond}, {"ms", 1}}};

// Takes characters off the front of a text; once something is missing, it stays failed.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  int digits(std::size_t count) {
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!next_is_digit()) {
        failed_ = true;
        return 0;
      }
      value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    return value;
  }
  bool next_is_digit() const { return !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; }
  // One character out of `choices`; '\0' and failed when it is another.
  char one_of(std::string_view choices) {
    if (rest_.empty() || choices.find(rest_.front()) == std::string_view::npos) {
      failed_ = true;
      return '\0';
    }
    const char taken = rest_.front();
    rest_.remove_prefix(1);
    return taken;
  }
  bool accept(char wanted) {
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool done() const { return !failed_ && rest_.empty(); }
  bool failed() const { return failed_; }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

// ".123456789" cut to milliseconds; 0 when there is no fraction. nullopt: a dot without 1–9 digits.
std::optional<int> read_fraction_ms(Reader& reader) {
  if (!reader.accept('.')) return 0;
  int ms = 0;
  int count = 0;
  for (; reader.next_is_digit(); ++count) {
    const int digit = reader.digits(1);
    if (count < 3) ms = ms * 10 + digit;
  }
  if (count < 1 || count > 9) return std::nullopt;
  for (int i = count; i < 3; ++i) ms *= 10;
  return ms;
}

// "Z" or "+01:30", in milliseconds east of Greenwich.
std::optional<std::int64_t> read_offset_ms(Reader& reader) {
  const char sign = reader.one_of("Zz+-");
  if (sign == 'Z' || sign == 'z') return 0;
  const int hours = reader.digits(2);
  reader.one_of(":");
  const int minutes = reader.digits(2);
  if (reader.failed() || hours > 23 || minutes > 59) return std::nullopt;
  const std::int64_t span = hours * kHour + minutes * kMinute;
  return sign == '-' ? -span : span;
}

}  // namespace

std::string rfc3339(std::int64_t unix_ms) {
  using std::chrono::sys_days;
  using std::chrono::sys_time;
  // Four digits of year are all the format has: 0000-01-01 to 9999-12-31.
  constexpr std::int64_t kFirst = -62'167'219'200'000;
  constexpr std::int64_t kLast = 253'402'300'799'999;
  const sys_time<Millis> time{Millis(std::clamp(unix_ms, kFirst, kLast))};
  const sys_days day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::int64_t within = (time - day).count();
  std::array<char, 64> text{};
  const int length = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(within / kHour), static_cast<int>(within / kMinute % 60),
      static_cast<int>(within / kSecond % 60), static_cast<int>(within % kSecond));
  return {text.data(), static_cast<std::size_t>(length)};
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  Reader reader(text);
  const int year = reader.digits(4);
  reader.one_of("-");
  const int month = reader.digits(2);
  reader.one_of("-");
  const int day = reader.digits(2);
  reader.one_of("Tt");
  const int hour = reader.digits(2);
  reader.one_of(":");
  const int minute = reader.digits(2);
  reader.one_of(":");
  const int second = reader.digits(2);
  if (reader.failed()) return std::nullopt;
  const auto fraction = read_fraction_ms(reader);
  if (!fraction) return std::nullopt;
  const auto offset = read_offset_ms(reader);
  if (!offset || !reader.done()) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  // Second 60 is a leap second: it counts as the next minute's first, as POSIX time has it.
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * kDay + hour * kHour + minute * kMinute + second * kSecond + *fraction - *offset;
}

std::optional<Millis> parse_duration(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0 || digits == text.size()) return std::nullopt;
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                 [&](const auto& known) { return known.first == text.substr(digits); });
  if (unit == kUnits.end()) return std::nullopt;
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / unit->second;
  std::int64_t number = 0;
  for (const char c : text.substr(0, digits)) {
    const std::int64_t digit = c - '0';
    if (number > (most - digit) / 10) return std::nullopt;
    number = number * 10 + digit;
  }
  return Millis(number * unit->second);
}

std::string format_duration(Millis span) {
  if (span.count() == 0) return "0s";
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                 [&](const auto& known) { return span.count() % known.second == 0; });
  return std::to_string(span.count() / unit->second).append(unit->first);
}

}  // namespace postrider
