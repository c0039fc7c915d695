#include "engine/daemon/loop.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace postrider {
namespace {

constexpr Millis kLongestSleep{1000};  // librdkafka's deadlines want to be looked at (engine/kafka)

std::optional<int> read_signal(int signals) {
  signalfd_siginfo info{};
  if (read(signals, &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace

void Loop::run(int signals, const std::function<void(int signal)>& on_signal) {
  shard_.start();
  while (!shard_.drained()) {
    mailbox_.run();
    shard_.step();
    if (auto signal = read_signal(signals)) {
      on_signal(*signal);
      take_end_request();
    }
    if (shard_.view_damaged()) drain();
    if (ends_at_once_ || (give_up_at_ && ports_.clock.steady() >= *give_up_at_)) break;
    sleep(signals);
  }
}

void Loop::ask_to_end() {
  mailbox_.post([this] { take_end_request(); });
}

void Loop::take_end_request() {
  ends_at_once_ = std::exchange(asked_, true);
  drain();
}

void Loop::drain() {
  if (!give_up_at_) give_up_at_ = ports_.clock.steady() + drain_max_;
  shard_.drain();
}

void Loop::sleep(int signals) {
  std::array<pollfd, 5> fds{{{ports_.log.wake_fd(), POLLIN, 0},
                             {ports_.transport.wake_fd(), POLLIN, 0},
                             {ports_.resolver.wake_fd(), POLLIN, 0},
                             {mailbox_.wake_fd(), POLLIN, 0},
                             {signals, POLLIN, 0}}};
  const Millis wait = std::clamp(shard_.next_wake() - ports_.clock.steady(), Millis(0), kLongestSleep);
  poll(fds.data(), fds.size(), static_cast<int>(wait.count()));
}

}  // namespace postrider
