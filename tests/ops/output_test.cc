#include "ops/output.h"

#include <gtest/gtest.h>

#include "ops/dead_letter_filter.h"

namespace postrider::ops {
namespace {

TEST(Table, AlignsByCharactersAndPadsNoLastColumn) {
  Table table({"A", "B"});
  table.add({"zürich", "1"});
  table.add({"oslo", "22"});
  EXPECT_EQ(table.text(), "A       B\nzürich  1\noslo    22\n");
}

TEST(Table, LetsNothingSteerTheTerminal) {
  Table table({"A"});
  table.add({"red\x1b[31m\r\n\x7f"});
  EXPECT_EQ(table.text(), "A\nred?[31m???\n");
}

TEST(ExitCodes, SayWhoMustDoWhat) {
  const auto code = [](Errc errc, const char* name) { return exit_code_of({errc, name, "", ""}); };
  EXPECT_EQ(code(Errc::invalid, "WRONG_USE"), 2);
  EXPECT_EQ(code(Errc::invalid, "INVALID_CONFIGURATION"), 2);
  EXPECT_EQ(code(Errc::invalid, "SECRET_IN_FILE"), 2);
  EXPECT_EQ(code(Errc::unavailable, "KEY_FILE_UNREADABLE"), 2);
  EXPECT_EQ(code(Errc::unavailable, "API_UNREACHABLE"), 3);
  EXPECT_EQ(code(Errc::unavailable, "KAFKA_UNREACHABLE"), 3);
  EXPECT_EQ(code(Errc::denied, "AUTH_FAILED"), 1);
  EXPECT_EQ(code(Errc::conflict, "KEY_FILE_EXISTS"), 1);
  EXPECT_EQ(code(Errc::conflict, "LOG_LOCKED"), 1);
  EXPECT_EQ(code(Errc::overloaded, "OVERLOADED"), 1);
}

TEST(Moments, AreTimesOrHowLongAgo) {
  const std::int64_t now = 1'769'860'800'000;  // 2026-01-31T12:00:00Z
  EXPECT_EQ(parse_moment("2026-01-31T11:00:00Z", "--since", now).value(), now - 3'600'000);
  EXPECT_EQ(parse_moment("2h", "--since", now).value(), now - 7'200'000);
  EXPECT_EQ(parse_moment("", "--since", now).value(), 0);
  const auto refused = parse_moment("yesterday", "--since", now);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "WRONG_USE");
}

TEST(Filters, RefuseWhatSelectsByMistake) {
  for (const auto& spoil : std::vector<void (*)(CommandLine&)>{
           [](CommandLine& line) { line.tenant = "a b"; }, [](CommandLine& line) { line.reason = "tired"; },
           [](CommandLine& line) { line.type = "order*"; }, [](CommandLine& line) { line.ids = {"order-9"}; },
           [](CommandLine& line) { line.until = "soon"; }}) {
    CommandLine line;
    spoil(line);
    const auto filter = filter_of(line, 1'000'000);
    ASSERT_FALSE(filter);
    EXPECT_EQ(filter.error().code, "WRONG_USE");
  }
}

}  // namespace
}  // namespace postrider::ops
