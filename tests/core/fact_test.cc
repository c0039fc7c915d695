#include "engine/core/fact.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(CancelReason, SpellingsAreStoredAndComeBack) {
  const std::pair<CancelReason, std::string_view> spelled[] = {
      {CancelReason::endpoint_deleted, "endpoint_deleted"},
      {CancelReason::target_gone, "target_gone"},
      {CancelReason::tenant_erased, "tenant_erased"},
      {CancelReason::by_operator, "by_operator"},
  };
  for (const auto& [reason, text] : spelled) {
    EXPECT_EQ(reason_of(reason), text);
    EXPECT_EQ(parse_cancel_reason(text), reason);
  }
  EXPECT_EQ(parse_cancel_reason("whim"), std::nullopt);
  EXPECT_EQ(parse_cancel_reason(""), std::nullopt);
}

TEST(DeadLetterState, HasItsNames) {
  EXPECT_EQ(name_of(DeadLetterState::open), "open");
  EXPECT_EQ(name_of(DeadLetterState::replayed), "replayed");
  EXPECT_EQ(name_of(DeadLetterState::resolved), "resolved");
}

}  // namespace
}  // namespace postrider
