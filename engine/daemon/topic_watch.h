#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/core/time.h"

namespace postrider {

// Does something now and then on a thread of its own: what blocks has no place on the shard's. For the look
// at the topics' settings, which somebody may change while we run (DESIGN §3).
class TopicWatch {
 public:
  TopicWatch(std::function<void()> look, Millis every);
  ~TopicWatch();  // waits for a look that is under way

 private:
  void run();
  const std::function<void()> look_;
  const Millis every_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace postrider
