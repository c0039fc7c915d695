// The customers of a benchmark: N addresses that answer every POST with 204, in one thread, for as little as
// it can be done for. Says on stdout where it listens, and for each line on stdin what arrived since the last
// one.
//
//   bench_sink [--ports N] [--tls CERT KEY]
//   → {"ports":[40001,…]}
//   ← (a line)
//   → {"requests":8000,"body_bytes":8192000,"latency_p50_ms":1.9,"latency_p99_ms":4.2}
//
// Latency is the time from `ce-sentat` (wall clock, microseconds) to the arrival of the request's last byte.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::string_view kAnswer = "HTTP/1.1 204 No Content\r\n\r\n";

struct FreeTls {
  void operator()(SSL* tls) const { SSL_free(tls); }
};

struct Connection {
  int socket = -1;
  bool listens = false;
  std::unique_ptr<SSL, FreeTls> tls;
  std::string input;
};

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::int64_t wall_micros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// The value of a header whose name libcurl or a publisher of ours wrote; empty: not there.
std::string_view header(std::string_view head, const char* name) {
  const std::string want = std::string("\r\n") + name + ":";
  const char* found = strcasestr(head.data(), want.c_str());
  if (found == nullptr || found >= head.data() + head.size()) return {};
  std::string_view rest(found + want.size(),
                        static_cast<std::size_t>(head.data() + head.size() - found) - want.size());
  rest = rest.substr(0, rest.find("\r\n"));
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  return rest;
}

class Sink {
 public:
  Sink(int ports, SSL_CTX* tls) : tls_(tls), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    std::string line = "{\"ports\":[";
    for (int i = 0; i < ports; ++i) line += (i == 0 ? "" : ",") + std::to_string(listen_somewhere());
    std::printf("%s]}\n", line.c_str());
    std::fflush(stdout);
    watch(0, nullptr);
  }

  void run() {
    std::array<epoll_event, 256> events{};
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        auto* connection = static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (connection == nullptr) {
          if (!report()) return;
        } else if (connection->listens) {
          accept_all(connection->socket);
        } else if (!serve(*connection)) {
          close(connection->socket);
          delete connection;
        }
      }
    }
  }

 private:
  int listen_somewhere() {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(socket, 1024) != 0)
      die("listen");
    getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
    watch(socket, new Connection{socket, true, nullptr, {}});
    return ntohs(address.sin_port);
  }

  void watch(int socket, Connection* connection) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connection;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) != 0) die("epoll");
  }

  void accept_all(int listener) const {
    for (;;) {
      const int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (socket < 0) return;
      const int on = 1;
      setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      auto* connection = new Connection{socket, false, nullptr, {}};
      if (tls_ != nullptr) {
        connection->tls.reset(SSL_new(tls_));
        SSL_set_fd(connection->tls.get(), socket);
        SSL_set_accept_state(connection->tls.get());
      }
      watch(socket, connection);
    }
  }

  // Reads what there is and answers what is whole; false: the connection is over.
  bool serve(Connection& connection) {
    static std::array<char, 65536> buffer;
    for (;;) {
      const int got = connection.tls
                          ? SSL_read(connection.tls.get(), buffer.data(), static_cast<int>(buffer.size()))
                          : static_cast<int>(read(connection.socket, buffer.data(), buffer.size()));
      if (got <= 0) return waits(connection, got);
      connection.input.append(buffer.data(), static_cast<std::size_t>(got));
      while (take_request(connection.input)) {
        const int put =
            connection.tls ? SSL_write(connection.tls.get(), kAnswer.data(), static_cast<int>(kAnswer.size()))
                           : static_cast<int>(write(connection.socket, kAnswer.data(), kAnswer.size()));
        if (put != static_cast<int>(kAnswer.size())) return false;
      }
      if (!connection.tls && got < static_cast<int>(buffer.size())) return true;
    }
  }

  static bool waits(const Connection& connection, int got) {
    if (!connection.tls) return got < 0 && errno == EAGAIN;
    const int error = SSL_get_error(connection.tls.get(), got);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  }

  bool take_request(std::string& input) {
    const std::size_t end = input.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string_view head(input.data(), end + 2);
    const std::string_view length = header(head, "content-length");
    const std::size_t body = length.empty() ? 0 : std::strtoul(length.data(), nullptr, 10);
    if (input.size() < end + 4 + body) return false;
    ++requests_;
    bytes_ += body;
    const std::string_view sent = header(head, "ce-sentat");
    if (!sent.empty()) latencies_.push_back(wall_micros() - std::strtoll(sent.data(), nullptr, 10));
    input.erase(0, end + 4 + body);
    return true;
  }

  bool report() {
    std::array<char, 256> line{};
    if (read(0, line.data(), line.size()) <= 0) return false;
    const auto at = [this](double share) {
      if (latencies_.empty()) return 0.0;
      const auto index = static_cast<std::ptrdiff_t>(share * static_cast<double>(latencies_.size() - 1));
      std::nth_element(latencies_.begin(), latencies_.begin() + index, latencies_.end());
      return static_cast<double>(latencies_[static_cast<std::size_t>(index)]) / 1000.0;
    };
    const double p50 = at(0.5);
    const double p99 = at(0.99);
    std::printf("{\"requests\":%llu,\"body_bytes\":%llu,\"latency_p50_ms\":%.2f,\"latency_p99_ms\":%.2f}\n",
                static_cast<unsigned long long>(requests_), static_cast<unsigned long long>(bytes_), p50,
                p99);
    std::fflush(stdout);
    requests_ = bytes_ = 0;
    latencies_.clear();
    return true;
  }

  SSL_CTX* tls_;
  int epoll_;
  std::uint64_t requests_ = 0, bytes_ = 0;
  std::vector<std::int64_t> latencies_;
};

}  // namespace

int main(int count, char** words) {
  int ports = 64;
  SSL_CTX* tls = nullptr;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--ports") == 0 && i + 1 < count) {
      ports = std::atoi(words[++i]);
    } else if (std::strcmp(words[i], "--tls") == 0 && i + 2 < count) {
      tls = SSL_CTX_new(TLS_server_method());
      if (SSL_CTX_use_certificate_chain_file(tls, words[i + 1]) != 1 ||
          SSL_CTX_use_PrivateKey_file(tls, words[i + 2], SSL_FILETYPE_PEM) != 1) {
        std::fprintf(stderr, "bench_sink: the certificate or the key cannot be read\n");
        return 2;
      }
      i += 2;
    } else {
      std::fprintf(stderr, "bench_sink [--ports N] [--tls CERT KEY]\n");
      return 2;
    }
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Sink(ports, tls).run();
  return 0;
}
