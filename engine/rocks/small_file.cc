#include "engine/rocks/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace postrider::rocks {
namespace {

tl::unexpected<Error> system_failure(const char* verb, const std::string& path, int error) {
  const std::string message = std::string("cannot ") + verb + " " + path + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT) {
    return fail(Errc::overloaded, "DISK_FULL", message, "make room on the disk of the data directory");
  }
  return fail(Errc::unavailable, "DATA_UNREADABLE", message,
              "check that the data directory exists and that this user may write to it");
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

bool write_whole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(fd) == 0;
}

}  // namespace

Result<std::optional<std::string>> read_small_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT) return std::nullopt;
    return system_failure("open", path, errno);
  }
  std::string bytes(4096, '\0');
  const ssize_t size = ::read(file.get(), bytes.data(), bytes.size());
  if (size < 0) return system_failure("read", path, errno);
  bytes.resize(static_cast<std::size_t>(size));
  return bytes;
}

Result<void> write_small_file(const std::string& path, std::string_view bytes) {
  const std::string beside = path + ".new";
  {
    const Descriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (file.get() < 0 || !write_whole(file.get(), bytes)) {
      const int error = errno;
      ::unlink(beside.c_str());
      return system_failure("write", path, error);
    }
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) return system_failure("write", path, errno);
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const Descriptor directory(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) return system_failure("sync", parent, errno);
  return {};
}

Result<void> make_directory(const std::string& path) {
  std::filesystem::path whole(path);
  if (!whole.has_filename()) whole = whole.parent_path();  // "data/"
  std::error_code failed;
  if (whole.has_parent_path()) std::filesystem::create_directories(whole.parent_path(), failed);
  if (failed) return system_failure("make", whole.parent_path().string(), failed.value());
  if (::mkdir(whole.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return system_failure("make", whole.string(), errno);
  if (!std::filesystem::is_directory(whole, failed)) return system_failure("use", whole.string(), ENOTDIR);
  return {};
}

}  // namespace postrider::rocks
