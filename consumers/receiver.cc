#include "consumers/receiver.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <csignal>
#include <cstring>
#include <list>

namespace postrider_receive {
namespace {

constexpr int kHeaderBytesMax = 64 * 1024;
constexpr int kBodyBytesMax = 2 * 1024 * 1024;
constexpr int kIdleSeconds = 120;
constexpr int kHangSeconds = 120;  // longer than any sender waits; then the connection is dropped

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* handle) const {
    Free(handle);
  }
};
using Base = std::unique_ptr<event_base, Freed<event_base_free>>;
using Http = std::unique_ptr<evhttp, Freed<evhttp_free>>;
using Event = std::unique_ptr<event, Freed<event_free>>;
using TlsContext = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

std::int64_t unix_ms() {
  timeval now{};
  gettimeofday(&now, nullptr);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_usec / 1000;
}

std::string lowered(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::string body_of(evhttp_request* request) {
  auto* buffer = evhttp_request_get_input_buffer(request);
  std::string body(evbuffer_get_length(buffer), '\0');
  evbuffer_copyout(buffer, body.data(), body.size());
  return body;
}

std::vector<std::pair<std::string, std::string>> headers_of(evhttp_request* request) {
  std::vector<std::pair<std::string, std::string>> headers;
  const auto* list = evhttp_request_get_input_headers(request);
  for (const auto* entry = list->tqh_first; entry != nullptr; entry = entry->next.tqe_next) {
    headers.emplace_back(lowered(entry->key), entry->value);
  }
  return headers;
}

std::string header(const Arrival& arrival, std::string_view name) {
  for (const auto& [key, value] : arrival.headers) {
    if (key == name) return value;
  }
  return {};
}

void quit(evutil_socket_t, short, void* base) {
  event_base_loopbreak(static_cast<event_base*>(base));
}

// The other side sees a reset instead of an orderly end.
void close_with_reset(evhttp_connection* connection) {
  const auto fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  evhttp_connection_free(connection);
}

}  // namespace

class Receiver::Server {
 public:
  Server(ReceiverOptions options, const webhooks::Verifier& verifier, AnswerPlan plan,
         std::function<void(const Arrival&)> on_arrival)
      : options_(std::move(options)),
        verifier_(verifier),
        plan_(std::move(plan)),
        on_arrival_(std::move(on_arrival)) {}

  std::optional<Failure> listen();
  std::string url() const;
  void run() { event_base_dispatch(base_.get()); }

 private:
  bool tls() const { return !options_.certificate.empty(); }
  std::optional<Failure> load_certificate();
  std::optional<Failure> bind();
  void take(evhttp_request* request);
  Arrival judge(evhttp_request* request);
  void answer(evhttp_request* request, const Arrival& arrival);
  void end_later(evhttp_request* request, bool reset);

  // A connection that gets no answer, until it ends.
  struct Ending {
    Server* server;
    evhttp_connection* connection;
    bool reset;
    std::list<Ending>::iterator self;
  };
  static void end(evutil_socket_t, short, void* ending);

  ReceiverOptions options_;
  const webhooks::Verifier& verifier_;
  AnswerPlan plan_;
  std::function<void(const Arrival&)> on_arrival_;
  std::list<Ending> endings_;
  // In this order: events go before the base, connections (evhttp) before the TLS context.
  Base base_;
  TlsContext tls_context_;
  Event on_interrupt_, on_terminate_;
  Http http_;
  std::uint16_t port_ = 0;
};

