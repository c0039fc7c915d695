#include "engine/api/http_connection.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>

namespace postrider {
namespace {

constexpr std::size_t kInputBytesMax = 64 * 1024;
constexpr std::size_t kDiscardedBytesMax = 1 << 20;
constexpr Millis kLinger{2'000};

std::string_view phrase_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 207:
      return "Multi-Status";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return status < 500 ? "Refused" : "Internal Server Error";
  }
}

std::string http_date() {
  const auto now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  const auto length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, length};
}

std::string head_of(const ApiResponse& response, bool keep_alive) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head += phrase_of(response.status);
  head += "\r\nDate: " + http_date();
  for (const auto& header : response.headers) head += "\r\n" + header.name + ": " + header.value;
  head += "\r\nContent-Length: " + std::to_string(response.body.size());
  if (!keep_alive) head += "\r\nConnection: close";
  return head + "\r\n\r\n";
}

// An answer may hold a secret that is shown once: its bytes go into the socket's queue uncopied and are
// cleansed when they have left it.
void add_cleansed(evbuffer* out, std::string body) {
  auto* owned = new std::string(std::move(body));
  evbuffer_add_reference(
      out, owned->data(), owned->size(),
      [](const void*, size_t, void* string) {
        auto* spent = static_cast<std::string*>(string);
        OPENSSL_cleanse(spent->data(), spent->size());
        delete spent;
      },
      owned);
}

// As text; of a v4 address that a v6 socket shows: the v4 one.
std::string peer_of(int socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&storage)->sin_addr, text.data(), text.size());
  } else if (storage.ss_family == AF_INET6) {
    const auto& address = reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr;
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&address);
    const void* bytes = mapped ? &address.s6_addr[12] : &address.s6_addr[0];
    inet_ntop(mapped ? AF_INET : AF_INET6, bytes, text.data(), text.size());
  }
  return text.data();
}

timeval timeval_of(Millis span) {
  return {.tv_sec = static_cast<time_t>(span.count() / 1000),
          .tv_usec = static_cast<suseconds_t>(span.count() % 1000 * 1000)};
}

}  // namespace

HttpConnection::HttpConnection(ConnectionHost& host, event_base* base, int socket, SSL* tls, std::uint64_t id)
    : host_(host), id_(id), parser_({.head_bytes = host.options().head_bytes, .client = peer_of(socket)}) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (tls) {
    buffers_ =
        bufferevent_openssl_socket_new(base, socket, tls, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_openssl_set_allow_dirty_shutdown(buffers_, 1);
  } else {
    buffers_ = bufferevent_socket_new(base, socket, BEV_OPT_CLOSE_ON_FREE);
  }
  bufferevent_setwatermark(buffers_, EV_READ, 0, kInputBytesMax);
  bufferevent_setcb(
      buffers_, [](bufferevent*, void* self) { static_cast<HttpConnection*>(self)->on_readable(); },
      [](bufferevent*, void* self) { static_cast<HttpConnection*>(self)->on_written(); },
      [](bufferevent*, short what, void* self) { static_cast<HttpConnection*>(self)->on_event(what); }, this);
  deadline_ = evtimer_new(
      base, [](evutil_socket_t, short, void* self) { static_cast<HttpConnection*>(self)->on_deadline(); },
      this);
  bufferevent_enable(buffers_, EV_READ | EV_WRITE);
  const auto& options = host_.options();
  arm(tls ? std::min(options.handshake_timeout, options.request_timeout) : options.idle_timeout);
  host_.set_waiting(id_, true);
}

HttpConnection::~HttpConnection() {
  give_back_budget();
  event_free(deadline_);
  bufferevent_free(buffers_);
}

void HttpConnection::arm(Millis span) {
  const auto wait = timeval_of(span);
  evtimer_add(deadline_, &wait);
}

void HttpConnection::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  bufferevent_setcb(buffers_, nullptr, nullptr, nullptr, nullptr);
  bufferevent_disable(buffers_, EV_READ | EV_WRITE);
  evtimer_del(deadline_);
  host_.set_waiting(id_, false);
  host_.bury(id_);
}

void HttpConnection::wind_down() {
  keep_alive_ = false;
  if (phase_ == Phase::reading) close();
}

void HttpConnection::on_event(short what) {
  if (what & BEV_EVENT_CONNECTED) return arm(host_.options().idle_timeout);  // TLS is up
  if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) close();
}

void HttpConnection::on_deadline() {
  switch (phase_) {
    case Phase::reading:
      if (!begun_) return close();
      return refuse(408, "REQUEST_TIMEOUT", "the request did not arrive in time");
    case Phase::answering: {
      keep_alive_ = false;
      auto response =
          host_.handlers().refuse(504, "TIMEOUT", "the answer took too long; it may still take effect");
      return answer(number_, std::move(response));
    }
    case Phase::writing:
    case Phase::lingering:
      return close();
    case Phase::closed:
      return;
  }
}

