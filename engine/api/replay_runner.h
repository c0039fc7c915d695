#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/core/replay_turns.h"
#include "engine/operations/replay.h"

namespace postrider {

// Runs this instance's share of the replays, one after the other, by their turns: those that were asked for
// here, and those that nobody runs, because their instance has gone. One thread, and a second one while a
// replay runs. Any thread may call.
class ReplayRunner {
 public:
  // How a job stands; nullopt: there is none of that id. On a thread of the runner's or the caller's.
  using Answer = std::function<void(const std::optional<ReplayJob>&)>;

  explicit ReplayRunner(const Desk& desk) : desk_(desk) {}
  ~ReplayRunner() { stop(); }
  ReplayRunner(const ReplayRunner&) = delete;
  ReplayRunner& operator=(const ReplayRunner&) = delete;

  void start();
  // Takes up what waits, and answers once that job has ended, or with how far it is: after 20 s, at the end
  // of this process, or at once if another replay is under way here.
  void run(const ReplayJobId& id, Answer answer);
  // What runs ends after the replay that is under way, and waits for the next to take it.
  void ask_to_stop();
  void stop();
  ReplayBook& book() { return book_; }

 private:
  struct Waiting {
    ReplayJobId id;
    std::chrono::steady_clock::time_point until;
    Answer answer;
  };
  void loop();
  void answer_waiting(bool all);

  Desk desk_;
  ReplayBook book_;
  ReplayTurns turns_;  // the loop's
  std::mutex mutex_;   // of all below but stop_
  std::condition_variable changed_;
  bool poked_ = false;
  ReplayJobId running_;
  std::list<Waiting> waiting_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace postrider
