#include "engine/daemon/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace postrider {

Mailbox::Mailbox() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

Mailbox::~Mailbox() {
  close(fd_);
}

void Mailbox::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  // A full counter is readable as well, and that is all we need.
  [[maybe_unused]] const auto written = write(fd_, &one, sizeof one);
}

void Mailbox::run() {
  std::uint64_t count = 0;
  if (read(fd_, &count, sizeof count) < 0) return;  // nothing came
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(work_);
  }
  for (const auto& each : work) each();
}

}  // namespace postrider
