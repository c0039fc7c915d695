// What is asked for stands already, as far as an instance knows: whether it may say so.
#include <gtest/gtest.h>

#include "tests/flow/world.h"

namespace postrider::world {
namespace {

void ask_for_an_endpoint(Service& service) {
  EndpointSpec spec;
  spec.tenant = kTenant;
  spec.id = EndpointId("main");
  spec.url = "https://main.example/hook";
  service.apply_endpoint(std::move(spec), [](const auto&) {});
}

void ask_for_a_tenant(Service& service) {
  TenantSpec spec;
  spec.id = kTenant;
  spec.suspended = true;
  service.put_tenant(spec, [](const auto&) {});
}

void ask_for_an_event_type(Service& service) {
  EventTypeSpec spec;
  spec.name = "order.created";
  service.put_event_type(spec, [](const auto&) {});
}

struct AskedTwice : ::testing::TestWithParam<void (*)(Service&)> {
  AskedTwice() { world.begin(); }
  // Records that it led to.
  std::size_t ask() {
    const auto& records = world.cluster.records[{Topic::endpoints, 0}];
    const std::size_t before = records.size();
    GetParam()(world.one().shard->service());
    world.run(std::chrono::seconds(1));
    return records.size() - before;
  }
  World world;
};

TEST_P(AskedTwice, IsWrittenOnceWhereTheRegistryIsFresh) {
  EXPECT_GE(ask(), 1u);
  EXPECT_EQ(ask(), 0u);
}

// Another instance may have changed it since, and this one cannot know.
TEST_P(AskedTwice, IsWrittenAgainWhereItIsNot) {
  EXPECT_GE(ask(), 1u);
  world.one().log->ends_answered = false;
  world.run(std::chrono::seconds(5));
  EXPECT_EQ(ask(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Registry, AskedTwice,
                         ::testing::Values(&ask_for_an_endpoint, &ask_for_a_tenant, &ask_for_an_event_type));

}  // namespace
}  // namespace postrider::world
