#include "engine/core/tenant.h"

#include <gtest/gtest.h>

#include "engine/core/registry.h"

namespace postrider {
namespace {

using Applied = Registry::Applied;

TenantDef tenant_def(std::uint64_t revision, std::uint64_t replaces, const std::string& name = "") {
  TenantDef def;
  def.id = TenantId("acme");
  def.revision = revision;
  def.replaces = replaces;
  def.name = name;
  return def;
}

TenantDef suspended(TenantDef def, bool is = true) {
  def.suspended = is;
  return def;
}

EndpointDef endpoint_of(const std::string& tenant, const std::string& id, std::uint64_t revision = 1) {
  EndpointDef def;
  def.tenant = TenantId(tenant);
  def.id = EndpointId(id);
  def.incarnation = Incarnation("inc_" + id);
  def.revision = revision;
  def.replaces = revision - 1;
  return def;
}

Stop stop_of(const Registry& registry, const std::string& tenant, const std::string& id) {
  return registry.find(TenantId(tenant), EndpointId(id))->stopped().stop;
}

TEST(Tenants, OfTwoWritersAtOnceTheFirstOnTheLogWinsAndIsRestated) {
  Registry registry;
  EXPECT_EQ(registry.apply(tenant_def(1, 0, "a"), "one"), Applied::yes);
  EXPECT_EQ(registry.apply(tenant_def(2, 1, "first"), "first"), Applied::yes);
  EXPECT_EQ(registry.apply(tenant_def(2, 1, "second"), "second"), Applied::ignored);
  EXPECT_EQ(registry.tenants().find(TenantId("acme"))->name, "first");
  ASSERT_EQ(registry.mending().size(), 1u);
  EXPECT_EQ(registry.mending()[0], std::make_pair(std::string("acme/~tenant"), std::string("first")));
  EXPECT_EQ(registry.apply(tenant_def(2, 1, "first"), "first", true), Applied::same);
  EXPECT_TRUE(registry.mending().empty());
}

TEST(Tenants, AfterCompactionARestatedOneWinsOverTheRivalThatWasMetFirst) {
  Tenants tenants;
  EXPECT_TRUE(tenants.apply(tenant_def(4, 3, "lost"), false));
  EXPECT_FALSE(tenants.apply(tenant_def(4, 3, "won"), false));
  EXPECT_TRUE(tenants.apply(tenant_def(4, 3, "won"), true));
  EXPECT_FALSE(tenants.apply(tenant_def(3, 2, "old"), true));
  EXPECT_FALSE(tenants.apply(tenant_def(5, 5, "odd"), false));
  EXPECT_EQ(tenants.find(TenantId("acme"))->name, "won");
}

TEST(Tenants, ThatAreDeletedAreFoundByNobodyAndTheirRevisionsGoOn) {
  Tenants tenants;
  tenants.apply(tenant_def(1, 0), false);
  TenantDef gone = tenant_def(2, 1);
  gone.deleted = true;
  tenants.apply(gone, false);
  EXPECT_EQ(tenants.find(TenantId("acme")), nullptr);
  EXPECT_TRUE(tenants.all().empty());
  EXPECT_EQ(tenants.revision_of(TenantId("acme")), 2u);
  EXPECT_EQ(tenants.revision_of(TenantId("other")), 0u);
  EXPECT_TRUE(tenants.apply(tenant_def(3, 2, "again"), false));
  EXPECT_EQ(tenants.all().size(), 1u);
}

TEST(Tenants, ThatAreSuspendedStopTheirEndpointsWhicheverRecordComesFirst) {
  Registry registry;
  registry.apply(endpoint_of("acme", "before"), "before");
  registry.apply(endpoint_of("other", "others"), "others");
  const std::uint64_t version = registry.find(TenantId("acme"), EndpointId("before"))->version;
  registry.apply(suspended(tenant_def(1, 0)), "suspended");
  registry.apply(endpoint_of("acme", "after"), "after");
  EXPECT_EQ(stop_of(registry, "acme", "before"), Stop::disabled);
  EXPECT_EQ(stop_of(registry, "acme", "after"), Stop::disabled);
  EXPECT_EQ(stop_of(registry, "other", "others"), Stop::none);
  EXPECT_GT(registry.find(TenantId("acme"), EndpointId("before"))->version, version)
      << "what is signed already must not go out";
  registry.apply(endpoint_of("acme", "before", 2), "changed");
  EXPECT_EQ(stop_of(registry, "acme", "before"), Stop::disabled) << "another change of it lifts nothing";
  registry.apply(suspended(tenant_def(2, 1), false), "lifted");
  EXPECT_EQ(stop_of(registry, "acme", "before"), Stop::none);
  EXPECT_EQ(stop_of(registry, "acme", "after"), Stop::none);
}

TEST(Tenants, TellTheirEndpointsWhenASuspensionWasLiftedWhicheverRecordComesFirst) {
  Registry registry;
  registry.apply(endpoint_of("acme", "before"), "before");
  TenantDef lifted = suspended(tenant_def(2, 1), false);
  lifted.resumed_at = 1700000000000;
  registry.apply(lifted, "lifted");  // the suspension itself was compacted away
  registry.apply(endpoint_of("acme", "after"), "after");
  for (const char* id : {"before", "after"})
    EXPECT_EQ(to_ms(registry.find(TenantId("acme"), EndpointId(id))->resumed_at), 1700000000000) << id;
}

TEST(Tenants, ThatAreDeletedAreNotSuspended) {
  Registry registry;
  registry.apply(endpoint_of("acme", "main"), "main");
  registry.apply(suspended(tenant_def(1, 0)), "suspended");
  TenantDef gone = suspended(tenant_def(2, 1));
  gone.deleted = true;
  registry.apply(gone, "gone");
  EXPECT_EQ(stop_of(registry, "acme", "main"), Stop::none);
}

TEST(Tenants, ThatAreRenamedLeaveTheirEndpointsAsTheyAre) {
  Registry registry;
  registry.apply(endpoint_of("acme", "main"), "main");
  const std::uint64_t version = registry.find(TenantId("acme"), EndpointId("main"))->version;
  registry.apply(tenant_def(1, 0, "Acme"), "named");
  EXPECT_EQ(registry.find(TenantId("acme"), EndpointId("main"))->version, version);
}

}  // namespace
}  // namespace postrider
