#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/address_policy.h"
#include "engine/core/egress_proxy.h"
#include "engine/core/result.h"
#include "engine/core/time.h"
#include "engine/ports/transport.h"

// The Transport: libcurl's multi interface opens the connections (connection.h), and what is said over them
// is written and read here (transfer.h); one epoll loop drives both. wake_fd() is that loop's descriptor,
// which the shard puts into its own epoll and, when it is readable, calls poll(). send() only takes a request
// in; start() or the next poll() starts it, or the one that is under way. All on the shard's thread; the
// first create() of a process must not run beside other threads' first use of libcurl or OpenSSL.
//
// What leaves: one HTTP/1.1 POST to one pinned address of request.addresses (the next is tried when a
// connection does not come about, within the same timeout). TLS ≥ 1.2, chain and host name verified. No
// redirects, cookies, netrc, content decoding or 100-continue; no proxy but `proxy`, which is asked (HTTP
// CONNECT) for the pinned address, not for a name, and not for addresses of the policy's `allow`: those lie
// inside. Where to, and whether plain http may be spoken there, is the policy's to say; the machine's own
// addresses are looked at each second besides.
//
// Besides the request's headers Host, Accept: */* and Content-Length are sent. A header that must not be
// sent (core/header_lines.h), a URL that our own parser reads otherwise, an address that the guard refuses:
// an outcome `denied`, no byte sent. The request's time begins when it is started: requests beyond
// `connections_max` wait before, in order, and phases.queue tells how long.
//
// OpenSSL writes to sockets whose peer has gone, which raises SIGPIPE: create() ignores that signal for the
// process, unless somebody has set a handler.
namespace postrider {

class CurlTransport final : public Transport {
 public:
  struct Options {
    AddressPolicy policy;
    std::optional<EgressProxy> proxy = {};
    std::function<std::vector<IpAddress>()> own = {};  // the machine's addresses; empty: its interfaces'
    std::string ca_file;  // PEM, instead of the system's authorities; empty: the system's
    std::size_t response_header_bytes_max = 32 * 1024;
    std::size_t response_body_bytes_max = 64 * 1024;
    std::size_t connections_max = 4096;  // requests on their way at once
    // Open at once, busy and idle: beyond them the one that has rested longest is closed.
    std::size_t connections_kept_max = 8192;
    std::size_t hosts_per_multi = 8;      // libcurl walks through a multi's connections, in TLS at each read
    std::size_t idle_handles_max = 2048;  // without a connection; about 9 KB each
    Millis connection_idle_max{90'000};
    Millis connection_lifetime_max{300'000};  // so that a host that moved is resolved and vetted again
  };

  static Result<std::unique_ptr<CurlTransport>> create(Options options);
  ~CurlTransport() override;  // requests on their way end without an outcome

  void send(HttpRequest request, std::uint64_t token) override;
  void cancel_all() override;
  std::size_t poll(TransportListener& listener) override;
  void start(TransportListener& listener) override;
  int wake_fd() const override;

  // Judges from the next connection or request on, open connections included.
  void set_policy(AddressPolicy policy);
  std::size_t in_flight() const;     // started, and waiting to be
  std::size_t open_sockets() const;  // busy and idle

 private:
  struct Impl;
  explicit CurlTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace postrider
