#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/kafka/wake.h"
#include "engine/ports/log.h"

namespace postrider::kafka {

// What to do on the shard's thread once a job's answer is there.
using Answer = std::function<void(LogListener&)>;

// One thread for librdkafka's blocking calls (committed offsets, ends, metadata, destroying clients), in the
// order in which they were given. Its answers wait for the shard's next poll().
class Worker {
 public:
  explicit Worker(const Wake& wake);
  // Ends after the job under way; jobs not begun are destroyed.
  ~Worker();

  using Job = std::function<Answer()>;  // may return an empty Answer
  void run(Job job);                    // any thread
  std::size_t poll(LogListener& listener);

 private:
  void loop();

  const Wake& wake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<Answer> answers_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace postrider::kafka