std::optional<Failure> Receiver::Server::load_certificate() {
  tls_context_.reset(SSL_CTX_new(TLS_server_method()));
  auto* context = tls_context_.get();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (SSL_CTX_use_certificate_chain_file(context, options_.certificate.c_str()) != 1) {
    return Failure{true, "CERTIFICATE_UNREADABLE", "no PEM certificate in " + options_.certificate,
                   "give --tls CERT KEY, two PEM files"};
  }
  if (SSL_CTX_use_PrivateKey_file(context, options_.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Failure{true, "KEY_UNREADABLE", options_.key + " is not the private key of the certificate",
                   "give --tls CERT KEY, two PEM files"};
  }
  return std::nullopt;
}

std::optional<Failure> Receiver::Server::bind() {
  auto* bound = evhttp_bind_socket_with_handle(http_.get(), options_.host.c_str(), options_.port);
  if (!bound) {
    return Failure{false, "CANNOT_LISTEN",
                   "cannot listen on " + options_.host + ":" + std::to_string(options_.port) + ": " +
                       std::strerror(errno),
                   "choose a free port; port 0 takes any"};
  }
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(evhttp_bound_socket_get_fd(bound), reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                              : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  return std::nullopt;
}

std::optional<Failure> Receiver::Server::listen() {
  base_.reset(event_base_new());
  if (tls()) {
    if (auto failure = load_certificate()) return failure;
  }
  http_.reset(evhttp_new(base_.get()));
  evhttp_set_max_headers_size(http_.get(), kHeaderBytesMax);
  evhttp_set_max_body_size(http_.get(), kBodyBytesMax);
  evhttp_set_timeout(http_.get(), kIdleSeconds);
  evhttp_set_default_content_type(http_.get(), "text/plain; charset=utf-8");
  if (tls()) {
    evhttp_set_bevcb(
        http_.get(),
        [](event_base* base, void* context) {
          auto* connection = bufferevent_openssl_socket_new(base, -1, SSL_new(static_cast<SSL_CTX*>(context)),
                                                            BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
          bufferevent_openssl_set_allow_dirty_shutdown(connection, 1);
          return connection;
        },
        tls_context_.get());
  }
  evhttp_set_gencb(
      http_.get(), [](evhttp_request* request, void* self) { static_cast<Server*>(self)->take(request); },
      this);
  if (auto failure = bind()) return failure;
  on_interrupt_.reset(evsignal_new(base_.get(), SIGINT, quit, base_.get()));
  on_terminate_.reset(evsignal_new(base_.get(), SIGTERM, quit, base_.get()));
  event_add(on_interrupt_.get(), nullptr);
  event_add(on_terminate_.get(), nullptr);
  return std::nullopt;
}

std::string Receiver::Server::url() const {
  const bool six = options_.host.find(':') != std::string::npos;
  return (tls() ? "https://" : "http://") + (six ? "[" + options_.host + "]" : options_.host) + ":" +
         std::to_string(port_);
}

void Receiver::Server::take(evhttp_request* request) {
  if (evhttp_request_get_command(request) != EVHTTP_REQ_POST) {
    evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "POST");
    evhttp_send_reply(request, 405, nullptr, nullptr);
    return;
  }
  const auto arrival = judge(request);
  on_arrival_(arrival);
  answer(request, arrival);
}

Arrival Receiver::Server::judge(evhttp_request* request) {
  Arrival arrival;
  arrival.at_ms = unix_ms();
  arrival.headers = headers_of(request);
  arrival.body = body_of(request);
  arrival.webhook_id = header(arrival, "webhook-id");
  const auto signature = header(arrival, "webhook-signature");
  const auto x_signature = header(arrival, "x-webhook-signature");
  const auto x_next = header(arrival, "x-webhook-signature-next");
  arrival.timestamp = header(arrival, signature.empty() ? "x-webhook-timestamp" : "webhook-timestamp");
  const webhooks::Webhook webhook{arrival.webhook_id, arrival.timestamp, signature, x_signature, x_next,
                                  arrival.body};
  arrival.verdict = verifier_.verify(webhook, arrival.at_ms / 1000);
  const auto asked = header(arrival, "webhook-challenge");
  if (!arrival.verified()) {
    arrival.answer = {Answer::Kind::status, 401};
  } else if (const auto challenge = webhooks::challenge(asked, arrival.body)) {
    arrival.challenge = *challenge;
    arrival.answer = {Answer::Kind::status, 200};
  } else if (plan_.is_repeat(arrival.webhook_id)) {
    arrival.repeat = true;
    arrival.answer = {Answer::Kind::status, 200};
  } else {
    arrival.answer = plan_.next(arrival.webhook_id);
  }
  return arrival;
}

void Receiver::Server::answer(evhttp_request* request, const Arrival& arrival) {
  if (arrival.answer.kind != Answer::Kind::status) {
    end_later(request, arrival.answer.kind == Answer::Kind::reset);
    return;
  }
  if (options_.retry_after_seconds && !arrival.answer.processed()) {
    evhttp_add_header(evhttp_request_get_output_headers(request), "Retry-After",
                      std::to_string(*options_.retry_after_seconds).c_str());
  }
  if (!arrival.challenge.empty())
    evhttp_add_header(evhttp_request_get_output_headers(request), "webhook-challenge",
                      arrival.challenge.c_str());
  std::unique_ptr<evbuffer, Freed<evbuffer_free>> body(evbuffer_new());
  const char* words = !arrival.verified() ? webhooks::explain(arrival.verdict)
                      : arrival.repeat    ? "repeat"
                                          : "";
  evbuffer_add(body.get(), words, std::strlen(words));
  evhttp_send_reply(request, arrival.answer.status, nullptr, body.get());
}

// evhttp reads nothing more from a connection whose request is unanswered, so it stays ours until then. Never
// from inside the request's own callback, which still uses it.
void Receiver::Server::end_later(evhttp_request* request, bool reset) {
  endings_.push_front({this, evhttp_request_get_connection(request), reset, {}});
  endings_.front().self = endings_.begin();
  const timeval delay{reset ? 0 : kHangSeconds, 0};
  event_base_once(base_.get(), -1, EV_TIMEOUT, end, &endings_.front(), &delay);
}

void Receiver::Server::end(evutil_socket_t, short, void* context) {
  const auto ending = *static_cast<Ending*>(context);
  ending.server->endings_.erase(ending.self);
  ending.reset ? close_with_reset(ending.connection) : evhttp_connection_free(ending.connection);
}

Receiver::Receiver(ReceiverOptions options, const webhooks::Verifier& verifier, AnswerPlan plan,
                   std::function<void(const Arrival&)> on_arrival)
    : server_(
          std::make_unique<Server>(std::move(options), verifier, std::move(plan), std::move(on_arrival))) {}
Receiver::~Receiver() = default;
std::optional<Failure> Receiver::listen() {
  return server_->listen();
}
std::string Receiver::url() const {
  return server_->url();
}
void Receiver::run() {
  server_->run();
}

}  // namespace postrider_receive
