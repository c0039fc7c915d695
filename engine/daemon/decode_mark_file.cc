#include "engine/daemon/decode_mark_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "engine/core/bytes.h"

namespace postrider {

// The file, byte for byte, in this machine's order: it is read where it was written. Another layout takes
// another magic.
struct DecodeMarkFile::Page {
  std::array<char, 8> magic;
  std::array<unsigned char, 16> log;  // hash of the log's identity: offsets of another one are other records
  // The count. `check` is of the three before it, so that a torn file is known.
  std::int64_t counted_offset;
  std::int32_t counted_partition;
  std::uint32_t deaths;
  std::uint64_t check;
  // What stands while a record is decoded. Written with no more than stores, also by the signal handler.
  std::atomic<std::int64_t> offset;
  std::atomic<std::int32_t> partition;
  std::atomic<std::int32_t> thread;
  std::atomic<std::uint32_t> standing;
  std::atomic<std::uint32_t> died_by;  // the signal; 0: it did not die, or not by its own fault
};

namespace {

using Page = DecodeMarkFile::Page;
static_assert(std::atomic<std::int64_t>::is_always_lock_free);
static_assert(sizeof(Page) == 72);

constexpr std::array<char, 8> kMagic{'p', 'r', 'm', 'a', 'r', 'k', '1', '\n'};
constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr std::size_t kSignalStackBytes = 64 * 1024;

std::array<std::atomic<Page*>, DecodeMarkFile::kWatchedMax> watched{};

std::array<unsigned char, 16> hash_of(const LogIdentity& log) {
  const std::array<std::string_view, 1> parts{log.str()};
  return hash128(parts).bytes;
}

std::uint64_t check_of(const Page& page) {
  std::uint64_t sum = 0xcbf29ce484222325ull;  // FNV-1a
  for (const std::uint64_t part :
       {static_cast<std::uint64_t>(page.counted_offset), static_cast<std::uint64_t>(page.counted_partition),
        static_cast<std::uint64_t>(page.deaths)}) {
    sum = (sum ^ part) * 0x100000001b3ull;
  }
  return sum;
}

void count(Page& page, Position position, std::uint32_t deaths) {
  page.counted_offset = position.offset;
  page.counted_partition = position.partition;
  page.deaths = deaths;
  page.check = check_of(page);
}

bool is_whole(const Page& page) {
  return page.magic == kMagic && page.check == check_of(page) && page.standing <= 1 &&
         page.counted_offset >= 0 && page.counted_partition >= 0 &&
         (page.standing == 0 || (page.offset >= 0 && page.partition >= 0));
}

// Only what may be called in a signal handler. The handler is gone once it is entered (SA_RESETHAND): a fault
// of the processor comes again as soon as we return, abort() raises again by itself, and the default action
// follows at the place where it happened.
void note_death(int signal, siginfo_t* info, void*) {
  const int kept_errno = errno;
  const bool own = info->si_code > 0 || info->si_pid == getpid();
  for (const auto& each : watched) {
    Page* const page = each.load(std::memory_order_relaxed);
    if (page != nullptr && own && page->standing.load(std::memory_order_relaxed) == 1 &&
        page->thread.load(std::memory_order_relaxed) == gettid()) {
      page->died_by.store(static_cast<std::uint32_t>(signal), std::memory_order_relaxed);
    }
  }
  if (info->si_code <= 0) raise(signal);  // sent: it does not come again by itself
  errno = kept_errno;
}

Error unusable(const std::string& path, int error) {
  return {Errc::unavailable, "DECODE_MARK_UNUSABLE", "cannot map " + path + ": " + std::strerror(error),
          "a record that crashes the daemon is not set aside by itself; check the data directory's disk"};
}

}  // namespace

Result<std::unique_ptr<DecodeMarkFile>> DecodeMarkFile::open(const std::string& path,
                                                             const LogIdentity& log) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(unusable(path, errno));
  struct stat found {};
  const bool whole_size = ::fstat(fd, &found) == 0 && found.st_size == static_cast<off_t>(sizeof(Page));
  const bool fresh = found.st_size == 0;
  // A store into a hole of a full disk would be a SIGBUS.
  int error = ::ftruncate(fd, sizeof(Page)) != 0 ? errno : ::posix_fallocate(fd, 0, sizeof(Page));
  void* mapped = MAP_FAILED;
  if (error == 0) {
    mapped = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) error = errno;
  }
  ::close(fd);
  if (mapped == MAP_FAILED) return fail(unusable(path, error));
  std::unique_ptr<DecodeMarkFile> mark(new DecodeMarkFile(static_cast<Page*>(mapped)));
  mark->read(log);
  mark->garbled_ = !fresh && (mark->garbled_ || !whole_size);
  return mark;
}

DecodeMarkFile::~DecodeMarkFile() {
  for (auto& each : watched) {
    Page* mine = page_;
    if (each.compare_exchange_strong(mine, nullptr)) break;
  }
  ::munmap(page_, sizeof(Page));
}

void DecodeMarkFile::read(const LogIdentity& log) {
  garbled_ = !is_whole(*page_);
  if (garbled_ || page_->log != hash_of(log)) {
    std::memset(static_cast<void*>(page_), 0, sizeof(Page));
    page_->magic = kMagic;
    page_->log = hash_of(log);
    count(*page_, {}, 0);
  }
  if (page_->standing == 1 && page_->died_by != 0) {
    const Position at{page_->partition, page_->offset};
    const bool again = at == Position{page_->counted_partition, page_->counted_offset};
    count(*page_, at, (again ? std::min(page_->deaths, kDeathsMax - 1) : 0) + 1);
    last_death_ = Death{at, static_cast<int>(page_->died_by), page_->deaths};
  }
  page_->standing = 0;
  page_->died_by = 0;
}

void DecodeMarkFile::begin(Position position) {
  thread_local const std::int32_t thread = gettid();
  page_->offset.store(position.offset, std::memory_order_relaxed);
  page_->partition.store(position.partition, std::memory_order_relaxed);
  page_->thread.store(thread, std::memory_order_relaxed);
  page_->standing.store(1, std::memory_order_release);  // last: what stands is whole
}

void DecodeMarkFile::end() {
  page_->standing.store(0, std::memory_order_release);
  if (page_->deaths == 0) return;
  const Position at{page_->partition.load(std::memory_order_relaxed),
                    page_->offset.load(std::memory_order_relaxed)};
  if (at == Position{page_->counted_partition, page_->counted_offset}) count(*page_, {}, 0);
}

bool DecodeMarkFile::is_suspect(Position position) const {
  return page_->deaths >= kDeathsMax && position == Position{page_->counted_partition, page_->counted_offset};
}

void DecodeMarkFile::watch_signals() {
  for (auto& each : watched) {
    Page* none = nullptr;
    if (each.compare_exchange_strong(none, page_)) break;
  }
  // A stack that ran over leaves none for a handler.
  thread_local std::array<char, kSignalStackBytes> stack;
  stack_t alternate{};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_sigaction = note_death;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (const int signal : kFatal) sigaction(signal, &action, nullptr);
}

}  // namespace postrider
