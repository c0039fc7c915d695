#pragma once
#include <memory>

#include "tests/simulation/run.h"

// What the files of Run share.
namespace postrider::simulation {

// Everything that takes hours takes minutes here.
inline constexpr Millis kTombstonesKept = std::chrono::seconds(40);
// Compaction's of `endpoints`, that of `attempts`: longer than any instance that runs is behind.
inline constexpr Millis kRegistryLag = std::chrono::seconds(60);
inline constexpr Millis kLifetime = std::chrono::minutes(8);
inline constexpr Millis kRepeatWindow = std::chrono::minutes(3);
// Where retention shall be seen at work within a run: `attempts` outlive both.
inline constexpr Millis kShortLifetime = std::chrono::seconds(80);
inline constexpr Millis kShortWindow = std::chrono::seconds(30);
inline constexpr Millis kAttemptsKept = std::chrono::seconds(90);

// The group takes offsets from outside while it has no members: their sessions must run out.
inline constexpr std::int64_t kGroupEmptyAfter = kSessionMs + 1000;

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
