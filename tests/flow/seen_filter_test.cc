#include "engine/flow/seen_filter.h"

#include <gtest/gtest.h>

#include <string>

namespace postrider::flow {
namespace {

TEST(SeenFilter, KnowsWhatWasAddedAndHardlyAnythingElse) {
  SeenFilter filter;
  constexpr int kKeys = 200'000;
  int taken_for_another = 0;
  for (int i = 0; i < kKeys; ++i) taken_for_another += filter.add("key " + std::to_string(i)) ? 1 : 0;
  EXPECT_LT(taken_for_another, 20);
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(filter.add("key " + std::to_string(i))) << i;
}

}  // namespace
}  // namespace postrider::flow
