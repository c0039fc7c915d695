#pragma once
#include <http_parser.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/core/outcome.h"

// What one receiver answers, read from its bytes as they arrive (by http-parser, which copies nothing and
// holds nothing back) and held within limits whatever the receiver does. Knows no socket. Used again for the
// next request; it may not be moved, since the parser points to it.
namespace postrider {

struct AnswerLimits {
  std::size_t header_bytes_max = 32 * 1024;  // all header blocks of one answer, 1xx included; trailers apart
  std::size_t body_bytes_max = 64 * 1024;
  // All of it: chunk sizes and their extensions, which are neither.
  std::size_t wire_bytes_max = 512 * 1024;
};

class Answer {
 public:
  explicit Answer(AnswerLimits limits) : limits_(limits) {}
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  void begin();  // forgets the last answer
  // The next bytes, as they came. False: there is no more to be read; is_complete() or fault() says why.
  bool take(std::string_view bytes);
  void end_of_stream();  // the receiver sends no more: the end of a body that has no other

  // The status whose header block arrived whole, 1xx aside; 0: none did. It stands whatever the body does.
  std::int32_t final_status() const { return final_status_; }
  bool began() const { return wire_bytes_ > 0; }
  bool is_complete() const { return complete_; }
  // The connection may carry another request: both sides agree where this answer ended.
  bool keeps_connection() const { return complete_ && keeps_connection_ && !junk_; }
  // Why no more is read: headers_too_large, body_too_large, malformed; none: nothing was wrong. What is
  // malformed behind a final status is a broken body.
  AttemptError fault() const { return fault_; }
  // Moves headers and snippet out.
  void give(Outcome& outcome);

 private:
  struct Callbacks;
  int refuse(AttemptError why);
  int header_line();  // one has been read whole
  int headers_end();
  int body(std::string_view bytes);
  int message_end();
  bool is_trailer() const { return final_status_ != 0; }

  AnswerLimits limits_;
  http_parser parser_{};
  std::int32_t final_status_ = 0;
  std::size_t wire_bytes_ = 0, trailer_bytes_ = 0, body_bytes_ = 0, informational_ = 0;
  bool complete_ = false, keeps_connection_ = false, junk_ = false;
  AttemptError fault_ = AttemptError::none;
  // Of the header being read, as far as it could be one that is kept: whatever a receiver sends, no more is
  // held.
  std::string name_, value_;
  std::size_t line_bytes_ = 0;
  bool in_value_ = false;
  Headers headers_;
  std::string snippet_;
};

}  // namespace postrider
