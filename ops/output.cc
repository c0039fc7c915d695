#include "ops/output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/core/time.h"

namespace postrider::ops {
namespace {

constexpr int kRetryAfterSeconds = 5;
constexpr std::size_t kWordBytesMax = 64, kNamedMax = 3;

std::string text_of(const nlohmann::ordered_json& object) {
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void print(std::FILE* to, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), to);
  std::fflush(to);
}

// Levenshtein's: how many letters are put in, taken out or changed.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, diagonal + 1, changed});
    }
  }
  return row.back();
}

}  // namespace

int exit_code_of(const Error& error) {
  static constexpr std::array<std::string_view, 9> kWrong = {
      "WRONG_USE",          "INVALID_CONFIGURATION", "INVALID_ENDPOINTS_FILE", "SECRET_IN_FILE",
      "SECRET_MISSING",     "KEY_FILE_MISSING",      "KEY_FILE_PERMISSIONS",   "KEY_FILE_INVALID",
      "KEY_FILE_UNREADABLE"};
  if (std::find(kWrong.begin(), kWrong.end(), error.code) != kWrong.end()) return kWrongUse;
  if (error.code == "BEYOND_RETENTION") return kBeyondRetention;
  const bool here = error.code == "STOPPED" || error.code == "NO_ROOM";
  return error.errc == Errc::unavailable && !here ? kUnreachable : kFailed;
}

tl::unexpected<Error> wrong_use(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "WRONG_USE", std::move(message), std::move(suggestion));
}

void Table::add(std::vector<std::string> row) {
  for (auto& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    text += '\n';
  }
  return text;
}

std::string printable(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; },
      '?');
  return clean;
}

std::string time_text(std::int64_t unix_ms) {
  if (unix_ms <= 0) return "-";
  return rfc3339(unix_ms).substr(0, std::string_view("2026-01-31T12:00:00").size()) + "Z";
}

std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& known) {
  if (word.size() > kWordBytesMax) return {};
  const std::size_t far = std::max<std::size_t>(2, word.size() / 4) + 1;
  std::vector<std::string> near;
  std::size_t best = far;
  for (const auto& each : known) {
    const auto apart = distance(word, each);
    if (apart == far || apart > best || 2 * apart > each.size()) continue;
    if (apart < best) near.clear();
    best = apart;
    if (near.size() < kNamedMax) near.push_back(each);
  }
  return near;
}

std::string listed(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const auto near = nearest(word, known);
  return near.empty() ? std::string() : "did you mean " + listed(near, " or ") + "?";
}

void Output::object(const nlohmann::ordered_json& object) const {
  print(stdout, text_of(object));
}

void Output::line(std::string_view text) const {
  print(stdout, std::string(text) + "\n");
}

void Output::table(const Table& table) const {
  print(stdout, table.text());
}

void Output::note(std::string_view text) const {
  if (!json_) print(stderr, std::string(text) + "\n");
}

void Output::error(const Error& error) const {
  if (!json_) {
    print(stderr, "postrider-ops: " + printable(error.message) + " (" + error.code + ")\n  " +
                      printable(error.suggestion) + "\n");
    return;
  }
  nlohmann::ordered_json object = {{"code", error.code},
                                   {"message", error.message},
                                   {"suggestion", error.suggestion},
                                   {"retryable", error.retryable()}};
  if (error.retryable()) object["retry_after"] = kRetryAfterSeconds;
  print(stderr, text_of(object));
}

}  // namespace postrider::ops
