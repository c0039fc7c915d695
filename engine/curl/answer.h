#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/core/outcome.h"

// What one receiver answers, as it arrives, held within limits whatever the receiver does. Fed by libcurl's
// header and body callbacks; knows no socket. A value, used again for the next request.
namespace postrider {

struct AnswerLimits {
  std::size_t header_bytes_max = 32 * 1024;  // all header lines of one answer, 1xx included
  std::size_t body_bytes_max = 64 * 1024;
};

class Answer {
 public:
  explicit Answer(AnswerLimits limits) : limits_(limits) {}

  void begin();  // forgets the last answer
  // One header line with its line end; the empty line ends a block. False: stop the transfer, fault() says
  // why.
  bool take_header_line(std::string_view line);
  bool take_body(std::string_view bytes);

  // The status whose header block arrived whole, 1xx aside; 0: none did. It stands whatever the body does.
  std::int32_t final_status() const { return final_status_; }
  bool began() const { return header_bytes_ > 0; }
  // Why a callback refused more: headers_too_large, body_too_large, malformed; none: none did.
  AttemptError fault() const { return fault_; }
  // Moves headers and snippet out.
  void give(Outcome& outcome);

 private:
  bool refuse(AttemptError why);
  bool begin_block(std::string_view status_line);
  bool end_block();
  void keep_if_asked_for(std::string_view line);

  AnswerLimits limits_;
  std::int32_t block_status_ = 0;  // of the header block being read
  std::int32_t final_status_ = 0;
  std::size_t header_bytes_ = 0, body_bytes_ = 0, informational_ = 0;
  AttemptError fault_ = AttemptError::none;
  Headers headers_;
  std::string snippet_;
};

}  // namespace postrider
