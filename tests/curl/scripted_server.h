#pragma once
#include <openssl/ssl.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// A receiver that answers byte for byte what a test says, well-behaved or not. Real sockets on port zero, a
// thread a connection. Its end shuts every connection down and joins.
namespace postrider::test {

class ScriptedServer;

// One accepted connection, in the handler's hands. Calls block, and fail once the server stops.
class Connection {
 public:
  // The next whole request: head and body. nullopt: the peer closed.
  std::optional<std::string> read_request();
  bool send(std::string_view bytes);  // false: the peer is gone
  void wait_until_closed();           // reads and drops
  void ask_for_handshake();           // a new one, in TLS 1.2; to be followed by take_deaf()
  void take_deaf();                   // what comes, from the socket; no handshake is answered
  void reset();                       // RST instead of FIN
  void relay_to(std::uint16_t port);  // of 127.0.0.1: byte for byte, until either side closes
  ScriptedServer& server() { return server_; }

 private:
  friend class ScriptedServer;
  Connection(ScriptedServer& server, int socket, SSL* tls) : server_(server), socket_(socket), tls_(tls) {}
  long read_some(char* into, std::size_t size);

  ScriptedServer& server_;
  int socket_;
  SSL* tls_;
  std::string buffered_;
};

class ScriptedServer {
 public:
  using Handler = std::function<void(Connection&)>;
  // `tls`: served over it; borrowed. `address`: a literal to listen on.
  explicit ScriptedServer(Handler handler, SSL_CTX* tls = nullptr, std::string address = "127.0.0.1",
                          std::uint16_t port = 0);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  std::uint16_t port() const { return port_; }
  std::size_t connections() const { return connections_; }
  std::size_t ended() const { return ended_; }  // connections that we have closed
  std::size_t bytes_received() const { return bytes_received_; }
  std::vector<std::string> requests();
  bool stopping() const { return stopping_; }

 private:
  friend class Connection;
  void accept_loop();
  void serve(int socket);
  void note_request(const std::string& request);

  Handler handler_;
  SSL_CTX* tls_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> connections_{0}, ended_{0}, bytes_received_{0};
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<int> open_;  // shut down at the end
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// Answers every request with these bytes, and keeps the connection open.
ScriptedServer::Handler always(std::string answer);
// Answers one request, then closes.
ScriptedServer::Handler once(std::string answer);
inline constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// A port on that address where nobody listens.
std::uint16_t closed_port();

}  // namespace postrider::test
