// Every input that a fuzzer has kept, as a unit test.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

TEST(Corpus, IsReplayed) {
  for (const Target& target : kTargets) {
    const auto directory = std::filesystem::path(POSTRIDER_SOURCE_DIR) / "tests/fuzz/corpus" / target.name;
    std::size_t inputs = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      target.run(bytes);  // ends the process where something is broken
      ++inputs;
    }
    EXPECT_GT(inputs, 10U) << directory;
  }
}

}  // namespace
}  // namespace postrider::fuzz
