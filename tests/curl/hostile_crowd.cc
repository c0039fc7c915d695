#include "tests/curl/hostile_crowd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace postrider::test {

namespace {

constexpr std::chrono::milliseconds kTick{100};

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::abort();
}

// Of every address of 127.0.0.0/8 at once.
int listen_everywhere(const Script& script) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) give_up("socket");
  if (script.reads != Script::Reads::at_once) {
    const int small = 4096;  // so that the kernel does not read in its place
    ::setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) give_up("bind");
  if (::listen(listener, 4096) != 0) give_up("listen");
  return listener;
}

std::uint16_t port_of(int listener) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

// Of the request at the front of `text`, head and body; 0: it is not whole yet.
std::size_t whole_request(std::string_view text) {
  const auto end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  constexpr std::string_view kName = "\r\nContent-Length: ";
  std::size_t length = 0;
  const auto at = text.substr(0, end + 2).find(kName);
  if (at != std::string_view::npos) {
    std::from_chars(text.data() + at + kName.size(), text.data() + text.size(), length);
  }
  return text.size() >= end + 4 + length ? end + 4 + length : 0;
}

}  // namespace

struct HostileCrowd::Peer {
  Peer(int the_epoll, int the_socket, const Script& the_script)
      : epoll(the_epoll), socket(the_socket), script(the_script) {
    if (script.tls == nullptr) return;
    tls = SSL_new(script.tls);
    SSL_set_bio(tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(tls);
  }
  ~Peer() {
    SSL_free(tls);
    ::close(socket);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool receive(std::size_t bytes_max);  // false: gone
  void act();                           // plays on, as far as it can without waiting
  bool send_out();                      // false: gone
  void tick(std::uint64_t ticks);
  void say(std::string_view bytes);
  void sell_tickets();
  void watch(bool add = false);
  bool is_secure() const { return tls == nullptr || SSL_is_init_finished(tls) != 0; }
  bool ended() const { return answered && (script.closes || script.resets) && out.empty(); }
  bool is_endless() const {
    return answered && is_secure() &&
           (script.sends_tickets || (!script.piece.empty() && script.piece_every_ticks == 0));
  }

  int epoll, socket;
  const Script& script;
  SSL* tls = nullptr;
  std::string in, out;
  bool answered = false;
  std::uint32_t watched = 0;
};

bool HostileCrowd::Peer::receive(std::size_t bytes_max) {
  char chunk[16384];
  const long got = ::recv(socket, chunk, std::min(bytes_max, sizeof(chunk)), 0);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  if (tls == nullptr) {
    if (!answered || script.keeps) in.append(chunk, static_cast<std::size_t>(got));
    return true;
  }
  BIO_write(SSL_get_rbio(tls), chunk, static_cast<int>(got));
  if (!is_secure()) SSL_do_handshake(tls);
  long clear = 0;
  while (is_secure() && (clear = SSL_read(tls, chunk, sizeof(chunk))) > 0) {
    if (!answered || script.keeps) in.append(chunk, static_cast<std::size_t>(clear));
  }
  say({});  // what the handshake has to say
  return true;
}

void HostileCrowd::Peer::say(std::string_view bytes) {
  if (tls == nullptr) {
    out += bytes;
    return;
  }
  if (!bytes.empty()) SSL_write(tls, bytes.data(), static_cast<int>(bytes.size()));
  char* written = nullptr;
  const long size = BIO_get_mem_data(SSL_get_wbio(tls), &written);
  if (size > 0) out.append(written, static_cast<std::size_t>(size));
  (void)BIO_reset(SSL_get_wbio(tls));
}

void HostileCrowd::Peer::sell_tickets() {
  SSL_new_session_ticket(tls);
  SSL_do_handshake(tls);
  say({});
}

void HostileCrowd::Peer::act() {
  if (!is_secure()) return;
  const bool asked = !script.waits || (script.raw ? !in.empty() : whole_request(in) != 0);
  if (asked && (!answered || script.keeps)) {
    in.erase(0, whole_request(in));
    answered = true;
    say(script.answer);
  }
  while (is_endless() && out.size() < script.ahead_bytes) {
    if (script.sends_tickets) {
      sell_tickets();
    } else {
      say(script.piece);
    }
  }
}

bool HostileCrowd::Peer::send_out() {
  if (script.drips_output || out.empty()) return true;
  const long put = ::send(socket, out.data(), out.size(), MSG_NOSIGNAL);
  if (put < 0) return errno == EAGAIN || errno == EINTR;
  out.erase(0, static_cast<std::size_t>(put));
  return true;
}

void HostileCrowd::Peer::tick(std::uint64_t ticks) {
  if (script.drips_output && !out.empty() && ::send(socket, out.data(), 1, MSG_NOSIGNAL) == 1)
    out.erase(0, 1);
  if (script.reads == Script::Reads::a_byte_a_second && ticks % 10 == 0) {
    char one = 0;
    [[maybe_unused]] const long got = ::recv(socket, &one, 1, 0);
  }
  const bool due = script.piece_every_ticks > 0 &&
                   ticks % static_cast<std::uint64_t>(std::max(1, script.piece_every_ticks)) == 0;
  if (due && answered && out.size() < script.ahead_bytes) say(script.piece);
}

void HostileCrowd::Peer::watch(bool add) {
  const bool reads = script.reads == Script::Reads::at_once;
  const bool writes = is_endless() || (!out.empty() && !script.drips_output);
  const std::uint32_t wanted = EPOLLRDHUP | (reads ? EPOLLIN : 0U) | (writes ? EPOLLOUT : 0U);
  if (!add && wanted == watched) return;
  watched = wanted;
  epoll_event event{};
  event.events = wanted;
  event.data.fd = socket;
  if (epoll_ctl(epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event) != 0) give_up("epoll_ctl");
}

HostileCrowd::HostileCrowd() : epoll_(epoll_create1(EPOLL_CLOEXEC)), bell_(eventfd(0, EFD_CLOEXEC)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = bell_;
  if (epoll_ < 0 || bell_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_, &event) != 0) give_up("epoll");
}

HostileCrowd::~HostileCrowd() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    if (::write(bell_, &one, sizeof(one)) != sizeof(one)) give_up("eventfd");
    thread_.join();
  }
  peers_.clear();
  for (const auto& stage : stages_) ::close(stage->listener);
  ::close(bell_);
  ::close(epoll_);
}

