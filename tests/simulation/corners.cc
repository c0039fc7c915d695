// What happens in runs that make for a corner (Corner, run.h).
#include <utility>

#include "tests/simulation/node.h"

namespace postrider::simulation {

using Mood = Receiver::Mood;

void Run::flap_disks(std::int64_t least, std::int64_t most) {
  every(least, most, [this] {
    if (!faults_on_) return;
    Node& node = *draw_.pick(nodes_);
    node.store.full = draw_.chance(0.5);
    if (scenario_.corner == Corner::full_disks) node.store.unreadable = draw_.chance(0.2);
  });
}

void Run::flap_hosts(std::int64_t least, std::int64_t most, std::vector<Mood> moods, std::int64_t until) {
  every(least, most, [this, until, moods = std::move(moods)] {
    if (!faults_on_ || time_.now >= until) return;
    const Mood mood = draw_.pick(moods);
    for (auto& [host, receiver] : hosts_.receivers)
      if (draw_.chance(0.7)) receiver.mood = mood;
  });
}

void Run::crash_soon(Node& node) {
  if (!faults_on_ || !node.running()) return;
  kill(node, false);
  time_.after(draw_.between(20, 300), [this, &node] {
    if (!node.process.alive && faults_on_ && !held_down_) start(node);
  });
}

void Run::plan_corner() {
  const std::int64_t well_at = time_.now + draw_.between(scenario_.faults_ms / 2, scenario_.faults_ms);
  switch (scenario_.corner) {
    case Corner::none:
      break;
    case Corner::full_disks:
      flap_disks(200, 2000);
      flap_hosts(200, 2000, {Mood::healthy, Mood::fails, Mood::refuses});
      every(1500, 6000, [this] {
        if (faults_on_) group_.rebalance();
      });
      break;
    case Corner::quiet_disk:
      flap_disks(100, 2000);
      // The host is well again before the disk is: so the last that falls due may fall due on a full one.
      flap_hosts(300, 1500, {Mood::fails, Mood::slow, Mood::slow}, well_at);
      time_.at(well_at + 1, [this] { calm_moods(); });
      break;
    case Corner::late_words:
      // The one lands late, what is said again is not heard for a while.
      kafka_.parked_faults = LogFaults{.vanishes = 0.75, .lands_late = 0.3, .late_ms_max = 4000};
      flap_hosts(300, 1500, {Mood::healthy, Mood::fails});
      break;
    case Corner::forced_release:
      flap_hosts(500, 3000, {Mood::healthy, Mood::slow});
      every(2000, 6000, [this] {
        if (!faults_on_) return;
        group_.rebalance();
        Process& process = draw_.pick(nodes_)->process;
        if (!process.alive || process.stopped || draw_.chance(0.3)) return;
        oracle_.excuse("process " + std::to_string(process.number) + " is stopped");
        process.stopped = true;
        process.stopped_at = time_.now;
        time_.after(draw_.chance(0.7) ? draw_.between(5000, 9000) : draw_.between(16'000, 30'000),
                    [&process, life = process.life] {
                      if (process.life == life) process.stopped = false;
                    });
      });
      break;
    case Corner::late_doubles:
      break;  // the log's own
    case Corner::lost_indexes:
      flap_hosts(1000, 6000, {Mood::healthy, Mood::healthy, Mood::fails});
      every(3000, 12'000, [this] {
        Node& node = *draw_.pick(nodes_);
        crash_soon(node);
        if (!node.process.alive && draw_.chance(0.5)) node.store.wipe();
      });
      break;
    case Corner::late_answers:
      // What was said stands there and was read back; who said it dies before it hears so.
      kafka_.parked_faults = LogFaults{.loses_ack = 0.7};
      flap_hosts(500, 2500, {Mood::healthy, Mood::fails});
      every(1500, 5000, [this] { crash_soon(*draw_.pick(nodes_)); });
      break;
    case Corner::stale_registry:
      every(300, 3000, [this] {
        Node& node = *draw_.pick(nodes_);
        if (!faults_on_ || !node.running()) return;
        node.log->lagging_until[Topic::endpoints] = time_.now + draw_.between(1500, 8000);
      });
      break;
  }
}

}  // namespace postrider::simulation
