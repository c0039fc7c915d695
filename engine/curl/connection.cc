#include "engine/curl/connection.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace postrider {

namespace {

constexpr long kKeepaliveIdleSeconds = 60;
// What a receiver may say unasked, in TLS: session tickets, mostly.
constexpr std::uint32_t kSpokenMax = 16;
// libcurl closes what it finds too old; that is judged here instead.
constexpr long kNever = INT_MAX / 2000;

std::int32_t phase_between(CURL* easy, CURLINFO begin, CURLINFO end) {
  curl_off_t begun = 0, ended = 0;
  if (begin != CURLINFO_NONE) curl_easy_getinfo(easy, begin, &begun);
  curl_easy_getinfo(easy, end, &ended);
  if (ended <= 0) return -1;  // not reached
  return static_cast<std::int32_t>(std::clamp<curl_off_t>((ended - begun) / 1000, 0, INT32_MAX));
}

Connection::Io failed_with(int code, std::uint32_t waits_for) {
  if (code == EAGAIN || code == EWOULDBLOCK || code == EINTR)
    return {Connection::Io::Kind::later, 0, waits_for};
  return {Connection::Io::Kind::broken};
}

}  // namespace

Connection::Connection(ConnectionContext& context, SocketOwner& owner)
    : context_(context), owner_(owner), easy_(curl_easy_init()) {
  if (easy_) set_what_never_changes();
}

Connection::~Connection() {
  close();
  std::erase(context_.lost, this);
}

void Connection::set_what_never_changes() {
  CURL* easy = easy_.get();
  const bool plain = context_.guard.admits_plain_http();
  curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  // Nothing from the environment, and nowhere but where the caller said.
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  curl_easy_setopt(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "https,http" : "https");
  // A receive() gives no more than this at once, and what libcurl has taken from the kernel beyond it no
  // epoll would tell of: so it is what a TLS record holds at most. libcurl has it while it opens the
  // connection, and no longer.
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, static_cast<long>(kTlsRecordBytesMax));
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  // Names are resolved and vetted by the caller. libcurl sees only pins, and its cache would be scanned.
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, kNever);
  curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, 0L);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Connection::on_open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &Connection::on_close_socket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &owner_);
  set_tls();
}

void Connection::set_tls() {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Connection::on_tls_context);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
}

bool Connection::set_origin(const Url& url) {
  std::string text = url.scheme + "://";
  text += url.host_is_ipv6 ? '[' + url.host + ']' : url.host;
  text += ':' + std::to_string(url.port) + '/';
  if (curl_easy_setopt(easy_.get(), CURLOPT_URL, text.c_str()) != CURLE_OK) return false;
  scheme_ = url.scheme;
  port_ = url.port;
  return true;
}

// --- opening and closing
// -------------------------------------------------------------------------------------

void Connection::begin_anew() {
  close();
  dialled_ = denied_ = ours_ = false;
  connect_ms_ = tls_ms_ = -1;
}

bool Connection::open(Lane& lane, const IpAddress& address, Millis total, Millis connect) {
  begin_anew();
  set_proxy(address);
  set_pin(address);
  set_timeouts(total, connect);
  if (curl_multi_add_handle(lane.multi.get(), easy_.get()) != CURLM_OK) return false;
  lane_ = &lane;
  ++lane.handles;
  return true;
}

bool Connection::opened() {
  note_phases();
  through_libcurl_ = !is_plain() || via_proxy_;
  spoken_ = 0;
  opened_at_ = std::chrono::steady_clock::now();
  // The guard may have changed its mind while the receiver took its time over the handshake.
  denied_ = !is_admitted();
  if (denied_) return false;
  stands_ = context_.poller->watch(socket_, EPOLLIN, &owner_);
  ours_ = !stands_;
  if (stands_ && !through_libcurl_) hold();
  return stands_;
}

// libcurl closes what it finds dead while it opens another, with what was not read of it, unless a handle is
// at work on it. This makes it so; bytes through libcurl do the same.
void Connection::hold() {
  std::size_t none = 0;
  (void)curl_easy_recv(easy_.get(), context_.bytes.data(), 0, &none);
}

void Connection::note_phases() {
  connect_ms_ = phase_between(easy_.get(), CURLINFO_NONE, CURLINFO_CONNECT_TIME_T);
  tls_ms_ = phase_between(easy_.get(), CURLINFO_CONNECT_TIME_T, CURLINFO_APPCONNECT_TIME_T);
}

