#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "engine/wire/cloud_event.h"
#include "tests/flow/world.h"

// One byte budget, whatever lies before us. POSTRIDER_BACKLOG_GB=50 feeds as much (some minutes): at most 128
// MiB were counted, and 259 MiB resident with the rows of 200,000 parked deliveries in the test's own store.
namespace postrider::world {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kBudget = 128 * kMiB;

std::size_t resident_bytes() {
  std::ifstream status("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  status >> total >> resident;
  return resident * 4096;
}

bool sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

TEST(Backlog, OfLargeEventsNeverTakesMoreMemoryThanTheBudget) {
  World world;
  Instance& one = world.begin();
  one.config.bytes_max = kBudget;
  one.config.endpoint_queue_bytes = kBudget;  // else no endpoint alone would come near it
  one.restart();
  ASSERT_TRUE(world.run_until([&] { return one.log->joined; }, std::chrono::seconds(10)));
  // What a real transport and disk would not keep in our memory.
  std::uint64_t delivered = 0;
  world.transport.answer = [&](const std::string& host, int) -> std::optional<Outcome> {
    if (host == "slow.example") return std::nullopt;  // hangs
    ++delivered;
    return answered(200);
  };
  world.declare("main");
  world.declare("slow", [](EndpointSpec& spec) { spec.limits.concurrency = 2; });

  Event event;
  event.source = "/shop";
  event.type = "order.created";
  event.tenant = kTenant;
  event.data.assign(256 * 1024, 'x');
  const char* asked = std::getenv("POSTRIDER_BACKLOG_GB");
  const double gigabytes = asked != nullptr ? std::atof(asked) : 0.5;
  const Offset events = static_cast<Offset>(gigabytes * (1 << 30) / static_cast<double>(event.data.size()));
  world.cluster.ends[{Topic::events, 0}] = events;
  world.cluster.backlog = [&](Partition partition, Offset offset) {
    event.id = "e" + std::to_string(offset);
    wire::KafkaMessage message = wire::encode_kafka(event);
    Record record;
    record.topic = Topic::events;
    record.partition = partition;
    record.offset = offset;
    record.appended = from_ms<LogTime>(world.clocks.wall_ms);
    record.key = std::move(message.key);
    record.value = std::move(message.value);
    record.headers = std::move(message.headers);
    return record;
  };
  one.log->assign({0});

  std::size_t most = 0, most_resident = 0;
  const auto look_and_forget = [&] {
    most = std::max<std::size_t>(most, one.observer.last.bytes);
    most_resident = std::max(most_resident, resident_bytes());
    world.transport.arrivals.clear();
    one.observer.attempts.clear();
    for (const Topic topic : {Topic::attempts, Topic::parked})
      std::erase_if(world.cluster.records[{topic, 0}],
                    [](const auto& entry) { return entry.second.key != kOwnerKey; });
    for (const Family family : {Family::claims, Family::history, Family::index})
      one.store.rows[family].clear();
  };
  while (world.committed() < events) {
    const Offset committed = world.committed();
    for (int rounds = 0; world.committed() == committed; ++rounds) {
      ASSERT_LT(rounds, 60'000) << "nothing settles";
      world.run(Millis(10));
      look_and_forget();
    }
  }
  EXPECT_EQ(delivered, static_cast<std::uint64_t>(events));
  EXPECT_GE(most, kBudget * 8 / 10) << "it was never short of memory: this shows nothing";
  EXPECT_LE(most, kBudget + 24 * kMiB) << "what comes back from parking may lie above it";
  // Of more, the rows of what is parked count too: here they stand in memory, a real view's do not.
  if (!sanitized() && gigabytes <= 1) {
    EXPECT_LE(most_resident, 256 * kMiB);
  }
  std::printf("%.1f GB: at most %zu MiB counted, %zu MiB resident\n", gigabytes, most / kMiB,
              most_resident / kMiB);
}

}  // namespace
}  // namespace postrider::world
