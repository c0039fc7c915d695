#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/api/http_message.h"
#include "engine/core/result.h"
#include "engine/core/time.h"

namespace postrider {

// An HTTP/1.1 server, with TLS or without: one thread, one event loop (libevent), no thread per connection.
// Everything a client can make it hold is bounded: connections, heads, bodies (each and together), and the
// time for a request, an answer and an idle connection. At the limit of connections the one that has waited
// longest for its client makes room, be it idle or slow.
//
// Threads: the constructor, start() and stop() belong to the owner; the handlers run on the server's thread.
// post() is for any thread.
//
// Why not evhttp: in libevent 2.1 it knows neither a limit of connections nor a deadline for a whole request
// (a byte every few seconds holds a connection for ever), and shows a request only once its body has been
// read.
class HttpServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // an IP literal or "localhost"
    std::uint16_t port = 0;          // 0: any free one
    std::string tls_cert, tls_key;   // PEM files; empty: plain HTTP
    std::string tls_client_ca = {};  // PEM file: clients need a certificate of these authorities; empty: none
    std::size_t connections = 4096;
    std::size_t head_bytes = 32 * 1024;
    std::size_t body_bytes_total = 64 << 20;  // of all requests that are being read or answered
    Millis handshake_timeout{10'000};         // of TLS; at most request_timeout
    Millis request_timeout{30'000};           // from the first byte (or the connection) to the last
    Millis answer_timeout{60'000};            // the handler's; then 504
    Millis write_timeout{30'000};             // for the client to take the answer
    Millis idle_timeout{120'000};             // between requests
    Millis certificates_every{10'000};        // their files are looked at, and read when they have changed
    // After each such reading, on the server's thread; an error: what was in force stays so. May be empty.
    std::function<void(const Result<void>&)> on_certificates = {};
  };

  // Answers a request, once; further calls do nothing, nor does one for a client that went away. On the
  // server's thread. May outlive the server.
  using Respond = std::function<void(ApiResponse)>;
  // The whole request. The answer may come at once or later.
  using Handler = std::function<void(ApiRequest, Respond)>;
  // The head, before its body is read: how long the body may be, or the answer that refuses it.
  struct Admission {
    std::size_t body_bytes_max = 0;
    std::optional<ApiResponse> refusal;
  };
  using Admit = std::function<Admission(const ApiRequest& head)>;
  // Turns what the server itself refuses (malformed, too large, too slow) into an answer's form.
  using Refuse = std::function<ApiResponse(int status, const std::string& code, const std::string& message)>;

  struct Handlers {
    Admit admit;
    Handler handle;
    Refuse refuse;
  };

  HttpServer(Options options, Handlers handlers);
  ~HttpServer();  // stop()
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Binds, then serves. Errc::unavailable: the address is taken; Errc::invalid: the certificate is unusable.
  Result<void> start();
  std::uint16_t port() const;  // after start()
  // Runs `work` on the server's thread, soon; dropped when the server has stopped. Any thread.
  void post(std::function<void()> work);
  // Takes no new connections or requests, gives those being answered `grace`, closes the rest, joins the
  // thread. Idempotent. Not from the server's thread.
  void stop(Millis grace = Millis(5'000));
  // Open connections: for metrics. Any thread.
  std::size_t connections() const;

 private:
  class Loop;
  std::shared_ptr<Loop> loop_;  // shared with the Respond functions, which hold it weakly
};

}  // namespace postrider
