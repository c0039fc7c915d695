#pragma once
#include <memory>

#include "tests/simulation/run.h"

// What the files of Run share.
namespace postrider::simulation {

// Everything that takes hours takes minutes here.
inline constexpr Millis kTombstonesKept = std::chrono::seconds(40);

// One process, with the ports that its shard has.
struct Run::Node {
  Node(Timeline& time, Draw& draw, int number) : clock(time), random(draw.next()) { process.number = number; }
  Process process;
  SimClock clock;
  Draw random;
  SimStore store;
  std::unique_ptr<SimResolver> resolver;
  std::unique_ptr<SimKeys> keys;
  std::unique_ptr<SimTransport> line;
  std::unique_ptr<SimLog> log;
  std::unique_ptr<SimObserver> observer;
  std::unique_ptr<flow::Shard> shard;
  std::int64_t wakes_at = 0;
  bool running() const { return shard && process.alive && !process.stopped; }
};

}  // namespace postrider::simulation
