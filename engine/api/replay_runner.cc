#include "engine/api/replay_runner.h"

#include <signal.h>

#include <utility>

namespace postrider {
namespace {

// A replay that takes longer goes on; the answer tells how far it is.
constexpr std::chrono::seconds kAnswered{20};
// Between two looks for a job that nobody runs.
constexpr std::chrono::seconds kLook{5};

}  // namespace

void ReplayRunner::start() {
  sigset_t all, before;  // signals are the main thread's
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { loop(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void ReplayRunner::run(const ReplayJobId& id, Answer answer) {
  bool busy = false;
  {
    const std::lock_guard lock(mutex_);
    busy = stop_ || (!running_.empty() && running_ != id);
    poked_ = true;
    if (!busy) waiting_.push_back({id, std::chrono::steady_clock::now() + kAnswered, std::move(answer)});
  }
  changed_.notify_one();
  if (busy) answer(book_.find(desk_, id));
}

void ReplayRunner::ask_to_stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
}

void ReplayRunner::stop() {
  ask_to_stop();
  if (thread_.joinable()) thread_.join();
}

void ReplayRunner::loop() {
  bool rest = false;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      running_ = ReplayJobId();
      changed_.wait_for(lock, rest ? kLook : std::chrono::seconds(0), [this] { return stop_ || poked_; });
      poked_ = false;
      if (stop_) break;
    }
    rest = true;
    const auto read = book_.read_on(desk_);
    answer_waiting(false);
    const auto id = read ? turns_.next(book_.all(desk_), desk_.clock.steady()) : std::nullopt;
    if (!id) continue;
    {
      const std::lock_guard lock(mutex_);
      running_ = *id;
    }
    const auto report =
        run_replay(desk_, book_, *id, stop_, {.progress = {}, .tick = [this] { answer_waiting(false); }});
    if (report && (report->finished || report->cancelled))
      turns_.ended(*id);
    else
      turns_.not_ended(*id, desk_.clock.steady());
    rest = false;  // there may be others
    answer_waiting(false);
  }
  answer_waiting(true);
}

void ReplayRunner::answer_waiting(bool all) {
  std::list<Waiting> due;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      const auto next = std::next(at);
      const auto job = book_.find(desk_, at->id);
      if (all || !job || is_over(job->state) || now >= at->until) due.splice(due.end(), waiting_, at);
      at = next;
    }
  }
  for (const auto& each : due) each.answer(book_.find(desk_, each.id));
}

}  // namespace postrider
