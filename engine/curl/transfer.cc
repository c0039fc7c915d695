#include "engine/curl/transfer.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace postrider {

namespace {

constexpr long kKeepaliveIdleSeconds = 60;
// libcurl copies what it sends of a large body into a buffer of the handle's, 64 KiB if nothing is said: a
// quarter of a gigabyte at 4,096 attempts of one large event.
constexpr long kUploadBufferBytes = 16 * 1024;

Millis since(PollTime begin, PollTime end) {
  return std::chrono::duration_cast<Millis>(end - begin);
}

bool same(const Url& left, const Url& right) {
  return left.path == right.path && left.query == right.query && left.host == right.host &&
         left.port == right.port && left.scheme == right.scheme && left.host_is_ipv6 == right.host_is_ipv6;
}

}  // namespace

Transfer::Transfer(TransferContext& context)
    : context_(context), easy_(curl_easy_init()), answer_(context.limits) {
  if (easy_) set_what_never_changes();
}

void Transfer::set_what_never_changes() {
  CURL* easy = easy_.get();
  const bool plain = context_.guard.admits_plain_http();
  curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_POST, 1L);
  // Nothing from the environment, and nowhere but where the caller said.
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // the proxy's answer is not the receiver's
  curl_easy_setopt(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "https,http" : "https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  // The body is counted as it came: nothing is inflated.
  curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
  curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  // Names are resolved and vetted by the caller. libcurl sees only pins, and its cache would be scanned at
  // each completion.
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, static_cast<long>(context_.connection_idle_max.count() / 1000));
  curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN,
                   static_cast<long>(context_.connection_lifetime_max.count() / 1000));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  // A pooled connection outlives the transfer that opened it: its close goes to the context.
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &Transfer::on_close_socket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, &context_);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &Transfer::on_before_request);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, this);
  set_tls();
}

void Transfer::set_tls() {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Transfer::on_tls_context);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
}

bool Transfer::has_url(const std::shared_ptr<const Destination>& to) const {
  return url_is_set_ && (set_to_ == to || same(set_to_->url, to->url));
}

// The text that libcurl will parse must mean to our strict parser exactly what the caller vetted.
bool Transfer::set_url(const std::shared_ptr<const Destination>& to) {
  if (has_url(to)) return true;
  url_is_set_ = false;
  const Url& url = to->url;
  const std::string text = url.whole();
  const Result<Url> parsed = parse_url(text);
  if (!parsed || !same(*parsed, url)) return false;
  if (curl_easy_setopt(easy_.get(), CURLOPT_URL, text.c_str()) != CURLE_OK) return false;
  set_to_ = to;
  head_.set_url(url);
  return url_is_set_ = true;
}

bool Transfer::set_headers() {
  const HeaderLines* const shared = request_.shared_headers.get();
  const bool whole = context_.heads_in_one_piece && head_.build(request_.headers, shared);
  const char* const target = whole ? head_.text().c_str() : nullptr;
  // What is not set leaves no older one standing; unsigned nothing goes out.
  const bool was_whole = std::exchange(head_is_set_, false);
  if ((whole || was_whole) && curl_easy_setopt(easy_.get(), CURLOPT_REQUEST_TARGET, target) != CURLE_OK)
    return false;
  if (!(whole && was_whole)) {
    // With the one piece the list says only what libcurl shall leave out.
    const bool built = headers_.build(whole ? Headers() : request_.headers, whole ? nullptr : shared);
    curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, built ? headers_.list() : nullptr);
    if (!built) return false;
  }
  head_is_set_ = whole;
  return true;
}

