#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "engine/core/http_date.h"
#include "engine/core/outcome.h"

// Rate limits in every spelling that receivers use (D4), read into one.
namespace postrider {
namespace {

// Reset values below are spans, from here on moments: no window lasts 31 years, and no clock of 1970 is
// right.
constexpr double kFirstEpochSeconds = 1e9;
constexpr double kFirstEpochMillis = 1e12;
constexpr double kMostMillis = 1e15;
// Nobody has more; a hostile header would.
constexpr std::size_t kWindowsMax = 32;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t") - start + 1);
}

// Digits, perhaps with a fraction. No sign, no exponent.
std::optional<double> read_number(std::string_view text) {
  if (text.empty() || text.size() > 24) return std::nullopt;
  double value = 0;
  double place = 0;  // of the next digit behind the dot; 0: before it
  bool digits = false;
  for (const char c : text) {
    if (c == '.' && place == 0 && digits) {
      place = 0.1;
    } else if (c < '0' || c > '9') {
      return std::nullopt;
    } else if (place == 0) {
      digits = true;
      value = value * 10 + (c - '0');
    } else {
      value += place * (c - '0');
      place /= 10;
    }
  }
  return digits ? std::optional(value) : std::nullopt;
}

// The whole number at the front: "100, 100;w=60" is 100.
std::optional<std::int64_t> read_count(std::string_view text) {
  text = trimmed(text);
  const auto number = read_number(trimmed(text.substr(0, text.find_first_of(",; "))));
  if (!number) return std::nullopt;
  return static_cast<std::int64_t>(std::min(*number, kMostMillis));
}

// Seconds, epoch seconds, epoch milliseconds or a date, as a span from `now`, never negative.
std::optional<Millis> read_moment(std::string_view text, WallTime now) {
  text = trimmed(text);
  std::optional<std::int64_t> at_ms;
  // A list of windows, such as "5, 60;w=60": the first one stands for all.
  const std::string_view first = trimmed(text.substr(0, text.find_first_of(",;")));
  if (const auto number = read_number(first)) {
    if (*number < kFirstEpochSeconds)
      return Millis(static_cast<std::int64_t>(std::ceil(*number * 1000 - 1e-6)));
    const double ms = *number < kFirstEpochMillis ? *number * 1000 : *number;
    at_ms = static_cast<std::int64_t>(std::min(ms, kMostMillis));
  } else if (at_ms = parse_http_date(text, now); !at_ms) {
    at_ms = parse_rfc3339(text);
  }
  if (!at_ms) return std::nullopt;
  return Millis(std::max<std::int64_t>(0, *at_ms - to_ms(now)));
}

std::int64_t seconds_up(Millis span) {
  return (span.count() + 999) / 1000;
}

// What one family of headers, or one item of a structured one, says.
struct Window {
  std::string family;
  std::optional<std::int64_t> limit, remaining;
  std::optional<Millis> reset;
};

bool is_tighter(const Window& left, const Window& right) {
  if (left.remaining != right.remaining) {
    return left.remaining && (!right.remaining || *left.remaining < *right.remaining);
  }
  return left.reset.value_or(Millis(-1)) > right.reset.value_or(Millis(-1));
}

// `"default";r=0;t=5` or, without a name, `limit=100`: names, values, separators.
void read_parameter(std::string_view text, WallTime now, Window& window) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return;
  const std::string name = lower(trimmed(text.substr(0, equals)));
  const std::string_view value = trimmed(text.substr(equals + 1));
  if (name == "limit" || name == "q") window.limit = read_count(value);
  if (name == "remaining" || name == "r") window.remaining = read_count(value);
  if (name == "reset" || name == "t") window.reset = read_moment(value, now);
}

// Splits at `separator` where it does not stand in quotes.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  bool quoted = false;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '"') quoted = !quoted;
    if (i < text.size() && (quoted || text[i] != separator)) continue;
    parts.push_back(trimmed(text.substr(start, i - start)));
    start = i + 1;
  }
  return parts;
}

