#include "engine/curl/poller.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace postrider {

namespace {

bool register_for_reading(int epoll, int descriptor) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

// Empties an eventfd or a timerfd: eight bytes, and an error only says that it was empty.
void drain(int descriptor) {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(descriptor, &count, sizeof(count));
}

}  // namespace

Result<std::unique_ptr<Poller>> Poller::open() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  // steady_clock is CLOCK_MONOTONIC, and so is libcurl's and c-ares's own clock.
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  const int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  std::unique_ptr<Poller> poller(new Poller(epoll, timer, bell));
  if (epoll < 0 || timer < 0 || bell < 0 || !register_for_reading(epoll, timer) ||
      !register_for_reading(epoll, bell)) {
    return fail(Errc::unavailable, "SERVICE_UNAVAILABLE",
                std::string("cannot open an epoll loop: ") + std::strerror(errno),
                "raise the limit of open files (LimitNOFILE, ulimit -n)");
  }
  return poller;
}

Poller::~Poller() {
  for (const int descriptor : {bell_, timer_, epoll_}) {
    if (descriptor >= 0) ::close(descriptor);
  }
}

bool Poller::watch(int socket, std::uint32_t events, void* owner) {
  if (socket < 0) return false;
  const auto index = static_cast<std::size_t>(socket);
  if (index >= sockets_.size()) sockets_.resize(std::max(index + 1, sockets_.size() * 2));
  Socket& entry = sockets_[index];
  entry.owner = owner;
  entry.wanted = events;
  if (entry.registered == events) return true;
  epoll_event event{};
  event.events = events;
  event.data.fd = socket;
  const int operation = entry.registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(epoll_, operation, socket, &event) != 0 &&
      (errno != ENOENT || epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) != 0)) {
    return false;
  }
  entry.registered = events;
  return true;
}

void Poller::rest(int socket) {
  const auto index = static_cast<std::size_t>(socket);
  if (index >= sockets_.size()) return;
  sockets_[index].wanted = 0;
  sockets_[index].times_ready = 0;
}

bool Poller::floods(int socket, std::uint64_t bytes_max) {
  constexpr std::uint32_t kAskedEvery = 8;
  Socket& entry = sockets_[static_cast<std::size_t>(socket)];
  if (++entry.times_ready % kAskedEvery != 0) return false;
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  if (entry.times_ready == kAskedEvery) entry.received_before = info.tcpi_bytes_received;
  return info.tcpi_bytes_received - entry.received_before > bytes_max;
}

void Poller::count_anew(int socket) {
  sockets_[static_cast<std::size_t>(socket)].times_ready = 0;
}

void* Poller::owner(int socket) const {
  const Socket& entry = sockets_[static_cast<std::size_t>(socket)];
  return entry.wanted != 0 ? entry.owner : nullptr;
}

void Poller::forget(int socket) {
  const auto index = static_cast<std::size_t>(socket);
  if (index >= sockets_.size()) return;
  if (sockets_[index].registered != 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, nullptr);
  sockets_[index] = Socket{};
}

void Poller::arm(PollTime when) {
  if (armed_ && *armed_ <= when) return;  // it wakes earlier anyway: one system call less
  const auto left = std::max(when - std::chrono::steady_clock::now(), PollTime::duration(1));
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
  itimerspec spec{};
  spec.it_value.tv_sec = nanos / 1'000'000'000;
  spec.it_value.tv_nsec = nanos % 1'000'000'000;
  timerfd_settime(timer_, 0, &spec, nullptr);
  armed_ = when;
}

void Poller::ring() {
  if (rung_) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(bell_, &one, sizeof(one));
  rung_ = true;
}

bool Poller::wait(std::vector<Ready>& ready) {
  ready.clear();
  bool timer_went_off = false;
  const int count = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 0);
  for (int i = 0; i < count; ++i) take(events_[static_cast<std::size_t>(i)], ready, timer_went_off);
  return timer_went_off;
}

void Poller::take(const epoll_event& event, std::vector<Ready>& ready, bool& timer_went_off) {
  const int descriptor = event.data.fd;
  if (descriptor == timer_) {
    drain(timer_);
    armed_.reset();
    timer_went_off = true;
    return;
  }
  if (descriptor == bell_) {
    drain(bell_);
    rung_ = false;
    return;
  }
  Socket& entry = sockets_[static_cast<std::size_t>(descriptor)];
  if (entry.wanted != 0) {
    ready.push_back({descriptor, event.events, entry.owner});
    return;
  }
  // A resting connection speaks: its peer closed it, most likely. Unregistered, or it would wake us for ever.
  epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
  entry.registered = 0;
}

}  // namespace postrider
