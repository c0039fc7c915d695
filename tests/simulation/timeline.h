#pragma once
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/time.h"

namespace postrider::simulation {

// Virtual time, in ms, and what will happen. Things due at one moment happen in the order in which they were
// planned.
class Timeline {
 public:
  std::int64_t now = 1'000'000;
  SteadyTime steady() const { return from_ms<SteadyTime>(now); }
  // What the brokers' clocks say: the log's time, to the millisecond.
  LogTime log_time() const { return from_ms<LogTime>(now + kBorn); }

  void after(std::int64_t ms, std::function<void()> what) { at(now + ms, std::move(what)); }
  void at(std::int64_t when, std::function<void()> what) { plans_.push({when, ++count_, std::move(what)}); }
  std::int64_t next() const { return plans_.empty() ? INT64_MAX : plans_.top().when; }
  // Does what is due by now.
  void run_due() {
    while (!plans_.empty() && plans_.top().when <= now) {
      auto what = std::move(const_cast<Plan&>(plans_.top()).what);
      plans_.pop();
      what();
    }
  }

  // A line of the run's history; kept only when somebody wants to read it.
  bool traced = false;
  template <class Words>
  void note(Words&& words) {
    if (traced) lines_.push_back(stamp() + words());
  }
  const std::vector<std::string>& lines() const { return lines_; }

  static constexpr std::int64_t kBorn = 1'700'000'000'000;

 private:
  struct Plan {
    std::int64_t when;
    std::uint64_t count;
    std::function<void()> what;
    bool operator<(const Plan& other) const {
      return when != other.when ? when > other.when : count > other.count;
    }
  };
  std::string stamp() const {
    const std::int64_t ms = now - 1'000'000;
    std::string rest = std::to_string(ms % 1000);
    rest.insert(0, 3 - rest.size(), '0');
    std::string text = std::to_string(ms / 1000) + "." + rest + " ";
    return text.size() < 9 ? std::string(9 - text.size(), ' ') + text : text;
  }
  std::priority_queue<Plan> plans_;
  std::uint64_t count_ = 0;
  std::vector<std::string> lines_;
};

}  // namespace postrider::simulation