// What libcurl has connected it closes when the handle leaves the multi.
void Connection::close() {
  if (lane_ == nullptr) return;
  stands_ = false;
  --lane_->handles;
  curl_multi_remove_handle(std::exchange(lane_, nullptr)->multi.get(), easy_.get());
  // A socket that was never connected it closes without a word.
  if (std::exchange(socket_, -1) >= 0) --context_.open_sockets;
}

void Connection::set_proxy(const IpAddress& address) {
  const bool wanted = wants_proxy(address);
  if (wanted == via_proxy_) return;
  via_proxy_ = wanted;
  curl_easy_setopt(easy_.get(), CURLOPT_PROXY, wanted ? context_.proxy_text.c_str() : "");
  curl_easy_setopt(easy_.get(), CURLOPT_HTTPPROXYTUNNEL, wanted ? 1L : 0L);
}

void Connection::set_pin(const IpAddress& address) {
  if (pin_ && *pin_ == address && pin_port_ == port_) return;
  pin_ = address;
  pin_port_ = port_;
  pin_ip_ = format_ip(address);
  // "::IP:PORT": whatever host and port the URL names. An IPv6 address stands in brackets.
  pin_text_ = (address.v6 ? "::[" + pin_ip_ + "]:" : "::" + pin_ip_ + ":") + std::to_string(pin_port_);
  pin_list_ = {pin_text_.data(), nullptr};
  curl_easy_setopt(easy_.get(), CURLOPT_CONNECT_TO, &pin_list_);
}

void Connection::set_timeouts(Millis total, Millis connect) {
  const auto total_ms = static_cast<long>(total.count());
  const auto connect_ms = static_cast<long>(connect.count());
  if (std::exchange(timeout_ms_, total_ms) != total_ms)
    curl_easy_setopt(easy_.get(), CURLOPT_TIMEOUT_MS, total_ms);
  if (std::exchange(connect_timeout_ms_, connect_ms) != connect_ms)
    curl_easy_setopt(easy_.get(), CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
}

curl_socket_t Connection::on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* address) {
  auto& connection = *static_cast<Connection*>(self);
  ConnectionContext& context = connection.context_;
  const auto dialled = address_of(address->addr);
  // Only the pinned address, or the proxy that is asked for it, and only if the guard admits it.
  if (purpose != CURLSOCKTYPE_IPCXN || !dialled || !connection.pin_ ||
      *dialled != connection.dialled_address() ||
      !context.guard.admits(*connection.pin_, connection.pin_port_, connection.is_plain())) {
    connection.denied_ = true;
    return CURL_SOCKET_BAD;
  }
  const int socket =
      ::socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
  if (socket < 0) {
    connection.ours_ = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    return CURL_SOCKET_BAD;
  }
  if (connection.socket_ < 0) ++context.open_sockets;  // else libcurl has closed the one before in silence
  context.poller->forget(socket);  // what was known of that number was of another, perhaps closed in silence
  connection.socket_ = socket;
  connection.dialled_ = true;
  connection.admitted_in_ = context.guard_generation;
  return socket;
}

int Connection::on_close_socket(void* self, curl_socket_t socket) {
  auto& connection = *static_cast<Connection*>(self);
  ConnectionContext& context = connection.context_;
  --context.open_sockets;
  context.poller->forget(socket);
  if (std::exchange(connection.stands_, false)) context.lost.push_back(&connection);
  connection.socket_ = -1;
  return ::close(socket);
}

CURLcode Connection::on_tls_context(CURL*, void* tls_context, void* self) {
  auto* context = static_cast<SSL_CTX*>(tls_context);
  // One record a read: else OpenSSL stays in one call for as long as a receiver sends session tickets.
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return SSL_CTX_set1_cert_store(context, static_cast<Connection*>(self)->context_.trust), CURLE_OK;
}

// --- used again
// ----------------------------------------------------------------------------------------------

bool Connection::is_admitted() {
  if (admitted_in_ == context_.guard_generation) return true;
  if (!context_.guard.admits(*pin_, pin_port_, is_plain()) || wants_proxy(*pin_) != via_proxy_) return false;
  admitted_in_ = context_.guard_generation;
  return true;
}

