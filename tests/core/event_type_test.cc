#include "engine/core/event_type.h"

#include <gtest/gtest.h>

#include "engine/core/registry.h"

namespace postrider {
namespace {

using Applied = Registry::Applied;

EventTypeDef type_def(std::uint64_t revision, std::uint64_t replaces, const std::string& tenant = "acme",
                      const std::string& description = "") {
  EventTypeDef def;
  def.tenant = TenantId(tenant);
  def.name = "order.created";
  def.revision = revision;
  def.replaces = replaces;
  def.description = description;
  return def;
}

TEST(EventTypes, OfTwoWritersAtOnceTheFirstOnTheLogWinsAndIsRestated) {
  Registry registry;
  EXPECT_EQ(registry.apply(type_def(1, 0, "acme", "a"), "one"), Applied::yes);
  EXPECT_EQ(registry.apply(type_def(2, 1, "acme", "first"), "first"), Applied::yes);
  EXPECT_EQ(registry.apply(type_def(2, 1, "acme", "second"), "second"), Applied::ignored);
  EXPECT_EQ(registry.event_types().find(TenantId("acme"), "order.created")->description, "first");
  ASSERT_EQ(registry.mending().size(), 1u);
  EXPECT_EQ(registry.mending()[0],
            std::make_pair(std::string("acme/~types/order.created"), std::string("first")));
  EXPECT_EQ(registry.apply(type_def(2, 1, "acme", "first"), "first", true), Applied::same);
  EXPECT_TRUE(registry.mending().empty());
}

TEST(EventTypes, AfterCompactionARestatedOneWinsOverTheRivalThatWasMetFirst) {
  EventTypes types;
  EXPECT_TRUE(types.apply(type_def(4, 3, "acme", "lost"), false));
  EXPECT_FALSE(types.apply(type_def(4, 3, "acme", "won"), false));
  EXPECT_TRUE(types.apply(type_def(4, 3, "acme", "won"), true));
  EXPECT_FALSE(types.apply(type_def(3, 2, "acme", "old"), true));
  EXPECT_FALSE(types.apply(type_def(5, 5, "acme", "odd"), false));
  EXPECT_EQ(types.find(TenantId("acme"), "order.created")->description, "won");
}

TEST(EventTypes, OfATenantStandInPlaceOfThePlatforms) {
  EventTypes types;
  types.apply(type_def(1, 0, "", "platform"), false);
  const auto in_force = [&] { return types.in_force(TenantId("acme"), "order.created")->description; };
  EXPECT_EQ(in_force(), "platform");
  EXPECT_EQ(types.find(TenantId("acme"), "order.created"), nullptr);
  types.apply(type_def(1, 0, "acme", "own"), false);
  EXPECT_EQ(in_force(), "own");
  EXPECT_EQ(types.in_force(TenantId("other"), "order.created")->description, "platform");
  ASSERT_EQ(types.all_of(TenantId("acme")).size(), 1u);
  EXPECT_EQ(types.all_of(TenantId("acme"))[0]->description, "own");
  EXPECT_EQ(types.all_of(TenantId()).size(), 2u);
  EXPECT_EQ(types.in_force(TenantId("acme"), "order"), nullptr);
}

TEST(EventTypes, ThatAreDeletedHoldForNobodyAndTheirRevisionsGoOn) {
  EventTypes types;
  EventTypeDef def = type_def(1, 0);
  def.schema = "{}";
  types.apply(def, false);
  EXPECT_TRUE(types.any_schema());
  EventTypeDef gone = type_def(2, 1);
  gone.deleted = true;
  types.apply(gone, false);
  EXPECT_FALSE(types.any_schema());
  EXPECT_EQ(types.in_force(TenantId("acme"), "order.created"), nullptr);
  EXPECT_EQ(types.count_of(TenantId("acme")), 0u);
  EXPECT_EQ(types.revision_of(TenantId("acme"), "order.created"), 2u);
  EXPECT_FALSE(types.apply(type_def(1, 0), false)) << "who creates it anew has seen that it was deleted";
}

TEST(EventTypes, AreNamedAsASubscriptionCanNameThem) {
  for (const char* good : {"order.created", "com/example#1", "a"})
    EXPECT_TRUE(is_event_type_name(good)) << good;
  for (const char* bad : {"", "order.*", "*", ".order", "an order", "or\nder", "\xc3\xbc"})
    EXPECT_FALSE(is_event_type_name(bad)) << bad;
  EXPECT_FALSE(is_event_type_name(std::string(256, 'a')));
  EXPECT_EQ(event_type_key(TenantId(), "a.b"), "~types/a.b");
}

TEST(Classifications, AreReadAsTheyAreWritten) {
  for (const char* name : {"public", "internal", "confidential", "restricted"})
    EXPECT_EQ(name_of(*parse_classification(name)), name);
  EXPECT_FALSE(parse_classification("secret"));
  EXPECT_EQ(name_of(static_cast<Classification>(9)), "restricted");
}

}  // namespace
}  // namespace postrider
