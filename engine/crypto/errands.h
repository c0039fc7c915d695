#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace postrider::crypto {

// Runs what may take a network's time on threads of its own, one for each service: a service that hangs
// delays only those who wait for it. In order by service. Any thread posts. The destructor lets what is under
// way finish and drops the rest.
class Errands {
 public:
  virtual ~Errands() = default;
  virtual void post(const std::string& service, std::function<void()> errand) = 0;
};

class ThreadedErrands final : public Errands {
 public:
  ThreadedErrands() = default;
  ~ThreadedErrands() override;
  void post(const std::string& service, std::function<void()> errand) override;

 private:
  struct Runner {
    std::deque<std::function<void()>> errands;
    std::thread thread;
  };
  void run(Runner& runner);

  std::mutex lock_;
  std::condition_variable posted_;
  bool over_ = false;
  std::map<std::string, std::unique_ptr<Runner>> runners_;
};

}  // namespace postrider::crypto
