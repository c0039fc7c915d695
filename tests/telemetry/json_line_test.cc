#include "engine/telemetry/json_line.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace postrider::telemetry {
namespace {

nlohmann::json parsed(std::string_view line) {
  return nlohmann::json::parse(line, nullptr, false);  // discarded when it is no JSON
}
std::string round_trip(std::string_view text) {
  JsonLine line;
  line.begin().text("t", text);
  const nlohmann::json json = parsed(line.end());
  return json.is_discarded() ? "(no JSON)" : json["t"].get<std::string>();
}

TEST(JsonLine, IsStrictJsonWhateverTheTextHolds) {
  for (int c = 0; c < 256; ++c) {
    const std::string text = std::string("a") + static_cast<char>(c) + "b";
    const std::string back = round_trip(text);
    EXPECT_EQ(back, c < 0x80 ? text
                             : "a\xef\xbf\xbd"
                               "b")
        << c;
  }
}

TEST(JsonLine, KeepsUtf8AndReplacesWhatIsNone) {
  const std::string kBad = "\xef\xbf\xbd";
  for (const std::string good : {"é", "€", "😀", "\x7f", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"}) {
    EXPECT_EQ(round_trip(good), good);
  }
  EXPECT_EQ(round_trip("\xc0\xaf"), kBad + kBad) << "overlong";
  EXPECT_EQ(round_trip("\xe0\x80\xaf"), kBad + kBad + kBad) << "overlong";
  EXPECT_EQ(round_trip("\xed\xa0\x80"), kBad + kBad + kBad) << "a surrogate";
  EXPECT_EQ(round_trip("\xf4\x90\x80\x80"), kBad + kBad + kBad + kBad) << "beyond Unicode";
  EXPECT_EQ(round_trip("\xf0\x9f\x98"), kBad + kBad + kBad) << "cut short";
  EXPECT_EQ(round_trip("\xe2\x82"
                       "a"),
            kBad + kBad + "a");
}

TEST(JsonLine, StaysOneLine) {
  JsonLine line;
  line.begin().text("t", "a\r\nb\x0b\x0c\x1b[31m");
  EXPECT_EQ(line.end().find_first_of("\r\n\x1b"), std::string_view::npos);
}

TEST(JsonLine, CutsLongTexts) {
  const std::string back = round_trip(std::string(1'000'000, 'x'));
  EXPECT_EQ(back.size(), JsonLine::kTextBytesMax + 3);
  EXPECT_TRUE(back.ends_with("…"));
  EXPECT_NE(round_trip(std::string(JsonLine::kTextBytesMax - 1, 'x') + "€€"), "(no JSON)")
      << "cut inside a character";
}

TEST(JsonLine, WritesNumbersAndTimes) {
  JsonLine line;
  line.begin()
      .number("least", std::int64_t{INT64_MIN})
      .number("real", 0.25)
      .number("nan", std::nan(""))
      .boolean("yes", true)
      .time("t1", 1'769'860'800'007)
      .time("t2", 1'769'860'800'999)
      .time("t3", 1'769'860'801'000)
      .time("before", -1);
  const nlohmann::json json = parsed(line.end());
  EXPECT_EQ(json["least"], INT64_MIN);
  EXPECT_EQ(json["real"], 0.25);
  EXPECT_TRUE(json["nan"].is_null());
  EXPECT_EQ(json["yes"], true);
  EXPECT_EQ(json["t1"], "2026-01-31T12:00:00.007Z");
  EXPECT_EQ(json["t2"], "2026-01-31T12:00:00.999Z");
  EXPECT_EQ(json["t3"], "2026-01-31T12:00:01.000Z");
  EXPECT_EQ(json["before"], "1969-12-31T23:59:59.999Z");
}

TEST(JsonLine, IsUsedAgainFromTheStart) {
  JsonLine line;
  line.begin().text("a", "1");
  (void)line.end();
  line.begin().text("b", "2");
  EXPECT_EQ(line.end(), R"({"b":"2"})");
}

}  // namespace
}  // namespace postrider::telemetry
