#pragma once
#include <curl/curl.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/egress_proxy.h"
#include "engine/curl/connect_guard.h"
#include "engine/curl/poller.h"
#include "engine/curl/trust_store.h"
#include "engine/ports/transport.h"

// One connection to one pinned address, opened by libcurl (CURLOPT_CONNECT_ONLY): the dial, the proxy's
// tunnel, TLS and its sessions are libcurl's; what is said over it goes through send() and receive(). Its
// easy handle stays in a multi for as long as the connection stands, and opens the next one when that has
// gone. Options that never change are set once; of the others only those that differ from before. The shard's
// thread only.
//
// Why not whole requests: those cost libcurl 9 µs of CPU each (benchmarks/README.md), and a system call to
// see whether the connection still stands, which the epoll loop knows.
namespace postrider {

class Connection;

// Who is told that a socket is ready: a multi, whose connection is being opened, or the transfer that has it.
struct SocketOwner {
  explicit SocketOwner(bool is_a_multi) : is_multi(is_a_multi) {}
  const bool is_multi;
};

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// One curl multi: libcurl's cost grows with the connections of a multi, so each gets few hosts.
struct Lane : SocketOwner {
  Lane() : SocketOwner(true) {}
  Poller* poller = nullptr;
  std::optional<PollTime> deadline;  // when libcurl wants to be called
  std::size_t hosts = 0;
  std::size_t handles = 0;  // connections: libcurl walks through them at each byte that it carries
  bool has_news = false;    // a connection was begun since libcurl was last called
  std::unique_ptr<CURLM, FreeMulti> multi;  // last: its end calls back
};

inline constexpr std::size_t kTlsRecordBytesMax = 16 * 1024;

// What all connections of one transport share; owned by it, and outlives them.
struct ConnectionContext {
  ConnectGuard guard;
  std::uint64_t guard_generation = 1;  // counts changes of the guard: verdicts on open connections expire
  x509_store_st* trust = nullptr;
  Millis connection_lifetime_max{0};
  Poller* poller = nullptr;
  std::optional<EgressProxy> proxy = {};
  std::string proxy_text = {};  // as libcurl wants it
  std::size_t open_sockets = 0;
  // Closed by libcurl itself: found dead while it looked for what else to close.
  std::vector<Connection*> lost = {};
  std::array<char, kTlsRecordBytesMax> bytes = {};  // scratch
};

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

class Connection {
 public:
  // `owner` hears of its socket while it stands.
  Connection(ConnectionContext& context, SocketOwner& owner);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool is_made() const { return easy_ != nullptr; }  // false: no memory
  // Whose it is: the next connection goes to that scheme, host and port. False: libcurl refuses.
  bool set_origin(const Url& url);

  void begin_anew();  // closed, and nothing is known of it
  // Begins to open it at that address; libcurl ends that, in the lane's multi, within `total`, and gives up
  // the address after `connect` (TLS included). False: it cannot begin.
  bool open(Lane& lane, const IpAddress& address, Millis total, Millis connect);
  // libcurl has opened it. False: the kernel has no memory to watch it.
  bool opened();
  void close();
  void note_phases();  // how long libcurl took, or has taken until it failed

  bool stands() const { return stands_; }
  bool is_being_opened() const { return lane_ != nullptr && !stands_; }
  Lane* lane() const { return lane_; }  // nullptr: closed
  // It stands, goes where the request may go, the guard (still) admits that, it is not too old, and its peer
  // has neither closed it nor spoken.
  bool may_carry(const Destination& to, PollTime now);
  // It rests, and its socket has spoken. False: it is no good any more.
  bool is_still_good();

  struct Io {
    enum class Kind { some, later, ended, broken } kind;
    std::size_t bytes = 0;
    // `later`: when its socket is ready for what. In TLS a send() may wait for something to read, and a
    // receive() for room to write: within a handshake that the receiver has asked for (a renegotiation).
    std::uint32_t events = 0;  // EPOLLIN or EPOLLOUT
  };
  // `parts` from `from` on, as if they were one.
  Io send(std::string_view head, std::string_view body, std::size_t from);
  // Into context.bytes. `may_have_more`: the next receive() need not wait for the socket.
  Io receive();
  bool may_have_more(const Io& got) const { return through_libcurl_ || got.bytes == context_.bytes.size(); }
  void watch(std::uint32_t events);  // EPOLLIN, EPOLLOUT

  SocketOwner& owner() { return owner_; }
  bool may_flood() const { return through_libcurl_; }  // with what receive() does not count
  const std::optional<IpAddress>& pin() const { return pin_; }
  const std::string& pin_text() const { return pin_ip_; }
  // Of the last open().
  bool was_dialled() const { return dialled_; }
  bool was_denied() const { return denied_; }  // by the guard: libcurl's code looks like a refused connection
  bool was_ours() const { return ours_; }      // no file or memory for a socket
  std::int32_t connect_ms() const { return connect_ms_; }  // negative: not reached
  std::int32_t tls_ms() const { return tls_ms_; }

 private:
  void set_what_never_changes();
  void hold();
  void set_tls();
  void set_proxy(const IpAddress& address);
  void set_pin(const IpAddress& address);
  void set_timeouts(Millis total, Millis connect);
  bool is_plain() const { return scheme_ != "https"; }
  bool wants_proxy(const IpAddress& address) const {
    return context_.proxy && !context_.guard.policy().is_allowed(address);
  }
  IpAddress dialled_address() const { return via_proxy_ ? context_.proxy->address : *pin_; }
  bool is_admitted();
  Io send_through_libcurl(std::string_view head, std::string_view body, std::size_t from);
  Io later_through_libcurl(std::uint32_t otherwise) const;

  static curl_socket_t on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static int on_close_socket(void* self, curl_socket_t socket);
  static CURLcode on_tls_context(CURL* easy, void* tls_context, void* self);

  ConnectionContext& context_;
  SocketOwner& owner_;
  std::unique_ptr<CURL, FreeEasy> easy_;
  Lane* lane_ = nullptr;  // whose multi has the handle

  // The connection.
  bool stands_ = false, through_libcurl_ = false;
  int socket_ = -1;
  std::uint32_t spoken_ = 0;       // times that its socket was ready while it rested
  std::uint64_t admitted_in_ = 0;  // the guard's generation that admitted it
  PollTime opened_at_{};
  bool dialled_ = false, denied_ = false, ours_ = false;
  std::int32_t connect_ms_ = -1, tls_ms_ = -1;

  // What the handle is set to.
  std::string scheme_;
  std::uint16_t port_ = 0;
  std::optional<IpAddress> pin_;
  std::uint16_t pin_port_ = 0;
  std::string pin_ip_;    // as text: Outcome::dialled
  std::string pin_text_;  // "::IP:PORT"
  curl_slist pin_list_{};
  bool via_proxy_ = false;
  long timeout_ms_ = -1, connect_timeout_ms_ = -1;
};

}  // namespace postrider
