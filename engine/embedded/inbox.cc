#include "engine/embedded/inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace postrider::embedded {

Inbox::Inbox() : descriptor_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (descriptor_ < 0) std::abort();  // out of descriptors before there is a log: nothing can go on
}

Inbox::~Inbox() {
  ::close(descriptor_);
}

void Inbox::put(Answer answer) {
  {
    const std::scoped_lock lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  wake();
}

void Inbox::wake() {
  if (awake_.exchange(true)) return;
  const std::uint64_t one = 1;
  // Only a full counter fails, and then it is readable anyhow.
  [[maybe_unused]] const auto written = ::write(descriptor_, &one, sizeof one);
}

std::vector<Inbox::Answer> Inbox::take() {
  // In this order: an answer put after the flag fell wakes again, one put before is taken below.
  std::uint64_t count;
  [[maybe_unused]] const auto got = ::read(descriptor_, &count, sizeof count);
  awake_.store(false);
  const std::scoped_lock lock(mutex_);
  return std::exchange(answers_, {});
}

}  // namespace postrider::embedded
