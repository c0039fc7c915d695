#pragma once
#include <functional>
#include <mutex>
#include <vector>

namespace postrider {

// Work posted from other threads to the one that runs it. Thread-safe; owns an eventfd.
class Mailbox {
 public:
  Mailbox();
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  void post(std::function<void()> work);  // any thread
  void run();                             // the owner's: what came so far, in order
  int wake_fd() const { return fd_; }

 private:
  int fd_;
  std::mutex mutex_;
  std::vector<std::function<void()>> work_;
};

}  // namespace postrider
