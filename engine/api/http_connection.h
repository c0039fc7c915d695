#pragma once
#include <openssl/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "engine/api/http_parser.h"
#include "engine/api/http_server.h"

struct bufferevent;
struct event;
struct event_base;

namespace postrider {

// Bytes of bodies that are being read or answered, of all connections.
class BodyBudget {
 public:
  explicit BodyBudget(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  bool take(std::size_t bytes) {
    if (used_.fetch_add(bytes) + bytes <= bytes_max_) return true;
    used_ -= bytes;
    return false;
  }
  void give_back(std::size_t bytes) { used_ -= bytes; }

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> used_{0};
};

// What one connection asks of the server it belongs to. All on the loop's thread.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  virtual const HttpServer::Options& options() const = 0;
  virtual const HttpServer::Handlers& handlers() const = 0;
  virtual std::shared_ptr<BodyBudget> budget() = 0;
  virtual bool stopping() const = 0;
  // The function that answers request `number` of connection `id`; gives `charged` back when it is gone.
  virtual HttpServer::Respond responder(std::uint64_t id, std::uint64_t number, std::size_t charged) = 0;
  // Whether it waits for its client: to ask, to go on asking, or to take an answer. Since now, if it did not.
  virtual void set_waiting(std::uint64_t id, bool waiting) = 0;
  // Destroys the connection, once the caller has returned to the loop.
  virtual void bury(std::uint64_t id) = 0;
};

// One client: reads requests one after the other, hands each over, writes its answer. Owned by the loop.
class HttpConnection {
 public:
  // Takes the socket; `tls` may be null, else it is taken too.
  HttpConnection(ConnectionHost& host, event_base* base, int socket, SSL* tls, std::uint64_t id);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Nothing for a number that is not being answered.
  void answer(std::uint64_t number, ApiResponse response);
  // Closes now if nothing is being answered, else after the answer.
  void wind_down();
  void close();

 private:
  enum class Phase { reading, answering, writing, lingering, closed };
  void on_readable();
  void on_written();
  void on_event(short what);
  void on_deadline();
  void read_some();
  void on_parsed();
  void admit();
  void hand_over();
  void refuse(int status, const std::string& code, const std::string& message);
  void write(ApiResponse response);
  void linger();
  void next_request();
  void give_back_budget();
  void arm(Millis span);

  ConnectionHost& host_;
  const std::uint64_t id_;
  bufferevent* buffers_ = nullptr;
  event* deadline_ = nullptr;
  RequestParser parser_;
  Phase phase_ = Phase::reading;
  std::uint64_t number_ = 0;   // of the request being read or answered
  std::size_t charged_ = 0;    // of the body budget, until it is handed over
  std::size_t discarded_ = 0;  // while lingering
  bool begun_ = false;         // the first byte of this request was seen
  bool keep_alive_ = true;
  bool head_only_ = false;  // HEAD: the answer has no body
};

}  // namespace postrider