AttemptError Transfer::accept(HttpRequest&& request, std::uint64_t token, PollTime queued, PollTime now) {
  static const std::string kNoBody;
  request_ = std::move(request);
  token_ = token;
  queued_ = queued;
  started_ = now;
  deadline_ = now + request_.timeout;
  addresses_tried_ = denials_ = 0;
  denied_ = withheld_ = dialled_ = cleared_to_send_ = ours_ = false;
  answer_.begin();
  if (request_.to->url.scheme != "https" && !context_.guard.admits_plain_http()) return AttemptError::denied;
  if (!set_url(request_.to) || !set_headers()) return AttemptError::denied;
  if (request_.to->addresses.empty()) return AttemptError::dns;
  const std::string& body = request_.body ? *request_.body : kNoBody;
  // Not copied: request_ keeps the shared body alive.
  curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  return AttemptError::none;
}

bool Transfer::aim_first(const std::optional<IpAddress>& preferred, PollTime now) {
  const auto& addresses = request_.to->addresses;
  const auto found = preferred ? std::find(addresses.begin(), addresses.end(), *preferred) : addresses.end();
  first_index_ = found == addresses.end() ? 0 : static_cast<std::size_t>(found - addresses.begin());
  return aim(first_index_, now);
}

bool Transfer::aim_next(CURLcode code, PollTime now) {
  const bool before_sending = code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT || denied_;
  if (!before_sending || cleared_to_send_ || addresses_tried_ >= request_.to->addresses.size()) return false;
  // In the request's order, without the one that was tried first.
  const std::size_t next = addresses_tried_ <= first_index_ ? addresses_tried_ - 1 : addresses_tried_;
  return aim(next, now);
}

bool Transfer::aim(std::size_t address_index, PollTime now) {
  const Millis left = since(now, deadline_);
  if (left <= Millis(0)) return false;
  ++addresses_tried_;
  denied_ = false;
  set_proxy(request_.to->addresses[address_index]);
  set_pin(request_.to->addresses[address_index]);
  set_timeouts(left, request_.to->addresses.size() - addresses_tried_ + 1);
  return true;
}

void Transfer::set_proxy(const IpAddress& address) {
  const bool wanted = context_.proxy && !context_.guard.policy().is_allowed(address);
  if (wanted == via_proxy_) return;
  via_proxy_ = wanted;
  curl_easy_setopt(easy_.get(), CURLOPT_PROXY, wanted ? context_.proxy_text.c_str() : "");
  curl_easy_setopt(easy_.get(), CURLOPT_HTTPPROXYTUNNEL, wanted ? 1L : 0L);
}

void Transfer::set_pin(const IpAddress& address) {
  if (pin_ && *pin_ == address && pin_port_ == request_.to->url.port) return;
  pin_ = address;
  pin_port_ = request_.to->url.port;
  pin_judged_ = 0;
  pin_ip_ = format_ip(address);
  // "::IP:PORT": whatever host and port the URL names. An IPv6 address stands in brackets.
  pin_text_ = (address.v6 ? "::[" + pin_ip_ + "]:" : "::" + pin_ip_ + ":") + std::to_string(pin_port_);
  pin_list_ = {pin_text_.data(), nullptr};
  curl_easy_setopt(easy_.get(), CURLOPT_CONNECT_TO, &pin_list_);
}

// One dead address may not eat the time of those behind it: each gets its share to connect (TLS included).
void Transfer::set_timeouts(Millis left, std::size_t addresses_left) {
  const long total = static_cast<long>(left.count());
  const long connect = std::max(1L, total / static_cast<long>(addresses_left));
  if (total != timeout_ms_) curl_easy_setopt(easy_.get(), CURLOPT_TIMEOUT_MS, total);
  if (connect != connect_timeout_ms_) curl_easy_setopt(easy_.get(), CURLOPT_CONNECTTIMEOUT_MS, connect);
  timeout_ms_ = total;
  connect_timeout_ms_ = connect;
}

void Transfer::release() {
  request_ = HttpRequest{};
}

// --- what libcurl asks and tells -------------------------------------------------------------------------

std::size_t Transfer::on_header(char* bytes, std::size_t size, std::size_t count, void* self) {
  const std::size_t length = size * count;
  return static_cast<Transfer*>(self)->answer_.take_header_line({bytes, length}) ? length : 0;
}

