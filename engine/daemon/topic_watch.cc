#include "engine/daemon/topic_watch.h"

#include <utility>

namespace postrider {

TopicWatch::TopicWatch(std::function<void()> look, Millis every)
    : look_(std::move(look)), every_(every), thread_([this] { run(); }) {}

TopicWatch::~TopicWatch() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

void TopicWatch::run() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, every_, [this] { return over_; })) {
    lock.unlock();
    look_();
    lock.lock();
  }
}

}  // namespace postrider
