#include "engine/crypto/errands.h"

#include <signal.h>

#include <utility>

namespace postrider::crypto {

ThreadedErrands::~ThreadedErrands() {
  {
    const std::lock_guard guard(lock_);
    over_ = true;
  }
  posted_.notify_all();
  for (auto& [service, runner] : runners_) runner->thread.join();
}

void ThreadedErrands::post(const std::string& service, std::function<void()> errand) {
  const std::lock_guard guard(lock_);
  auto& runner = runners_[service];
  if (!runner) {
    runner = std::make_unique<Runner>();
    // The process's signals are taken by its main thread.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    runner->thread = std::thread([this, own = runner.get()] { run(*own); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  runner->errands.push_back(std::move(errand));
  posted_.notify_all();
}

void ThreadedErrands::run(Runner& runner) {
  std::unique_lock guard(lock_);
  while (true) {
    posted_.wait(guard, [&] { return over_ || !runner.errands.empty(); });
    if (over_) return;
    const auto errand = std::move(runner.errands.front());
    runner.errands.pop_front();
    guard.unlock();
    errand();
    guard.lock();
  }
}

}  // namespace postrider::crypto
