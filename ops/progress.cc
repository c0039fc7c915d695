#include "ops/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace postrider::ops {
namespace {

constexpr std::uint64_t kWidth = 30;
constexpr std::chrono::milliseconds kEvery{200};

}  // namespace

Progress::Progress(std::string what, bool quiet)
    : what_(std::move(what)), shown_(!quiet && isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (written_) std::fputs("\r\033[K", stderr);
}

void Progress::at(std::uint64_t done, std::uint64_t all) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || now < next_) return;
  next_ = now + kEvery;
  written_ = true;
  const auto filled = all == 0 ? 0 : std::min(kWidth, done * kWidth / all);
  std::string bar(kWidth, '.');
  std::fill_n(bar.begin(), filled, '#');
  std::fprintf(stderr, "\r[%s] %llu of about %llu %s\033[K", bar.c_str(),
               static_cast<unsigned long long>(done), static_cast<unsigned long long>(all), what_.c_str());
}

}  // namespace postrider::ops