void HttpConnection::on_readable() {
  auto* input = bufferevent_get_input(buffers_);
  if (phase_ == Phase::lingering) {
    discarded_ += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
    if (discarded_ > kDiscardedBytesMax) close();
    return;
  }
  // While a request is being answered, the next one waits in the input's bounded buffer.
  while (phase_ == Phase::reading && evbuffer_get_length(input) > 0) read_some();
}

void HttpConnection::read_some() {
  if (!begun_) {
    begun_ = true;
    arm(host_.options().request_timeout);
  }
  auto* input = bufferevent_get_input(buffers_);
  evbuffer_iovec chunk{};
  evbuffer_peek(input, -1, nullptr, &chunk, 1);
  const auto taken = parser_.feed({static_cast<const char*>(chunk.iov_base), chunk.iov_len});
  // A body may hold a signing secret: it stays nowhere but in the request.
  OPENSSL_cleanse(chunk.iov_base, taken);
  evbuffer_drain(input, taken);
  on_parsed();
}

void HttpConnection::on_parsed() {
  if (parser_.state() == RequestParser::State::head_done) admit();
  if (phase_ != Phase::reading) return;
  if (parser_.state() == RequestParser::State::failed)
    refuse(parser_.failure().status, parser_.failure().code, parser_.failure().message);
  else if (parser_.state() == RequestParser::State::done)
    hand_over();
}

void HttpConnection::admit() {
  keep_alive_ = parser_.keep_alive() && !host_.stopping();
  head_only_ = parser_.head().method == "HEAD";
  auto admission = host_.handlers().admit(parser_.head());
  if (admission.refusal) {
    keep_alive_ = keep_alive_ && parser_.announced() == 0;  // else its body would be read as a request
    return write(std::move(*admission.refusal));
  }
  const auto expected = parser_.announced().value_or(admission.body_bytes_max);
  const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(expected, admission.body_bytes_max));
  if (!host_.budget()->take(bytes))
    return refuse(503, "OVERLOADED", "too many requests are being read at once");
  charged_ = bytes;
  parser_.begin_body(admission.body_bytes_max);
  if (parser_.state() == RequestParser::State::body && parser_.expects_continue())
    bufferevent_write(buffers_, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

void HttpConnection::hand_over() {
  phase_ = Phase::answering;
  host_.set_waiting(id_, false);
  arm(host_.options().answer_timeout);
  const auto charged = charged_;
  charged_ = 0;
  host_.handlers().handle(parser_.take(), host_.responder(id_, number_, charged));
}

void HttpConnection::answer(std::uint64_t number, ApiResponse response) {
  if (phase_ == Phase::answering && number == number_) write(std::move(response));
}

void HttpConnection::refuse(int status, const std::string& code, const std::string& message) {
  keep_alive_ = false;
  write(host_.handlers().refuse(status, code, message));
}

void HttpConnection::write(ApiResponse response) {
  phase_ = Phase::writing;
  host_.set_waiting(id_, true);
  give_back_budget();
  const auto head = head_of(response, keep_alive_ && !host_.stopping());
  bufferevent_write(buffers_, head.data(), head.size());
  if (!head_only_ && !response.body.empty())
    add_cleansed(bufferevent_get_output(buffers_), std::move(response.body));
  arm(host_.options().write_timeout);
}

void HttpConnection::on_written() {
  if (phase_ != Phase::writing || evbuffer_get_length(bufferevent_get_output(buffers_)) > 0) return;
  if (!keep_alive_ || host_.stopping()) return linger();
  next_request();
}

// Closing with unread bytes in the socket would reset the connection, and the client might never see the
// answer: our side is closed, and what still comes is thrown away for a while.
void HttpConnection::linger() {
  phase_ = Phase::lingering;
  if (auto* tls = bufferevent_openssl_get_ssl(buffers_)) SSL_shutdown(tls);
  ::shutdown(bufferevent_getfd(buffers_), SHUT_WR);
  arm(kLinger);
  on_readable();
}

void HttpConnection::next_request() {
  phase_ = Phase::reading;
  ++number_;
  begun_ = false;
  if (parser_.state() != RequestParser::State::head) parser_.take();  // refused at its head
  arm(host_.options().idle_timeout);
  host_.set_waiting(id_, false);
  host_.set_waiting(id_, true);  // anew
  on_readable();
}

void HttpConnection::give_back_budget() {
  if (charged_ > 0) host_.budget()->give_back(charged_);
  charged_ = 0;
}

}  // namespace postrider
