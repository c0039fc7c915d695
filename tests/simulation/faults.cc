// What goes wrong in a run.
#include <algorithm>
#include <utility>

#include "tests/simulation/node.h"

namespace postrider::simulation {
namespace {

constexpr Millis kCompactionLag = std::chrono::seconds(10);

}  // namespace

void Run::plan_faults() {
  kafka_.faults = scenario_.log;
  plan_corner();
  every(scenario_.stormy ? 100 : 500, scenario_.stormy ? 1500 : 6000, [this] { fault(); });
  if (scenario_.compaction) {
    every(5000, 20'000, [this] {
      for (auto& [key, part] : kafka_.parts()) {
        kafka_.compact(key, (key.first == Topic::endpoints ? kRegistryLag : kCompactionLag).count(),
                       kTombstonesKept.count());
      }
    });
  }
  if (scenario_.short_lives) {
    every(3000, 10'000, [this] {
      for (auto& [key, part] : kafka_.parts())
        if (key.first == Topic::attempts) kafka_.expire(key, kAttemptsKept.count());
    });
  }
  if (scenario_.growth) {
    for (std::int64_t steps = draw_.between(1, 2); steps > 0; --steps)
      time_.after(draw_.between(4000, scenario_.faults_ms), [this] { add_partitions(); });
  }
  if (scenario_.offsets_lost) every(8000, 30'000, [this] { lose_offsets(); });
  if (scenario_.moods) {
    every(500, 5000, [this] {
      if (!faults_on_ || hosts_.receivers.empty()) return;
      auto at = hosts_.receivers.begin();
      std::advance(at, draw_.between(0, static_cast<std::int64_t>(hosts_.receivers.size()) - 1));
      at->second.mood = static_cast<Receiver::Mood>(draw_.between(0, 7));
      if (draw_.chance(0.1)) ++at->second.moved;
      // A day is two minutes here.
      if (draw_.chance(0.03)) at->second.away_until = time_.now + draw_.between(60'000, 150'000);
    });
  }
}

