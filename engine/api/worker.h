#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace postrider {

// One thread for jobs that block. Bounded: a full queue refuses. Any thread may call.
class Worker {
 public:
  explicit Worker(std::size_t waiting_max) : waiting_max_(waiting_max) {}
  ~Worker() { stop(); }
  // False: the queue is full, or the worker has stopped.
  bool run(std::function<void()> job);
  // Drops what waits, finishes what runs.
  void stop();

 private:
  void loop();
  const std::size_t waiting_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopped_ = false;
  std::thread thread_;  // begins with the first job
};

}  // namespace postrider
