#include "engine/core/scope.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(Scope, IsReadAsItIsWritten) {
  for (const Scope scope : all_scopes()) {
    EXPECT_EQ(parse_scope(name_of(scope)), scope) << name_of(scope);
    Scopes one;
    one.add(scope);
    EXPECT_EQ(read_scopes(format_scopes(one)), one) << name_of(scope);
  }
  EXPECT_FALSE(parse_scope(""));
  EXPECT_FALSE(parse_scope("endpoints"));
  EXPECT_TRUE(read_scopes("").empty());
  EXPECT_TRUE(read_scopes(" nonsense  ADMIN ").empty());
}

TEST(Scope, OfAnAdministratorIsEveryOne) {
  const Scopes admin = read_scopes("admin");
  for (const Scope scope : all_scopes()) EXPECT_TRUE(admin.has(scope));
  EXPECT_EQ(format_scopes(read_scopes("events:publish admin")), "admin");
}

TEST(Scope, OfARoleIsASet) {
  const auto viewer = scopes_of_role("viewer");
  ASSERT_TRUE(viewer);
  // What people have written into events, and who did what, is read by who is told to.
  for (const Scope scope : all_scopes()) {
    const bool apart = scope == Scope::payloads_read || scope == Scope::audit_read;
    EXPECT_EQ(viewer->has(scope), name_of(scope).ends_with(":read") && !apart) << name_of(scope);
  }
  EXPECT_TRUE(scopes_of_role("auditor")->has(Scope::audit_read));
  EXPECT_FALSE(scopes_of_role("auditor")->has(Scope::payloads_read));
  EXPECT_EQ(format_scopes(*scopes_of_role("publisher")), "events:publish");
  EXPECT_FALSE(scopes_of_role("operator")->has(Scope::secrets_rotate));
  EXPECT_FALSE(scopes_of_role("operator")->has(Scope::admin));
  EXPECT_TRUE(scopes_of_role("admin")->has(Scope::admin));
  EXPECT_FALSE(scopes_of_role("king"));
}

}  // namespace
}  // namespace postrider
