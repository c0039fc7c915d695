#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"

// What postrider-ops prints: with --json one object a line, else tables and plain words. Results on standard
// output, errors and progress on standard error. What others wrote (ids, types, reasons) steers no terminal:
// control characters are replaced.
namespace postrider::ops {

inline constexpr int kDone = 0, kFailed = 1, kWrongUse = 2, kUnreachable = 3, kBeyondRetention = 4;
int exit_code_of(const Error& error);
// WRONG_USE: the command line asks for what cannot be.
tl::unexpected<Error> wrong_use(std::string message, std::string suggestion);

// Columns as wide as their widest cell; the last is not padded. Counts UTF-8 characters.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void add(std::vector<std::string> row);
  bool empty() const { return rows_.size() == 1; }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string printable(std::string_view text);
// "2026-01-31T12:00:00Z"; 0 and what is no time: "-".
std::string time_text(std::int64_t unix_ms);

// Which of `known` a misspelt `word` was likely meant to be: those that are equally near, at most three.
// None: it resembles none of them.
std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& known);

// "did you mean a or b?"; empty: nothing is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);

// "a, b, c"
std::string listed(const std::vector<std::string>& words, const char* between = ", ");

class Output {
 public:
  explicit Output(bool json) : json_(json) {}
  bool json() const { return json_; }

  void object(const nlohmann::ordered_json& object) const;  // one line
  void line(std::string_view text) const;                   // printable already
  void table(const Table& table) const;
  // To standard error; nothing with --json, so that machines read errors alone there.
  void note(std::string_view text) const;
  void error(const Error& error) const;

 private:
  bool json_;
};

}  // namespace postrider::ops