void Run::fault() {
  if (!faults_on_) return;
  Node& node = *draw_.pick(nodes_);
  Process& process = node.process;
  std::vector<Kafka::Key> keys;
  for (auto& [key, part] : kafka_.parts()) keys.push_back(key);
  switch (draw_.between(0, 14)) {
    case 0:
    case 1:
      if (!node.running()) break;
      if (scenario_.crashes || scenario_.power_cuts) {
        kill(node, scenario_.power_cuts && (!scenario_.crashes || draw_.chance(0.5)));
        const bool lose = scenario_.view_lost && draw_.chance(0.3);
        time_.after(draw_.chance(0.8) ? draw_.between(50, 5000) : draw_.between(5000, 30'000),
                    [this, &node, lose] {
                      if (node.process.alive || !faults_on_ || held_down_) return;
                      if (lose) node.store.wipe();
                      start(node);
                    });
      }
      break;
    case 2:
      if (scenario_.stops && node.running()) {
        oracle_.excuse("process " + std::to_string(process.number) + " is stopped");
        process.stopped = true;
        process.stopped_at = time_.now;
        time_.after(draw_.chance(0.5) ? draw_.between(50, 5000) : draw_.between(5000, 40'000),
                    [&process, life = process.life] {
                      if (process.life == life) process.stopped = false;
                    });
      }
      break;
    case 3:
      if (scenario_.network_cuts) {
        oracle_.excuse("process " + std::to_string(process.number) + " is cut from the brokers");
        process.cut_until =
            time_.now + (draw_.chance(0.7) ? draw_.between(100, 6000) : draw_.between(6000, 40'000));
      }
      break;
    case 4:
      if (scenario_.rebalances) group_.rebalance();
      break;
    case 14:
      if (scenario_.coordinator_cuts) {
        oracle_.excuse("process " + std::to_string(process.number) + " is not heard by the coordinator");
        process.unheard_until = time_.now + draw_.between(5000, 30'000);
      }
      break;
    case 5:
    case 6:
      if (scenario_.outages) kafka_.go_away(draw_.pick(keys), draw_.between(100, 8000));
      break;
    case 7:
      if (scenario_.elections) kafka_.elect(draw_.pick(keys));
      break;
    case 8:
      if (scenario_.clock_jumps) {
        node.clock.skew_ms = draw_.between(-3'600'000, 3'600'000);
        process.clock_jumped_at = time_.now;
      }
      break;
    case 9:
      if (scenario_.disk_full) {
        bool& ill = draw_.chance(0.7) ? node.store.full : node.store.unreadable;
        ill = true;
        time_.after(draw_.between(100, draw_.chance(0.5) ? 2000 : 15'000), [&ill] { ill = false; });
      }
      break;
    case 10:
      if (scenario_.view_corrupt && node.running()) {
        oracle_.excuse("a view is corrupt");
        node.store.corrupt = true;  // once it notices, its next life begins with nothing
      }
      break;
    case 11:
      if (scenario_.keys_away && node.running()) {
        node.keys->away = true;
        time_.after(draw_.between(500, 10'000), [&node, life = process.life] {
          if (node.process.life == life && node.keys) node.keys->away = false;
        });
      }
      break;
    case 12:
      if (scenario_.lagging_registry && node.running()) {
        for (Topic topic : {Topic::endpoints, Topic::keys, Topic::health}) {
          if (draw_.chance(0.6)) node.log->lagging_until[topic] = time_.now + draw_.between(500, 12'000);
        }
      }
      break;
    case 13:
      if (scenario_.truncation) {
        const auto partition = static_cast<Partition>(draw_.between(0, kafka_.partitions - 1));
        Kafka::Part& part = kafka_.part(Topic::events, partition);
        const auto at = group_.commits.find(partition);
        // Retention takes what is committed: only payloads of parked deliveries go. A hand takes more.
        const Offset committed = at == group_.commits.end() ? 0 : at->second.offset;
        // What nobody had begun to read nobody can miss.
        const bool begun = kafka_.part(Topic::parked, partition).high > 0;
        const Offset most = begun && draw_.chance(0.3) ? part.high : committed;
        const Offset until = draw_.between(part.begin, std::max(part.begin, most));
        oracle_.payloads_may_be_lost = true;
        for (Offset offset = std::max(part.begin, committed); offset < until; ++offset)
          oracle_.lost_at_source.insert({partition, offset});
        kafka_.truncate({Topic::events, partition}, until);
      }
      break;
    default:
      break;
  }
}

// An operator runs `topics grow` while all goes on; the group hears of it when its leader next asks.
void Run::add_partitions() {
  const Partition to = kafka_.partitions + static_cast<Partition>(draw_.between(1, 2));
  kafka_.grow(to);
  time_.after(3000 + draw_.between(0, 5000), [this, to] { group_.grown(to); });
}

// What the group had committed is gone, or as it was some time ago; perhaps while nobody commits anew.
void Run::lose_offsets() {
  oracle_.offsets_were_lost = true;
  if (!faults_on_ || group_.commits.empty()) return;
  auto at = group_.commits.begin();
  std::advance(at, draw_.between(0, static_cast<std::int64_t>(group_.commits.size()) - 1));
  const auto [partition, commit] = *at;
  const std::optional<Offset> left =
      draw_.chance(0.6) ? std::nullopt : std::optional(draw_.between(0, commit.offset));
  switch (draw_.between(0, 2)) {
    case 0:
      group_.rebalance();
      break;
    case 1:
      for (auto& node : nodes_) {
        if (group_.owner(partition) != &node->process || !node->running()) continue;
        const bool view = scenario_.view_lost && draw_.chance(0.5);
        kill(*node, false);
        if (view) node->store.wipe();
        time_.after(draw_.between(50, 5000), [this, &again = *node] {
          if (!again.process.alive && !held_down_ && faults_on_) start(again);
        });
      }
      break;
    default:
      break;
  }
  group_.lose(partition, left);
}

}  // namespace postrider::simulation