std::uint16_t HostileCrowd::add(Script script) {
  const int listener = listen_everywhere(script);
  stages_.push_back(std::make_unique<Stage>(Stage{listener, std::move(script)}));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener, &event) != 0) give_up("epoll_ctl");
  return port_of(listener);
}

void HostileCrowd::start() {
  thread_ = std::thread([this] { run(); });
}

void HostileCrowd::accept_all(const Stage& stage) {
  int socket = -1;
  while ((socket = ::accept4(stage.listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
    auto peer = std::make_unique<Peer>(epoll_, socket, stage.script);
    ++connections_;
    peer->act();
    const bool lives = peer->send_out() && !peer->ended();
    peer->watch(true);
    Peer& placed = *(peers_[socket] = std::move(peer));
    if (!lives) drop(placed);
  }
  together_max_ = std::max<std::size_t>(together_max_, peers_.size());
}

void HostileCrowd::drop(Peer& peer) {
  if (peer.script.resets) {
    const linger hard{1, 0};
    ::setsockopt(peer.socket, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  }
  peers_.erase(peer.socket);
}

void HostileCrowd::tick() {
  ++ticks_;
  for (const auto& [socket, peer] : peers_) {
    peer->tick(ticks_);
    peer->watch();
  }
}

void HostileCrowd::run() {
  std::vector<epoll_event> events(512);
  auto next_tick = std::chrono::steady_clock::now() + kTick;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(next_tick - std::chrono::steady_clock::now());
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                 static_cast<int>(std::max<long>(0, left.count())));
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == bell_) return;
      const auto stage = std::find_if(stages_.begin(), stages_.end(),
                                      [&](const auto& one) { return one->listener == event.data.fd; });
      if (stage != stages_.end()) {
        accept_all(**stage);
        continue;
      }
      Peer& peer = *peers_.at(event.data.fd);
      bool lives = (event.events & (EPOLLHUP | EPOLLERR)) == 0;
      if (lives && (event.events & EPOLLIN) != 0) lives = peer.receive(16384);
      if (lives && (event.events & EPOLLIN) == 0 && (event.events & EPOLLRDHUP) != 0) lives = false;
      if (lives) peer.act();
      if (!lives || !peer.send_out() || peer.ended()) {
        drop(peer);
      } else {
        peer.watch();
      }
    }
    if (std::chrono::steady_clock::now() < next_tick) continue;
    tick();
    next_tick = std::chrono::steady_clock::now() + kTick;
  }
}

}  // namespace postrider::test
