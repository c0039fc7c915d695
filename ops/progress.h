#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace postrider::ops {

// How far a long job is, as one line on standard error that is written over; only on a terminal.
class Progress {
 public:
  // `what`: "records".
  Progress(std::string what, bool quiet);
  ~Progress();  // takes the line away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void at(std::uint64_t done, std::uint64_t all);

 private:
  const std::string what_;
  const bool shown_;
  bool written_ = false;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace postrider::ops
