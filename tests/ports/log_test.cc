#include "engine/ports/log.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace postrider {
namespace {

// Operators, access lists and other instances know the topics by these names.
TEST(Topic, NamesAreSpelledForEver) {
  const std::vector<std::pair<Topic, std::string>> names{
      {Topic::events, "events"},     {Topic::endpoints, "endpoints"},
      {Topic::health, "health"},     {Topic::keys, "keys"},
      {Topic::parked, "parked"},     {Topic::attempts, "attempts"},
      {Topic::audit, "audit"},       {Topic::dead_letters, "dead-letters"},
      {Topic::requests, "requests"}, {Topic::replays, "replays"}};
  ASSERT_EQ(names.size(), static_cast<std::size_t>(kTopicCount));
  for (const auto& [topic, name] : names) {
    EXPECT_EQ(name_of(topic), name);
    EXPECT_EQ(full_name(Environment("production"), topic), "production.postrider." + name);
  }
}

}  // namespace
}  // namespace postrider