std::size_t Transfer::on_body(char* bytes, std::size_t size, std::size_t count, void* self) {
  const std::size_t length = size * count;
  return static_cast<Transfer*>(self)->answer_.take_body({bytes, length}) ? length : 0;
}

curl_socket_t Transfer::on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(self);
  if (transfer.has_begun_to_send()) return CURL_SOCKET_BAD;
  transfer.cleared_to_send_ = false;  // libcurl may come here again, when a pooled connection proves dead
  const auto dialled = address_of(address->addr);
  const bool plain = transfer.set_to_->url.scheme != "https";
  // Only the pinned address, or the proxy that is asked for it, and only if the guard admits it.
  if (purpose != CURLSOCKTYPE_IPCXN || !dialled || !transfer.pin_ || *dialled != transfer.dialled_address() ||
      !transfer.context_.guard.admits(*transfer.pin_, transfer.pin_port_, plain)) {
    transfer.deny();
    return CURL_SOCKET_BAD;
  }
  const int socket =
      ::socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
  if (socket < 0) {
    transfer.ours_ = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    return CURL_SOCKET_BAD;
  }
  ++transfer.context_.open_sockets;
  transfer.dialled_ = true;
  transfer.pin_judged_ = transfer.context_.guard_generation;
  return socket;
}

int Transfer::on_close_socket(void* context, curl_socket_t socket) {
  auto& shared = *static_cast<TransferContext*>(context);
  --shared.open_sockets;
  shared.poller->forget(socket);
  return ::close(socket);
}

// A pooled connection opens no socket, so the guard is asked here again; for one just opened it has answered.
int Transfer::on_before_request(void* self, char* remote_ip, char*, int, int) {
  auto& transfer = *static_cast<Transfer*>(self);
  if (transfer.has_begun_to_send()) return CURL_PREREQFUNC_ABORT;
  if (!transfer.may_reuse(remote_ip)) {
    transfer.deny();
    return CURL_PREREQFUNC_ABORT;
  }
  transfer.dialled_ = true;
  TransportListener* const listener = transfer.context_.listener;
  if (listener != nullptr && !listener->may_still_send(transfer.token_)) {
    transfer.withheld_ = true;
    return CURL_PREREQFUNC_ABORT;
  }
  transfer.cleared_to_send_ = true;
  return CURL_PREREQFUNC_OK;
}

// libcurl sends a request again by itself, up to five times, when a pooled connection ends without an answer.
// The receiver may have taken it: that would be an attempt that nobody planned, counted or signed.
bool Transfer::has_begun_to_send() const {
  if (via_proxy_) return cleared_to_send_;  // libcurl counts what it says to the proxy too
  long bytes = 0;
  return curl_easy_getinfo(easy_.get(), CURLINFO_REQUEST_SIZE, &bytes) == CURLE_OK && bytes > 0;
}

void Transfer::deny() {
  denied_ = true;
  ++denials_;
}

bool Transfer::may_reuse(const char* remote_ip) {
  // Of a connection through the proxy libcurl names the proxy, and takes it again only for the same pin.
  if (via_proxy_ || pin_ip_ != remote_ip) {
    const auto remote = parse_ip(remote_ip);  // perhaps only spelled differently
    if (!remote || *remote != dialled_address()) return false;
  }
  if (pin_judged_ == context_.guard_generation) return true;
  if (!context_.guard.admits(*pin_, pin_port_, set_to_->url.scheme != "https")) return false;
  pin_judged_ = context_.guard_generation;
  return true;
}

CURLcode Transfer::on_tls_context(CURL*, void* tls_context, void* self) {
  auto* context = static_cast<SSL_CTX*>(tls_context);
  // One record a read: else OpenSSL stays in one call for as long as a receiver sends session tickets.
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  return SSL_CTX_set1_cert_store(context, static_cast<Transfer*>(self)->context_.trust), CURLE_OK;
}

}  // namespace postrider
