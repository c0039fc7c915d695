#include "engine/core/slab.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace postrider {
namespace {

TEST(Slab, FindsByTokenUntilItIsRemoved) {
  Slab<std::string> slab;
  const std::uint64_t first = slab.add("one").token;
  const std::uint64_t second = slab.add("two").token;
  EXPECT_NE(first, 0u);
  EXPECT_EQ(*slab.find(first), "one");
  slab.remove(first);
  EXPECT_EQ(slab.find(first), nullptr);
  EXPECT_EQ(*slab.find(second), "two");
  EXPECT_EQ(slab.find(0), nullptr);
  EXPECT_EQ(slab.size(), 1u);
}

TEST(Slab, ATokenOfAPlaceUsedAgainFindsNothing) {
  Slab<int> slab;
  const std::uint64_t gone = slab.add(1).token;
  slab.remove(gone);
  const std::uint64_t now = slab.add(2).token;
  EXPECT_NE(gone, now);
  EXPECT_EQ(slab.find(gone), nullptr);
  slab.remove(gone);  // harmless
  EXPECT_EQ(*slab.find(now), 2);
}

TEST(Slab, ValuesDoNotMoveAndAreDestroyedWhenRemoved) {
  Slab<std::shared_ptr<int>> slab;
  const auto watched = std::make_shared<int>(7);
  auto [token, value] = slab.add(watched);
  const auto* const address = &value;
  for (int i = 0; i < 1000; ++i) slab.add(nullptr);
  EXPECT_EQ(slab.find(token), address);
  slab.remove(token);
  EXPECT_EQ(watched.use_count(), 1);
}

TEST(Slab, ForEachMayRemoveWhatItSees) {
  Slab<int> slab;
  for (int i = 0; i < 10; ++i) slab.add(i);
  slab.for_each([&](std::uint64_t token, int& value) {
    if (value % 2 == 0) slab.remove(token);
  });
  std::set<int> left;
  slab.for_each([&](std::uint64_t, const int& value) { left.insert(value); });
  EXPECT_EQ(left, (std::set<int>{1, 3, 5, 7, 9}));
}

RC_GTEST_PROP(Slab, HoldsWhatAMapHolds, (const std::vector<int>& steps)) {
  Slab<int> slab;
  std::map<std::uint64_t, int> model;
  std::vector<std::uint64_t> tokens;
  for (const int step : steps) {
    if (step % 3 != 0 || tokens.empty()) {
      const std::uint64_t token = slab.add(step).token;
      RC_ASSERT(model.emplace(token, step).second);
      tokens.push_back(token);
    } else {
      const std::uint64_t token = tokens[static_cast<std::size_t>(std::abs(step)) % tokens.size()];
      slab.remove(token);
      model.erase(token);
    }
  }
  RC_ASSERT(slab.size() == model.size());
  for (const std::uint64_t token : tokens) {
    const int* found = slab.find(token);
    RC_ASSERT((found != nullptr) == model.contains(token));
    if (found) RC_ASSERT(*found == model.at(token));
  }
}

}  // namespace
}  // namespace postrider
