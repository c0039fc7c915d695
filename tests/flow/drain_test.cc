#include <gtest/gtest.h>

#include "tests/flow/world.h"

namespace postrider::world {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

TEST(Drain, SettlesWhatCanBeSettledAndLetsGo) {
  World world;
  world.begin();
  world.declare("main");
  for (int i = 0; i < 20; ++i) world.publish("e" + std::to_string(i));
  world.run(Millis(20));
  world.one().shard->drain();
  ASSERT_TRUE(world.run_until([&] { return world.one().shard->drained(); }, seconds(5)));
  const std::size_t sent = world.transport.arrivals.size();
  EXPECT_EQ(static_cast<std::size_t>(world.committed()), sent)
      << "each sent one is committed, each other is left";
}

// An event of which a part went out would go out again as a whole if its next owner had to read it.
TEST(Drain, TellsAnEventThatHasBegunWhole) {
  World world;
  Instance& first = world.begin();
  world.declare("main");
  world.declare("slow", [](EndpointSpec& spec) { spec.limits.concurrency = 1; });
  bool slow_answers = false;
  world.transport.answer = [&](const std::string& host, int) -> std::optional<Outcome> {
    if (host == "slow.example" && !slow_answers) return std::nullopt;  // hangs
    return answered(200);
  };
  for (int i = 0; i < 20; ++i) world.publish("e" + std::to_string(i));
  const auto arrived = [&](const std::string& host) { return world.transport.at(host).size(); };
  ASSERT_TRUE(world.run_until([&] { return arrived("main.example") == 20u; }));
  ASSERT_EQ(arrived("slow.example"), 1u);
  first.log->revoke({0});
  ASSERT_TRUE(world.run_until([&] { return !first.log->released.empty(); }, seconds(5)));
  EXPECT_EQ(world.committed(), 20);
  slow_answers = true;
  first.log->assign({0});
  ASSERT_TRUE(world.run_until([&] { return arrived("slow.example") == 21u; }, minutes(2)));
  world.run(minutes(2));
  EXPECT_EQ(arrived("main.example"), 20u);
  EXPECT_EQ(arrived("slow.example"), 21u) << "the one that was in flight is tried again";
}

}  // namespace
}  // namespace postrider::world
