#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/api/http_message.h"

namespace postrider {

// Reads HTTP/1.1 requests (RFC 9112) from bytes as they arrive. Sans-io, bounded, and strict where leniency
// has let requests be smuggled: lines end in CRLF, no folded headers, no blank before a colon, one
// Content-Length or chunked and never both.
class RequestParser {
 public:
  struct Limits {
    std::size_t head_bytes = 32 * 1024;  // request line and headers; trailers and chunk lines likewise
    std::size_t headers = 100;
    std::string client = {};  // ApiRequest::client of every request
  };
  explicit RequestParser(Limits limits) : limits_(std::move(limits)) { request_.client = limits_.client; }

  enum class State {
    head,       // waiting for the head, or in it
    head_done,  // feed() stopped: call begin_body()
    body,
    done,    // take() the request
    failed,  // answer failure() and close
  };
  struct Failure {
    int status = 400;
    std::string code, message;
  };

  // Consumes up to the next state that asks for a decision; answers how many bytes it took.
  std::size_t feed(std::string_view bytes);
  State state() const { return state_; }
  const Failure& failure() const { return failure_; }
  bool idle() const { return state_ == State::head && head_bytes_ == 0; }  // between requests
  // From head_done on: the request without its body.
  const ApiRequest& head() const { return request_; }
  bool keep_alive() const { return keep_alive_; }
  bool expects_continue() const { return expects_continue_; }
  // The length that the head announces; nullopt: chunked.
  std::optional<std::uint64_t> announced() const { return announced_; }
  // At head_done: reads the body, at most that long.
  void begin_body(std::size_t body_bytes_max);
  std::size_t body_bytes() const { return request_.body.size(); }
  // At done: the request; the parser is ready for the next one.
  ApiRequest take();

 private:
  enum class Line { request, header, chunk_size, chunk_end, trailer };
  void on_line(std::string_view line);
  void on_request_line(std::string_view line);
  void on_header_line(std::string_view line);
  void on_chunk_size(std::string_view line);
  void on_head_end();
  bool judge_header(std::string_view name, std::string_view value);
  std::size_t feed_line(std::string_view bytes);
  std::size_t feed_data(std::string_view bytes);
  void fail(int status, std::string code, std::string message);

  Limits limits_;
  State state_ = State::head;
  Line expected_ = Line::request;
  Failure failure_;
  ApiRequest request_;
  std::string line_;
  std::size_t head_bytes_ = 0;
  std::size_t body_bytes_max_ = 0;
  std::uint64_t data_left_ = 0;  // of the body, or of this chunk
  std::optional<std::uint64_t> announced_;
  bool has_length_ = false, chunked_ = false, has_host_ = false, http_1_0_ = false;
  bool keep_alive_ = true, expects_continue_ = false, in_data_ = false;
};

}  // namespace postrider
