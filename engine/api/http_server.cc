#include "engine/api/http_server.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/api/http_connection.h"
#include "engine/api/server_tls.h"

namespace postrider {
namespace {

constexpr int kBacklog = 512;
constexpr Millis kAcceptPause{100};

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Base = std::unique_ptr<event_base, Freed<event_base_free>>;
using LoopEvent = std::unique_ptr<event, Freed<event_free>>;
using Listener = std::unique_ptr<evconnlistener, Freed<evconnlistener_free>>;

timeval timeval_of(Millis span) {
  return {.tv_sec = static_cast<time_t>(span.count() / 1000),
          .tv_usec = static_cast<suseconds_t>(span.count() % 1000 * 1000)};
}

Result<sockaddr_storage> address_of(const HttpServer::Options& options, socklen_t& length) {
  sockaddr_storage storage{};
  const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(options.port);
    length = sizeof *v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(options.port);
    length = sizeof *v6;
  } else {
    return fail(Errc::invalid, "INVALID_CONFIGURATION", "listen: " + host + " is no IP address",
                "write an IP address, as in \"127.0.0.1:8080\"");
  }
  return storage;
}

}  // namespace

class HttpServer::Loop : public ConnectionHost, public std::enable_shared_from_this<Loop> {
 public:
  Loop(Options options, Handlers handlers)
      : options_(std::move(options)),
        handlers_(std::move(handlers)),
        budget_(std::make_shared<BodyBudget>(options_.body_bytes_total)) {}

  ~Loop() override {
    if (wake_fd_ >= 0) ::close(wake_fd_);
  }

  Result<void> start() {
    if (!options_.tls_cert.empty()) {
      auto tls = ServerTls::open({options_.tls_cert, options_.tls_key, options_.tls_client_ca});
      if (!tls) return fail(tls.error());
      tls_ = *std::move(tls);
    }
    base_.reset(event_base_new());
    wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    wake_ = make_event(wake_fd_, EV_READ | EV_PERSIST, [](Loop& loop) { loop.run_posted(); });
    reaper_ = make_event(-1, 0, [](Loop& loop) { loop.graveyard_.clear(); });
    accept_again_ = make_event(-1, 0, [](Loop& loop) {
      if (loop.listener_) evconnlistener_enable(loop.listener_.get());
    });
    stop_deadline_ = make_event(-1, 0, [](Loop& loop) { event_base_loopbreak(loop.base_.get()); });
    event_add(wake_.get(), nullptr);
    if (tls_) {
      certificates_ = make_event(-1, EV_PERSIST, [](Loop& loop) { loop.look_at_certificates(); });
      const auto every = timeval_of(options_.certificates_every);
      event_add(certificates_.get(), &every);
    }
    if (auto bound = bind(); !bound) return bound;
    // Signals are the main thread's; SIGPIPE of a write to a closed socket is nobody's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] {
      thread_id_ = std::this_thread::get_id();
      event_base_dispatch(base_.get());
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(thread_.native_handle(), "api");
    return {};
  }

  void post(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return;
      posted_.push_back(std::move(work));
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
  }

