#pragma once
#include <openssl/ssl.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

// Thousands of receivers in one thread: each connection is played by the script of the port that it came to,
// on whatever address of 127.0.0.0/8, so that every address and port is a receiver of its own. Sockets never
// block; a tick of 100 ms drives what drips. Its end closes every connection and joins.
namespace postrider::test {

// What a receiver does, in this order. Bytes go through TLS where there is a handshake, else as they are.
struct Script {
  enum class Reads { at_once, a_byte_a_second, never };

  SSL_CTX* tls = nullptr;               // a true handshake first; borrowed
  bool drips_output = false;            // whatever it sends leaves one byte a tick, handshake included
  bool waits = true;                    // for the head of a request (or any byte, if raw) before it answers
  bool raw = false;                     // what it waits for is any byte: a ClientHello, say
  std::string answer = {};              // once
  std::string piece = {};               // then this again and again
  int piece_every_ticks = 0;            // 0: as fast as the peer takes it
  bool sends_tickets = false;           // then session tickets without end (TLS 1.3)
  std::size_t ahead_bytes = 32 * 1024;  // of what has no end: ready before the peer takes it
  bool closes = false;                  // after the answer; no TLS farewell
  bool resets = false;                  // the same, by RST
  bool keeps = false;                   // answers the next request in the same way
  Reads reads = Reads::at_once;
};

class HostileCrowd {
 public:
  HostileCrowd();
  ~HostileCrowd();
  HostileCrowd(const HostileCrowd&) = delete;
  HostileCrowd& operator=(const HostileCrowd&) = delete;

  std::uint16_t add(Script script);  // the port where it is played; before start()
  void start();
  std::size_t connections() const { return connections_; }  // accepted so far
  std::size_t together_max() const { return together_max_; }

 private:
  struct Peer;
  struct Stage {
    int listener;
    Script script;
  };

  void run();
  void accept_all(const Stage& stage);
  void tick();
  void drop(Peer& peer);

  int epoll_ = -1, bell_ = -1;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::map<int, std::unique_ptr<Peer>> peers_;  // by socket
  std::uint64_t ticks_ = 0;
  std::atomic<std::size_t> connections_{0}, together_max_{0};
  std::thread thread_;
};

}  // namespace postrider::test
