// The customers of a benchmark: N ports that answer every POST with 204, in one thread, for as little as it
// can be done for; and beside them ports that never answer, or late, or with a refusal. Each listens on all
// addresses of 127.0.0.0/8, so that one port stands for as many hosts as are named. Says on stdout where it
// listens, and for each line on stdin what arrived since the last one.
//
//   bench_sink [--ports N] [--hanging N] [--late N MS] [--refusing N SECONDS] [--close] [--tls CERT KEY]
//   → {"ports":[40001,…],"hanging":[],"late":[],"refusing":[]}
//   ← (a line)
//   →
//   {"requests":8000,"body_bytes":8192000,"others":0,"accepted":64,"latency_p50_ms":1.9,"latency_p99_ms":4.2,
//      "latency_max_ms":9.1,"again_p50_ms":0,"again_min_ms":0,"again_max_ms":0}
//
// Latency is the time from `ce-sentat` (wall clock, microseconds) to the arrival of the request's last byte.
// Requests, bytes and latencies are those of the ports that answer 204; what came to the others is counted
// apart. A refusing port answers 503 with Retry-After, once an event and host, and 204 when it comes again:
// `again` is the time from the refusal to that arrival. One in eight it takes at once, host by host, so that
// nobody takes it for dead. --close: each answer ends its connection, and no TLS session is resumed.
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
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr std::string_view kAnswer = "HTTP/1.1 204 No Content\r\n\r\n";
constexpr std::string_view kLastAnswer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

using Clock = std::chrono::steady_clock;

enum class Manner { answers, hangs, late, refuses };

struct Options {
  std::array<int, 4> ports{1, 0, 0, 0};  // by manner
  std::chrono::milliseconds late_by{0};
  int retry_after_seconds = 1;
  bool close = false;
  SSL_CTX* tls = nullptr;
};

struct FreeTls {
  void operator()(SSL* tls) const { SSL_free(tls); }
};

struct Connection {
  int socket = -1;
  bool listens = false;
  Manner manner = Manner::answers;
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

// The times of one kind that were taken since the last report, in milliseconds.
class Times {
 public:
  void add(std::int64_t micros) { micros_.push_back(micros); }
  double at(double share) {
    if (micros_.empty()) return 0;
    const auto index = static_cast<std::ptrdiff_t>(share * static_cast<double>(micros_.size() - 1));
    std::nth_element(micros_.begin(), micros_.begin() + index, micros_.end());
    return static_cast<double>(micros_[static_cast<std::size_t>(index)]) / 1000.0;
  }
  void clear() { micros_.clear(); }

 private:
  std::vector<std::int64_t> micros_;
};

class Sink {
 public:
  explicit Sink(const Options& options) : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    std::string line = "{";
    const std::array<const char*, 4> names{"ports", "hanging", "late", "refusing"};
    for (std::size_t manner = 0; manner < names.size(); ++manner) {
      line += std::string(manner == 0 ? "\"" : ",\"") + names[manner] + "\":[";
      for (int i = 0; i < options_.ports[manner]; ++i)
        line += (i == 0 ? "" : ",") + std::to_string(listen_somewhere(static_cast<Manner>(manner)));
      line += "]";
    }
    std::printf("%s}\n", line.c_str());
    std::fflush(stdout);
    watch(0, nullptr);
  }