bool Connection::may_carry(const Destination& to, PollTime now) {
  if (!stands_ || now - opened_at_ > context_.connection_lifetime_max || !is_admitted()) return false;
  if (std::find(to.addresses.begin(), to.addresses.end(), *pin_) == to.addresses.end()) return false;
  // Its end, or what would be taken for the next answer, may have come since the loop last looked, even in
  // this turn.
  spoken_ = 0;
  char one;
  while (::recv(socket_, &one, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) {
    if (!is_still_good()) return false;
  }
  if (errno != EAGAIN) return false;
  dialled_ = true;
  denied_ = ours_ = false;
  connect_ms_ = tls_ms_ = -1;
  context_.poller->count_anew(socket_);
  return true;
}

bool Connection::is_still_good() {
  // In plain HTTP nobody speaks unasked: it is the end, or what would be taken for the next answer.
  if (!through_libcurl_ || ++spoken_ > kSpokenMax) return false;
  return receive().kind == Io::Kind::later;
}

void Connection::watch(std::uint32_t events) {
  context_.poller->watch(socket_, events, &owner_);
}

// --- bytes
// ---------------------------------------------------------------------------------------------------

Connection::Io Connection::send(std::string_view head, std::string_view body, std::size_t from) {
  if (!stands_) return {Io::Kind::broken};
  if (through_libcurl_) return send_through_libcurl(head, body, from);
  std::array<iovec, 2> parts{};
  std::size_t count = 0;
  const auto add = [&](std::string_view part) {
    if (!part.empty()) parts[count++] = {const_cast<char*>(part.data()), part.size()};
  };
  if (from < head.size()) add(head.substr(from));
  add(body.substr(from < head.size() ? 0 : from - head.size()));
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(socket_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return failed_with(errno, EPOLLOUT);
  return {Io::Kind::some, static_cast<std::size_t>(sent)};
}

// In one TLS record where it fits.
Connection::Io Connection::send_through_libcurl(std::string_view head, std::string_view body,
                                                std::size_t from) {
  std::string_view piece = from < head.size() ? head.substr(from) : body.substr(from - head.size());
  if (from < head.size() && !body.empty()) {
    char* const out = context_.bytes.data();
    const std::size_t of_head = std::min(piece.size(), context_.bytes.size());
    const std::size_t of_body = std::min(body.size(), context_.bytes.size() - of_head);
    std::memcpy(out, piece.data(), of_head);
    std::memcpy(out + of_head, body.data(), of_body);
    piece = {out, of_head + of_body};
  }
  std::size_t sent = 0;
  const CURLcode code = curl_easy_send(easy_.get(), piece.data(), piece.size(), &sent);
  if (code == CURLE_AGAIN || (code == CURLE_OK && sent == 0)) return later_through_libcurl(EPOLLOUT);
  if (code != CURLE_OK) return {Io::Kind::broken};
  return {Io::Kind::some, sent};
}

// libcurl says only that it would block. Watched for the other event, the socket would be ready at once, and
// the loop awake, for as long as the receiver likes.
Connection::Io Connection::later_through_libcurl(std::uint32_t otherwise) const {
  Io later{Io::Kind::later, 0, otherwise};
  curl_tlssessioninfo* session = nullptr;
  if (curl_easy_getinfo(easy_.get(), CURLINFO_TLS_SSL_PTR, &session) != CURLE_OK || session == nullptr ||
      session->internals == nullptr) {
    return later;  // a proxy's, in plain HTTP
  }
  const int wanted = SSL_want(static_cast<const SSL*>(session->internals));
  if (wanted == SSL_READING) later.events = EPOLLIN;
  if (wanted == SSL_WRITING) later.events = EPOLLOUT;
  return later;
}

Connection::Io Connection::receive() {
  if (!stands_) return {Io::Kind::ended};
  if (through_libcurl_) {
    std::size_t got = 0;
    const CURLcode code = curl_easy_recv(easy_.get(), context_.bytes.data(), context_.bytes.size(), &got);
    if (code == CURLE_AGAIN) return later_through_libcurl(EPOLLIN);
    if (code != CURLE_OK) return {Io::Kind::broken};
    return got == 0 ? Io{Io::Kind::ended} : Io{Io::Kind::some, got};
  }
  const ssize_t got = ::recv(socket_, context_.bytes.data(), context_.bytes.size(), MSG_DONTWAIT);
  if (got < 0) return failed_with(errno, EPOLLIN);
  return got == 0 ? Io{Io::Kind::ended} : Io{Io::Kind::some, static_cast<std::size_t>(got)};
}

}  // namespace postrider
