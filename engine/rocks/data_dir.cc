#include "engine/rocks/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/rocks/rocks_store.h"
#include "engine/rocks/small_file.h"

namespace postrider::rocks {
namespace {

constexpr std::string_view kInstancePrefix = "ins_";

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

bool is_instance(std::string_view text) {
  return text.starts_with(kInstancePrefix) && text.size() == kInstancePrefix.size() + 22 &&
         std::all_of(text.begin() + kInstancePrefix.size(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
         });
}

Result<void> judge(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0 && (found.st_mode & 0022) == 0) return {};
  return fail(Errc::denied, "DATA_PERMISSIONS", "others may write to the data directory " + path,
              "run: chmod 0700 " + path);
}

Result<int> take_lock(const std::string& path) {
  const int fd = ::open((path + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return fail(Errc::unavailable, "DATA_UNREADABLE",
                "cannot open " + path + "/lock: " + std::strerror(errno),
                "check that the data directory exists and that this user may write to it");
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t size = ::pread(fd, holder, sizeof(holder) - 1, 0);
    ::close(fd);
    const std::string who(first_line(size > 0 ? holder : "unknown"));
    return fail(Errc::conflict, "DATA_LOCKED",
                "the data directory " + path + " is in use by another process (" + who + ")",
                "stop that process, or name another directory as data");
  }
  const std::string mine = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, mine.data(), mine.size(), 0) < 0) {
    // Only for people to read: the lock itself holds.
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<DataDir>> DataDir::open(const std::string& directory, const Environment& environment,
                                               Random& random) {
  std::string path = directory;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (Result<void> made = make_directory(path); !made) return fail(made.error());
  if (Result<void> good = judge(path); !good) return fail(good.error());
  const Result<int> lock = take_lock(path);
  if (!lock) return fail(lock.error());
  std::unique_ptr<DataDir> opened(new DataDir(std::move(path), *lock));
  if (Result<void> kept = opened->keep_environment(environment); !kept) return fail(kept.error());
  if (Result<void> kept = opened->keep_instance(random); !kept) return fail(kept.error());
  return opened;
}

DataDir::~DataDir() {
  ::close(lock_);
}

Result<void> DataDir::remove_views_from(std::size_t shards) const {
  std::error_code failed;
  for (std::size_t shard = shards; std::filesystem::exists(view(shard), failed); ++shard) {
    if (Result<void> wiped = wipe(view(shard)); !wiped) return wiped;
  }
  return {};
}

Result<void> DataDir::keep_environment(const Environment& environment) {
  const std::string file = path_ + "/environment";
  const Result<std::optional<std::string>> kept = read_small_file(file);
  if (!kept) return fail(kept.error());
  if (!*kept) return write_small_file(file, environment.str() + "\n");
  const std::string_view found = first_line(**kept);
  if (found == environment.str()) return {};
  return fail(Errc::denied, "DATA_OTHER_ENVIRONMENT",
              "the data directory " + path_ + " belongs to environment " + std::string(found) + ", not to " +
                  environment.str(),
              "name another directory as data, or set the environment that this one belongs to");
}

Result<void> DataDir::keep_instance(Random& random) {
  const std::string file = path_ + "/instance";
  const Result<std::optional<std::string>> kept = read_small_file(file);
  if (!kept) return fail(kept.error());
  if (*kept && is_instance(first_line(**kept))) {
    instance_ = first_line(**kept);
    return {};
  }
  const std::uint64_t high = random.next();
  instance_ = random_id(kInstancePrefix, high, random.next());
  return write_small_file(file, instance_ + "\n");
}

}  // namespace postrider::rocks
