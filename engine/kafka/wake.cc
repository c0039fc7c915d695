#include "engine/kafka/wake.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace postrider::kafka {
namespace {
constexpr std::uint64_t kOne = 1;
}

Wake::Wake() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0) std::abort();  // out of descriptors at start: nothing could work
}

Wake::~Wake() {
  close(fd_);
}

void Wake::signal() const {
  // A full counter (EAGAIN) is readable: awake already.
  [[maybe_unused]] const auto written = write(fd_, &kOne, sizeof kOne);
}

void Wake::drain() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(fd_, &count, sizeof count);
}

void Wake::attach(rd_kafka_queue_t* queue) const {
  rd_kafka_queue_io_event_enable(queue, fd_, &kOne, sizeof kOne);
}

}  // namespace postrider::kafka
