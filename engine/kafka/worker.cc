#include "engine/kafka/worker.h"

namespace postrider::kafka {

Worker::Worker(const Wake& wake) : wake_(wake), thread_([this] { loop(); }) {}

Worker::~Worker() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Worker::run(Job job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

std::size_t Worker::poll(LogListener& listener) {
  std::vector<Answer> answers;
  {
    std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (const Answer& answer : answers) answer(listener);
  return answers.size();
}

void Worker::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !jobs_.empty(); });
    if (ending_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    Answer answer = job();
    job = nullptr;  // what it owned dies here, not under the lock
    lock.lock();
    if (!answer) continue;
    answers_.push_back(std::move(answer));
    wake_.signal();
  }
}

}  // namespace postrider::kafka
