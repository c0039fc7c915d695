#include "tests/curl/scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace postrider::test {

namespace {

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::abort();
}

// Any literal of either family; `size` is the address's true length.
sockaddr_storage address_of_literal(const std::string& literal, std::uint16_t port, socklen_t& size) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (inet_pton(AF_INET, literal.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof(v4);
  } else if (inet_pton(AF_INET6, literal.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof(v6);
  } else {
    give_up("address");
  }
  return storage;
}

int listen_on(const std::string& literal, std::uint16_t& port) {
  socklen_t size = 0;
  sockaddr_storage address = address_of_literal(literal, port, size);
  const int listener = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0) give_up("bind");
  if (::listen(listener, 1024) != 0) give_up("listen");
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                            : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
  return listener;
}

std::size_t content_length(std::string_view head) {
  constexpr std::string_view kName = "\r\nContent-Length: ";
  const auto at = head.find(kName);
  std::size_t length = 0;
  if (at != std::string_view::npos) {
    std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
  }
  return length;
}

}  // namespace

long Connection::read_some(char* into, std::size_t size) {
  const long got =
      tls_ != nullptr ? SSL_read(tls_, into, static_cast<int>(size)) : ::recv(socket_, into, size, 0);
  if (got > 0) server_.bytes_received_ += static_cast<std::size_t>(got);
  return got;
}

std::optional<std::string> Connection::read_request() {
  char chunk[16384];
  while (true) {
    const auto end = buffered_.find("\r\n\r\n");
    if (end != std::string::npos) {
      const std::size_t whole = end + 4 + content_length(std::string_view(buffered_).substr(0, end + 2));
      if (buffered_.size() >= whole) {
        std::string request = buffered_.substr(0, whole);
        buffered_.erase(0, whole);
        server_.note_request(request);
        return request;
      }
    }
    const long got = read_some(chunk, sizeof(chunk));
    if (got <= 0) return std::nullopt;
    buffered_.append(chunk, static_cast<std::size_t>(got));
  }
}

bool Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const long put = tls_ != nullptr ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                                     : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

void Connection::wait_until_closed() {
  char chunk[16384];
  while (read_some(chunk, sizeof(chunk)) > 0) {
  }
}

void Connection::ask_for_handshake() {
  if (SSL_renegotiate(tls_) != 1 || SSL_do_handshake(tls_) != 1) give_up("renegotiation");
}

void Connection::take_deaf() {
  char chunk[16384];
  for (long got = 0; (got = ::recv(socket_, chunk, sizeof(chunk), 0)) > 0;)
    server_.bytes_received_ += static_cast<std::size_t>(got);
}

void Connection::relay_to(std::uint16_t port) {
  socklen_t size = 0;
  const sockaddr_storage address = address_of_literal("127.0.0.1", port, size);
  const int other = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool open = ::connect(other, reinterpret_cast<const sockaddr*>(&address), size) == 0;
  pollfd sides[2] = {{socket_, POLLIN, 0}, {other, POLLIN, 0}};
  char chunk[16384];
  while (open && ::poll(sides, 2, -1) > 0) {
    for (const int from : {0, 1}) {
      if (sides[from].revents == 0) continue;
      const long got = ::recv(sides[from].fd, chunk, sizeof(chunk), 0);
      open = open && got > 0 &&
             ::send(sides[1 - from].fd, chunk, static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
    }
  }
  ::close(other);
}

void Connection::reset() {
  const linger hard{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

ScriptedServer::ScriptedServer(Handler handler, SSL_CTX* tls, std::string address, std::uint16_t port)
    : handler_(std::move(handler)), tls_(tls), port_(port) {
  listener_ = listen_on(address, port_);
  acceptor_ = std::thread([this] { accept_loop(); });
}

ScriptedServer::~ScriptedServer() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : open_) ::shutdown(socket, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
}

void ScriptedServer::accept_loop() {
  while (true) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      ::close(socket);
      return;
    }
    ++connections_;
    open_.push_back(socket);
    threads_.emplace_back([this, socket] { serve(socket); });
  }
}

void ScriptedServer::serve(int socket) {
  SSL* tls = nullptr;
  bool usable = true;
  if (tls_ != nullptr) {
    tls = SSL_new(tls_);
    SSL_set_fd(tls, socket);
    usable = SSL_accept(tls) == 1;
  }
  if (usable) {
    Connection connection(*this, socket, tls);
    handler_(connection);
  }
  SSL_free(tls);
  const std::lock_guard lock(mutex_);
  open_.erase(std::find(open_.begin(), open_.end(), socket));
  ::close(socket);
  ++ended_;
}

void ScriptedServer::note_request(const std::string& request) {
  const std::lock_guard lock(mutex_);
  requests_.push_back(request);
}

std::vector<std::string> ScriptedServer::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

ScriptedServer::Handler always(std::string answer) {
  return [answer](Connection& connection) {
    while (connection.read_request() && connection.send(answer)) {
    }
  };
}

ScriptedServer::Handler once(std::string answer) {
  return [answer](Connection& connection) {
    if (connection.read_request()) connection.send(answer);
  };
}

std::uint16_t closed_port() {
  std::uint16_t port = 0;
  ::close(listen_on("127.0.0.1", port));
  return port;
}

}  // namespace postrider::test
