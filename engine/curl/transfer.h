#pragma once
#include <curl/curl.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/core/egress_proxy.h"
#include "engine/core/outcome.h"
#include "engine/curl/answer.h"
#include "engine/curl/connect_guard.h"
#include "engine/curl/header_list.h"
#include "engine/curl/poller.h"
#include "engine/curl/request_head.h"
#include "engine/curl/trust_store.h"
#include "engine/ports/transport.h"

// One libcurl easy handle, kept for one origin and used for one request at a time. Options that never change
// are set once, when it is made; of the others only those that differ from the request before: each setopt of
// a string is an allocation, and this is the hot path. The shard's thread only.
namespace postrider {

struct Origin;
struct Lane;

// What all transfers of one transport share; owned by it, and outlives them.
struct TransferContext {
  ConnectGuard guard;
  std::uint64_t guard_generation = 1;  // counts changes of the guard: verdicts on pooled connections expire
  AnswerLimits limits;
  x509_store_st* trust = nullptr;
  Millis connection_idle_max{0}, connection_lifetime_max{0};
  bool heads_in_one_piece = false;  // request_head.h
  Poller* poller = nullptr;
  TransportListener* listener = nullptr;  // while poll() or start() runs
  std::size_t open_sockets = 0;
  std::optional<EgressProxy> proxy;
  std::string proxy_text;  // as libcurl wants it
};

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

class Transfer {
 public:
  explicit Transfer(TransferContext& context);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Takes the request and prepares its headers and URL. An error: it may not be sent, and why.
  AttemptError accept(HttpRequest&& request, std::uint64_t token, PollTime queued, PollTime now);
  // Points the handle at the first address to try: the preferred one if the request names it, else its first.
  // False: there is no time for it.
  bool aim_first(const std::optional<IpAddress>& preferred, PollTime now);
  // The attempt that libcurl has just ended failed before a byte of the request was sent, and there is
  // another address, to which the handle now points, and time to try it.
  bool aim_next(CURLcode code, PollTime now);

  Outcome conclude(CURLcode code, PollTime now);  // libcurl is done with it
  Outcome cut_off(PollTime now);                  // we are
  void release();                                 // lets go of the request's body

  CURL* easy() const { return easy_.get(); }
  std::uint64_t token() const { return token_; }
  // The handle is set to that URL already: another one costs a parse and an allocation.
  bool has_url(const std::shared_ptr<const Destination>& to) const;
  // The address that took the request; nullopt: none did.
  std::optional<IpAddress> connected_to() const { return cleared_to_send_ ? pin_ : std::nullopt; }

  // The transport's bookkeeping.
  Origin* origin = nullptr;
  Lane* lane = nullptr;
  std::size_t active_index = 0;

 private:
  void set_what_never_changes();
  void set_tls();
  bool set_url(const std::shared_ptr<const Destination>& to);
  bool set_headers();
  bool aim(std::size_t address_index, PollTime now);
  void set_pin(const IpAddress& address);
  void set_proxy(const IpAddress& address);
  // Whom the socket goes to: the proxy, or the pinned address itself.
  const IpAddress& dialled_address() const { return via_proxy_ ? context_.proxy->address : *pin_; }
  void set_timeouts(Millis left, std::size_t addresses_left);
  AttemptError error_of(CURLcode code) const;
  void read_phases(Phases& phases, PollTime now) const;

  // libcurl's callbacks; `self` is the Transfer, for the socket's close the TransferContext.
  static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self);
  static curl_socket_t on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static int on_close_socket(void* context, curl_socket_t socket);
  static int on_before_request(void* self, char* remote_ip, char* local_ip, int remote_port, int local_port);
  static CURLcode on_tls_context(CURL* easy, void* tls_context, void* self);

  bool has_begun_to_send() const;
  void deny();
  bool may_reuse(const char* remote_ip);

  TransferContext& context_;
  std::unique_ptr<CURL, FreeEasy> easy_;

  // What the handle is set to.
  std::shared_ptr<const Destination> set_to_;  // null until url_is_set_
  bool url_is_set_ = false;
  std::optional<IpAddress> pin_;
  std::uint16_t pin_port_ = 0;
  std::string pin_ip_;    // as text: Outcome::dialled
  std::string pin_text_;  // "::IP:PORT"
  curl_slist pin_list_{};
  bool via_proxy_ = false;
  std::uint64_t pin_judged_ = 0;  // the guard's generation that admitted it
  long timeout_ms_ = -1, connect_timeout_ms_ = -1;
  HeaderList headers_;
  RequestHead head_;
  bool head_is_set_ = false;

  // The request on its way.
  HttpRequest request_;
  std::uint64_t token_ = 0;
  PollTime queued_{}, started_{}, deadline_{};
  std::size_t first_index_ = 0, addresses_tried_ = 0, denials_ = 0;
  bool denied_ = false;    // the guard said no: libcurl's code looks like a refused connection
  bool withheld_ = false;  // the listener said no, before the first byte
  bool dialled_ = false;
  bool ours_ = false;             // no file or memory for a socket
  bool cleared_to_send_ = false;  // connected, TLS included; libcurl begins to send
  Answer answer_;
};

}  // namespace postrider