  void run() {
    std::array<epoll_event, 256> events{};
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms());
      for (int i = 0; i < count; ++i) {
        auto* connection = static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (connection == nullptr) {
          if (!report()) return;
        } else if (connection->listens) {
          accept_all(*connection);
        } else if (!serve(*connection)) {
          end(connection);
        }
      }
      answer_late();
    }
  }

 private:
  int listen_somewhere(Manner manner) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    socklen_t size = sizeof(address);
    if (bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(socket, 4096) != 0)
      die("listen");
    getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
    watch(socket, new Connection{socket, true, manner, nullptr, {}});
    return ntohs(address.sin_port);
  }

  void watch(int socket, Connection* connection) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connection;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) != 0) die("epoll");
  }

  void accept_all(const Connection& listener) {
    for (;;) {
      sockaddr_in from{};
      socklen_t size = sizeof(from);
      const int socket =
          accept4(listener.socket, reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (socket < 0) return;
      // All addresses are listened on, and those of this machine alone are served.
      if (ntohl(from.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
        close(socket);
        continue;
      }
      ++accepted_;
      const int on = 1;
      setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      auto* connection = new Connection{socket, false, listener.manner, nullptr, {}};
      if (options_.tls != nullptr) {
        connection->tls.reset(SSL_new(options_.tls));
        SSL_set_fd(connection->tls.get(), socket);
        SSL_set_accept_state(connection->tls.get());
      }
      watch(socket, connection);
    }
  }

  void end(Connection* connection) {
    std::erase_if(late_, [connection](const Late& late) { return late.connection == connection; });
    close(connection->socket);
    delete connection;
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
      for (std::string answer; take_request(connection, answer); answer.clear()) {
        if (!answer.empty() && !write_all(connection, answer)) return false;
        if (options_.close && !answer.empty()) return false;
      }
      if (!connection.tls && got < static_cast<int>(buffer.size())) return true;
    }
  }

  static bool write_all(const Connection& connection, std::string_view text) {
    const int put = connection.tls
                        ? SSL_write(connection.tls.get(), text.data(), static_cast<int>(text.size()))
                        : static_cast<int>(write(connection.socket, text.data(), text.size()));
    if (put != static_cast<int>(text.size())) return false;
    return true;
  }

  static bool waits(const Connection& connection, int got) {
    if (!connection.tls) return got < 0 && errno == EAGAIN;
    const int error = SSL_get_error(connection.tls.get(), got);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  }

  // True when a whole request stood there; `answer` is what goes back now.
  bool take_request(Connection& connection, std::string& answer) {
    std::string& input = connection.input;
    const std::size_t end = input.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string_view head(input.data(), end + 2);
    const std::string_view length = header(head, "content-length");
    const std::size_t body = length.empty() ? 0 : std::strtoul(length.data(), nullptr, 10);
    if (input.size() < end + 4 + body) return false;
    answer = take(connection, head, body);
    input.erase(0, end + 4 + body);
    return true;
  }

  std::string take(Connection& connection, std::string_view head, std::size_t body) {
    if (connection.manner == Manner::answers) {
      ++requests_;
      bytes_ += body;
      const std::string_view sent = header(head, "ce-sentat");
      if (!sent.empty()) latencies_.add(wall_micros() - std::strtoll(sent.data(), nullptr, 10));
      return std::string(options_.close ? kLastAnswer : kAnswer);
    }
    ++others_;
    if (connection.manner == Manner::refuses) return refuse_once(head);
    if (connection.manner == Manner::late) late_.push_back({Clock::now() + options_.late_by, &connection});
    return {};
  }

  std::string refuse_once(std::string_view head) {
    const std::string host(header(head, "host"));
    const auto id = std::hash<std::string>{}(std::string(header(head, "webhook-id")) + host);
    if (const auto at = refused_.find(id); at != refused_.end()) {
      again_.add(wall_micros() - at->second);
      refused_.erase(at);
      return std::string(kAnswer);
    }
    if (++firsts_[host] % 8 == 0) return std::string(kAnswer);
    refused_.emplace(id, wall_micros());
    return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: " +
           std::to_string(options_.retry_after_seconds) + "\r\n\r\n";
  }

  // All wait equally long, so the first one is due first.
  int wait_ms() const {
    if (late_.empty()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(late_.front().due - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(0, left.count()));
  }

  void answer_late() {
    while (!late_.empty() && late_.front().due <= Clock::now()) {
      Connection& connection = *late_.front().connection;
      late_.pop_front();
      write_all(connection, kAnswer);
    }
  }

  bool report() {
    std::array<char, 256> line{};
    if (read(0, line.data(), line.size()) <= 0) return false;
    const auto count = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
    std::printf("{\"requests\":%llu,\"body_bytes\":%llu,\"others\":%llu,\"accepted\":%llu,", count(requests_),
                count(bytes_), count(others_), count(accepted_));
    std::printf("\"latency_p50_ms\":%.2f,\"latency_p99_ms\":%.2f,\"latency_max_ms\":%.2f,",
                latencies_.at(0.5), latencies_.at(0.99), latencies_.at(1));
    std::printf("\"again_p50_ms\":%.1f,\"again_min_ms\":%.1f,\"again_max_ms\":%.1f}\n", again_.at(0.5),
                again_.at(0), again_.at(1));
    std::fflush(stdout);
    requests_ = bytes_ = others_ = accepted_ = 0;
    latencies_.clear();
    again_.clear();
    return true;
  }

  struct Late {
    Clock::time_point due;
    Connection* connection;
  };

  const Options options_;
  int epoll_;
  std::uint64_t requests_ = 0, bytes_ = 0, others_ = 0, accepted_ = 0;
  Times latencies_, again_;
  std::deque<Late> late_;
  std::unordered_map<std::size_t, std::int64_t> refused_;  // hash of webhook-id and host → when
  std::unordered_map<std::string, std::uint64_t> firsts_;  // by host
};

SSL_CTX* tls_of(const char* cert, const char* key, bool close) {
  SSL_CTX* tls = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
      SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
    std::fprintf(stderr, "bench_sink: the certificate or the key cannot be read\n");
    std::exit(2);
  }
  if (close) {
    SSL_CTX_set_num_tickets(tls, 0);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  }
  return tls;
}

// False: not understood.
bool read_options(int count, char** words, Options& options) {
  const char *cert = nullptr, *key = nullptr;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const auto number = [&] { return std::atoi(words[++i]); };
    const int left = count - i - 1;
    if (word == "--close") {
      options.close = true;
    } else if (word == "--ports" && left >= 1) {
      options.ports[0] = number();
    } else if (word == "--hanging" && left >= 1) {
      options.ports[1] = number();
    } else if (word == "--late" && left >= 2) {
      options.ports[2] = number();
      options.late_by = std::chrono::milliseconds(number());
    } else if (word == "--refusing" && left >= 2) {
      options.ports[3] = number();
      options.retry_after_seconds = number();
    } else if (word == "--tls" && left >= 2) {
      cert = words[++i];
      key = words[++i];
    } else {
      return false;
    }
  }
  if (cert != nullptr) options.tls = tls_of(cert, key, options.close);
  return true;
}

}  // namespace

int main(int count, char** words) {
  Options options;
  if (!read_options(count, words, options)) {
    std::fprintf(stderr,
                 "bench_sink [--ports N] [--hanging N] [--late N MS] [--refusing N SECONDS] [--close] [--tls "
                 "CERT KEY]\n");
    return 2;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Sink(options).run();
  return 0;
}
