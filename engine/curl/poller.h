#pragma once
#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/core/result.h"

// One epoll descriptor that holds a library's sockets, one timer and one bell. An epoll descriptor can itself
// be polled: fd() is what the shard's own loop waits on. One owner, one thread; owns its three descriptors,
// never the sockets it watches.
namespace postrider {

using PollTime = std::chrono::steady_clock::time_point;

class Poller {
 public:
  // What wait() found. `events` is EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP.
  struct Ready {
    int socket;
    std::uint32_t events;
    void* owner;
  };

  static Result<std::unique_ptr<Poller>> open();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  int fd() const { return epoll_; }

  // From now on: these events (EPOLLIN | EPOLLOUT) of this socket, for that owner. False: the kernel refused.
  bool watch(int socket, std::uint32_t events, void* owner);
  // No events any more. The kernel's registration stays until the socket speaks unasked: a kept-alive
  // connection that is used again for the same events costs no system call.
  void rest(int socket);
  // It has received more than that since it last rested: asked of the kernel only each eighth time that it
  // was ready, so that an ordinary answer costs nothing.
  bool floods(int socket, std::uint64_t bytes_max);
  void count_anew(int socket);  // as if it had rested
  // Whom its events are for now; nullptr: nobody any more. Of what wait() found, an earlier one may have
  // closed it.
  void* owner(int socket) const;
  // To be called before the socket is closed: its number may come back at once as another socket.
  void forget(int socket);

  // Wakes at that time or a little before it; the caller looks at its own deadlines and arms again.
  void arm(PollTime when);
  // Makes fd() readable until the next wait().
  void ring();

  // Never blocks. Fills `ready` (at most kReadyMax a call, each socket in its turn; fd() stays readable while
  // there are more) and returns whether the timer went off.
  static constexpr std::size_t kReadyMax = 16;
  bool wait(std::vector<Ready>& ready);

 private:
  struct Socket {
    std::uint32_t registered = 0;  // what the kernel reports
    std::uint32_t wanted = 0;      // what the owner asked for
    void* owner = nullptr;
    std::uint32_t times_ready = 0;      // since it last rested
    std::uint64_t received_before = 0;  // bytes, when it was first asked
  };
  Poller(int epoll, int timer, int bell) : epoll_(epoll), timer_(timer), bell_(bell) {}
  void take(const epoll_event& event, std::vector<Ready>& ready, bool& timer_went_off);

  int epoll_, timer_, bell_;
  bool rung_ = false;
  std::optional<PollTime> armed_;
  std::vector<Socket> sockets_;  // by descriptor number
  std::array<epoll_event, kReadyMax> events_;
};

}  // namespace postrider