// RateLimit, in both shapes its drafts gave it: a dictionary ("limit=100, remaining=0, reset=5", to -07),
// where all members are one window; and a list (`"burst";r=5;t=1, "daily";r=0;t=3600`, from -08), one window
// an item.
void read_structured(std::string_view value, WallTime now, std::vector<Window>& windows) {
  Window dictionary{.family = "ratelimit", .limit = {}, .remaining = {}, .reset = {}};
  for (const std::string_view member : split(value, ',')) {
    const auto parameters = split(member, ';');
    if (parameters.front().find('=') != std::string_view::npos) {
      read_parameter(parameters.front(), now, dictionary);
      continue;
    }
    if (windows.size() >= kWindowsMax) return;
    Window item{.family = "ratelimit", .limit = {}, .remaining = {}, .reset = {}};
    for (const std::string_view parameter : parameters) read_parameter(parameter, now, item);
    windows.push_back(std::move(item));
  }
  windows.push_back(std::move(dictionary));
}

// RateLimit-Policy: `"default";q=100;w=60`, before -08 `100;w=60`. The first policy's limit.
std::optional<std::int64_t> read_policy(std::string_view value, WallTime now) {
  Window window{.family = {}, .limit = read_count(value), .remaining = {}, .reset = {}};
  for (const std::string_view parameter : split(split(value, ',').front(), ';')) {
    read_parameter(parameter, now, window);
  }
  return window.limit;
}

enum class Field { limit, remaining, reset };
struct Spelling {
  std::string_view ending;
  Field field;
};
constexpr std::array kSpellings{
    Spelling{"ratelimit-limit", Field::limit},  Spelling{"ratelimit-remaining", Field::remaining},
    Spelling{"ratelimit-reset", Field::reset},  Spelling{"ratelimit-reset-after", Field::reset},
    Spelling{"rate-limit-limit", Field::limit}, Spelling{"rate-limit-remaining", Field::remaining},
    Spelling{"rate-limit-reset", Field::reset}, Spelling{"rate-limit-reset-after", Field::reset},
};

Window& window_of(std::vector<Window>& windows, std::string family) {
  const auto found = std::find_if(windows.begin(), windows.end(),
                                  [&](const Window& window) { return window.family == family; });
  if (found != windows.end()) return *found;
  windows.push_back({.family = std::move(family), .limit = {}, .remaining = {}, .reset = {}});
  return windows.back();
}

// RateLimit-*, X-RateLimit-*, X-Rate-Limit-*, Vendor-RateLimit-*: what shares a prefix is one window.
void read_family(const std::string& name, std::string_view value, WallTime now,
                 std::vector<Window>& windows) {
  for (const Spelling& spelling : kSpellings) {
    if (!name.ends_with(spelling.ending)) continue;
    const std::string prefix = name.substr(0, name.size() - spelling.ending.size());
    if (!prefix.empty() && prefix.back() != '-') continue;
    if (windows.size() >= kWindowsMax) return;
    Window& window = window_of(windows, prefix + "*");
    if (spelling.field == Field::limit && !window.limit) window.limit = read_count(value);
    if (spelling.field == Field::remaining && !window.remaining) window.remaining = read_count(value);
    if (spelling.field == Field::reset && !window.reset) window.reset = read_moment(value, now);
    return;
  }
}

}  // namespace

RateLimit read_rate_limit(const Headers& headers, WallTime now) {
  RateLimit result;
  std::vector<Window> windows;
  std::optional<std::int64_t> policy;
  for (const Header& header : headers) {
    const std::string name = lower(header.name);
    if (name == "retry-after" && !result.retry_after) result.retry_after = read_moment(header.value, now);
    if (name == "ratelimit") read_structured(header.value, now, windows);
    if (name == "ratelimit-policy") policy = read_policy(header.value, now);
    read_family(name, header.value, now, windows);
  }
  // Several windows: the one that will stop us first.
  const auto tightest = std::min_element(windows.begin(), windows.end(), is_tighter);
  result.limit = policy;
  if (tightest == windows.end()) return result;
  if (tightest->limit) result.limit = tightest->limit;
  result.remaining = tightest->remaining;
  if (tightest->reset) result.reset_seconds = seconds_up(*tightest->reset);
  return result;
}

}  // namespace postrider
