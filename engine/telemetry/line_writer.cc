#include "engine/telemetry/line_writer.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace postrider::telemetry {
namespace {

constexpr auto kGather = std::chrono::milliseconds(100);
constexpr std::size_t kWriteNow = 64 * 1024;
constexpr int kPollMs = 100;
constexpr std::size_t kPipeTakes = 4096;  // PIPE_BUF: what POLLOUT promises

// Signals are for the thread that main chose; a closed stderr must not kill us either.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

bool is_file(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

// No more than a pipe takes at once (a write that blocks could not be given up), and whole lines if they fit,
// so that no other program's line lands inside one of ours.
std::size_t whole_lines(std::string_view bytes) {
  if (bytes.size() <= kPipeTakes) return bytes.size();
  const std::size_t end = bytes.rfind('\n', kPipeTakes - 1);
  return end == std::string_view::npos ? kPipeTakes : end + 1;
}

}  // namespace

LineWriter::LineWriter(int fd) : fd_(fd), is_file_(is_file(fd)), thread_([this] { run(); }) {}

LineWriter::~LineWriter() {
  flush(std::chrono::seconds(2));
  {
    const std::lock_guard guard(lock_);
    stopping_ = true;
  }
  abandon_.store(true);
  filled_.notify_one();
  thread_.join();
}

void LineWriter::add(std::string_view line, bool urgent) {
  bool wake = false;
  {
    const std::lock_guard guard(lock_);
    if (filling_.size() + line.size() + 1 > kBytesMax) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    wake = filling_.empty();
    filling_.append(line).push_back('\n');
    if ((urgent || filling_.size() >= kWriteNow) && !urgent_) {
      urgent_ = true;
      wake = true;
    }
  }
  if (wake) filled_.notify_one();
}

bool LineWriter::flush(std::chrono::milliseconds limit) {
  std::unique_lock guard(lock_);
  if (!filling_.empty()) urgent_ = true;
  filled_.notify_one();
  return written_.wait_for(guard, limit, [this] { return filling_.empty() && !busy_; });
}

void LineWriter::run() {
  block_signals();
  std::unique_lock guard(lock_);
  for (;;) {
    filled_.wait(guard, [this] { return stopping_ || !filling_.empty(); });
    if (stopping_) return;  // the destructor has waited for what was there
    filled_.wait_for(guard, kGather, [this] { return stopping_ || urgent_; });
    writing_.swap(filling_);
    filling_.clear();
    urgent_ = false;
    busy_ = true;
    guard.unlock();
    write_out(writing_);
    guard.lock();
    busy_ = false;
    written_.notify_all();
  }
}

void LineWriter::write_out(std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd ready{fd_, POLLOUT, 0};
    if (::poll(&ready, 1, kPollMs) <= 0) {  // a pipe nobody reads: look again whether we shall stop
      if (abandon_.load()) return;
      continue;
    }
    const ssize_t written = ::write(fd_, bytes.data(), is_file_ ? bytes.size() : whole_lines(bytes));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return;  // nobody reads any more
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace postrider::telemetry