  void stop(Millis grace) {
    if (!thread_.joinable()) return;
    post([this, grace] { begin_stop(grace); });
    thread_.join();
    std::deque<std::function<void()>> dropped;
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      dropped.swap(posted_);
    }
    thread_id_ = {};  // may be another thread's soon
    // The loop's thread is gone: what hung on it is ours to free, the connections before their base.
    dropped.clear();
    connections_.clear();
    graveyard_.clear();
    count_ = 0;
    listener_.reset();
    for (auto* each : {&wake_, &reaper_, &accept_again_, &stop_deadline_, &certificates_}) each->reset();
    base_.reset();
  }

  std::uint16_t port() const { return port_; }
  std::size_t count() const { return count_; }

  // ConnectionHost
  const Options& options() const override { return options_; }
  const Handlers& handlers() const override { return handlers_; }
  std::shared_ptr<BodyBudget> budget() override { return budget_; }
  bool stopping() const override { return stopping_; }

  Respond responder(std::uint64_t id, std::uint64_t number, std::size_t charged) override {
    // Shared by the copies of one Respond function: the budget is given back when the last of them is gone,
    // on whichever thread that is. A second answer finds no request of that number being answered.
    struct Ticket {
      std::weak_ptr<Loop> loop;
      std::shared_ptr<BodyBudget> budget;
      std::uint64_t id, number;
      std::size_t charged;
      Ticket(std::weak_ptr<Loop> l, std::shared_ptr<BodyBudget> b, std::uint64_t i, std::uint64_t n,
             std::size_t c)
          : loop(std::move(l)), budget(std::move(b)), id(i), number(n), charged(c) {}
      ~Ticket() { budget->give_back(charged); }
    };
    auto ticket = std::make_shared<Ticket>(weak_from_this(), budget_, id, number, charged);
    return [ticket](ApiResponse response) {
      if (auto loop = ticket->loop.lock()) loop->answer(ticket->id, ticket->number, std::move(response));
    };
  }

  void set_waiting(std::uint64_t id, bool waiting) override {
    const auto found = waiting_places_.find(id);
    if (waiting == (found != waiting_places_.end())) return;
    if (waiting) {
      waiting_places_[id] = waiting_.insert(waiting_.end(), id);
    } else {
      waiting_.erase(found->second);
      waiting_places_.erase(found);
    }
  }

  void bury(std::uint64_t id) override {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    graveyard_.push_back(std::move(found->second));
    connections_.erase(found);
    count_ = connections_.size();
    event_active(reaper_.get(), EV_TIMEOUT, 0);
    if (stopping_ && connections_.empty()) event_base_loopbreak(base_.get());
  }

 private:
  using Call = std::pair<Loop*, void (*)(Loop&)>;  // what an event's callback is given

  LoopEvent make_event(int fd, short what, void (*run)(Loop&)) {
    calls_.push_back(std::make_unique<Call>(this, run));
    return LoopEvent(event_new(
        base_.get(), fd, what,
        [](evutil_socket_t, short, void* call) {
          const auto& [loop, function] = *static_cast<Call*>(call);
          function(*loop);
        },
        calls_.back().get()));
  }

  Result<void> bind() {
    socklen_t length = 0;
    auto address = address_of(options_, length);
    if (!address) return fail(address.error());
    listener_.reset(evconnlistener_new_bind(
        base_.get(),
        [](evconnlistener*, evutil_socket_t socket, sockaddr*, int, void* self) {
          static_cast<Loop*>(self)->on_accept(socket);
        },
        this, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, kBacklog,
        reinterpret_cast<sockaddr*>(&*address), static_cast<int>(length)));
    if (!listener_)
      return fail(Errc::unavailable, "LISTEN_FAILED",
                  "cannot listen on " + options_.host + " port " + std::to_string(options_.port) + ": " +
                      std::strerror(errno),
                  "free the port, or give another `listen`");
    evconnlistener_set_error_cb(
        listener_.get(), [](evconnlistener*, void* self) { static_cast<Loop*>(self)->on_accept_failed(); });
    sockaddr_storage bound{};
    length = sizeof bound;
    getsockname(evconnlistener_get_fd(listener_.get()), reinterpret_cast<sockaddr*>(&bound), &length);
    port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                              : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
    return {};
  }

  void on_accept(int socket) {
    if (connections_.size() >= options_.connections && !make_room()) {
      ::close(socket);
      return;
    }
    SSL* tls = tls_ ? tls_->session() : nullptr;
    const auto id = next_id_++;
    connections_.emplace(id, std::make_unique<HttpConnection>(*this, base_.get(), socket, tls, id));
    count_ = connections_.size();
  }

  // Out of descriptors, most likely: the listener would be called again at once, for ever.
  void on_accept_failed() {
    make_room();
    evconnlistener_disable(listener_.get());
    const auto pause = timeval_of(kAcceptPause);
    event_add(accept_again_.get(), &pause);
  }

  // Closes the connection that has waited longest for its client: while thousands of slow ones come, whoever
  // asks without delay is served before it is his turn. False: none waits.
  bool make_room() {
    if (waiting_.empty()) return false;
    connections_.at(waiting_.front())->close();
    return true;
  }

  void look_at_certificates() {
    const auto looked = tls_->look_again();
    if (looked && options_.on_certificates) options_.on_certificates(*looked);
  }

  void answer(std::uint64_t id, std::uint64_t number, ApiResponse response) {
    if (std::this_thread::get_id() != thread_id_) {
      auto moved = std::make_shared<ApiResponse>(std::move(response));
      return post([this, id, number, moved] { answer(id, number, std::move(*moved)); });
    }
    const auto found = connections_.find(id);
    if (found != connections_.end()) found->second->answer(number, std::move(response));
  }

  void run_posted() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_fd_, &count, sizeof count);
    std::deque<std::function<void()>> work;
    {
      const std::lock_guard lock(mutex_);
      work.swap(posted_);
    }
    for (auto& each : work) each();
  }

  void begin_stop(Millis grace) {
    stopping_ = true;
    evconnlistener_disable(listener_.get());
    std::vector<HttpConnection*> all;
    for (auto& [id, connection] : connections_) all.push_back(connection.get());
    for (auto* connection : all) connection->wind_down();
    if (connections_.empty()) event_base_loopbreak(base_.get());
    const auto wait = timeval_of(grace);
    event_add(stop_deadline_.get(), &wait);
  }

  const Options options_;
  const Handlers handlers_;
  const std::shared_ptr<BodyBudget> budget_;
  Base base_;
  std::unique_ptr<ServerTls> tls_;  // nullptr: plain HTTP
  Listener listener_;
  std::vector<std::unique_ptr<Call>> calls_;
  LoopEvent wake_, reaper_, accept_again_, stop_deadline_, certificates_;
  int wake_fd_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
  std::thread::id thread_id_;

  std::unordered_map<std::uint64_t, std::unique_ptr<HttpConnection>> connections_;
  std::vector<std::unique_ptr<HttpConnection>> graveyard_;
  std::list<std::uint64_t> waiting_;  // for their clients; the longest first
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> waiting_places_;
  std::uint64_t next_id_ = 1;
  bool stopping_ = false;
  std::atomic<std::size_t> count_{0};

  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;
  bool stopped_ = false;
};

HttpServer::HttpServer(Options options, Handlers handlers)
    : loop_(std::make_shared<Loop>(std::move(options), std::move(handlers))) {}
HttpServer::~HttpServer() {
  stop(Millis(0));
}
Result<void> HttpServer::start() {
  return loop_->start();
}
std::uint16_t HttpServer::port() const {
  return loop_->port();
}
void HttpServer::post(std::function<void()> work) {
  loop_->post(std::move(work));
}
void HttpServer::stop(Millis grace) {
  loop_->stop(grace);
}
std::size_t HttpServer::connections() const {
  return loop_->count();
}

}  // namespace postrider
