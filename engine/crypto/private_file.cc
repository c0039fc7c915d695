#include "engine/crypto/private_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace postrider::crypto {
namespace {

constexpr std::size_t kFileBytesMax = 64 * 1024;

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

std::string code(const PrivateFileKind& kind, std::string_view ending) {
  return std::string(kind.code).append(ending);
}

tl::unexpected<Error> system_failure(const PrivateFileKind& kind, std::string_view verb,
                                     const std::string& path, int error) {
  return fail(Errc::unavailable, code(kind, "_UNREADABLE"),
              "cannot " + std::string(verb) + " the " + std::string(kind.what) + " " + path + ": " +
                  std::strerror(error),
              "check that the path is right and that this user may use it");
}

Result<void> judge(const struct stat& found, const std::string& path, const PrivateFileKind& kind) {
  const std::string named = "the " + std::string(kind.what) + " " + path;
  if (!S_ISREG(found.st_mode)) {
    return fail(Errc::denied, code(kind, "_PERMISSIONS"), named + " is not a regular file",
                "name a regular file of mode 0600");
  }
  if (found.st_uid != ::geteuid()) {
    return fail(Errc::denied, code(kind, "_PERMISSIONS"), named + " belongs to another user",
                "run: chown " + std::to_string(::geteuid()) + " " + path + " && chmod 0600 " + path);
  }
  if ((found.st_mode & 07177) != 0) {
    return fail(Errc::denied, code(kind, "_PERMISSIONS"), named + " can be used by others",
                "run: chmod 0600 " + path);
  }
  return {};
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// `place` brings the written file under its name: link() fails where there is one, rename() takes its place.
Result<void> put_private_file(const std::string& path, std::string_view bytes, const PrivateFileKind& kind,
                              int (*place)(const char*, const char*)) {
  std::string beside = path + ".new-XXXXXX";
  const Descriptor file(::mkostemp(beside.data(), O_CLOEXEC));  // mode 0600
  if (file.get() < 0) return system_failure(kind, "make", path, errno);
  const bool written = write_all(file.get(), bytes) && ::fsync(file.get()) == 0;
  const bool placed = written && place(beside.c_str(), path.c_str()) == 0;
  const int error = errno;
  ::unlink(beside.c_str());
  if (!placed && written && error == EEXIST) {
    return fail(Errc::conflict, code(kind, "_EXISTS"), "there is already a file " + path,
                "keep it: what was sealed with it opens with nothing else; or name another path");
  }
  if (!placed) return system_failure(kind, "write", path, error);
  const Descriptor directory(::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) {
    return system_failure(kind, "sync the directory of", path, errno);
  }
  return {};
}

}  // namespace

Result<Secret> read_private_file(const std::string& path, const PrivateFileKind& kind) {
  // O_NONBLOCK: a FIFO in its place must not hold us up.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT) {
      return fail(Errc::not_found, code(kind, "_MISSING"),
                  "there is no " + std::string(kind.what) + " " + path, std::string(kind.if_missing));
    }
    return system_failure(kind, "open", path, errno);
  }
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return system_failure(kind, "look at", path, errno);
  if (Result<void> good = judge(found, path, kind); !good) return fail(std::move(good.error()));

  std::string bytes(kFileBytesMax, '\0');
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(kind, "read", path, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size == bytes.size()) {
    return fail(Errc::corrupt, code(kind, "_INVALID"),
                "the " + std::string(kind.what) + " " + path + " is too long",
                "check that the path names the right file");
  }
  bytes.resize(size);
  return Secret(std::move(bytes));
}

Result<void> make_private_file(const std::string& path, std::string_view bytes, const PrivateFileKind& kind) {
  return put_private_file(path, bytes, kind, &::link);
}

Result<void> replace_private_file(const std::string& path, std::string_view bytes,
                                  const PrivateFileKind& kind) {
  return put_private_file(path, bytes, kind, &std::rename);
}

}  // namespace postrider::crypto
