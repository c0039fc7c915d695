#include "engine/daemon/first_start.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace postrider {

bool holds_anything(const std::string& directory) {
  std::error_code error;
  return std::filesystem::exists(directory, error) && !std::filesystem::is_empty(directory, error);
}

Result<std::string> write_admin_token(const std::string& data_directory, const Secret& token) {
  const std::string path = data_directory + "/admin.token";
  const std::string temporary = path + ".new";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  const std::string line = std::string(token.reveal()) + "\n";
  const bool written =
      fd >= 0 && write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!written || rename(temporary.c_str(), path.c_str()) != 0) {
    return fail(Errc::unavailable, "TOKEN_NOT_WRITTEN",
                "cannot write " + path + ": " + std::strerror(written ? errno : error),
                "make the data directory writable, then `postrider-ops tokens reset`");
  }
  return path;
}

}  // namespace postrider
