#include "engine/embedded/log_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "engine/core/bytes.h"
#include "engine/embedded/crc32c.h"
#include "engine/embedded/record_format.h"

namespace postrider::embedded {
namespace {

constexpr std::string_view kTitle = "postrider embedded log\n";

tl::unexpected<Error> unusable(const std::string& what, int error) {
  return fail(Errc::unavailable, "LOG_UNUSABLE", what + ": " + std::strerror(error),
              "check the directory's owner, its permissions and the space on its disk");
}

tl::unexpected<Error> damaged(const std::string& what) {
  return fail(Errc::corrupt, "LOG_DAMAGED", what,
              "restore the log's directory from a backup, and have the disk checked");
}

std::string checksum_line(std::string_view text) {
  const std::string raw = encode_number(crc32c(text));
  return "check " + hex_encode(std::string_view(raw).substr(4)) + "\n";
}

Result<void> write_synced(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return unusable("cannot write " + path, errno);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const bool synced = written && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!synced) return unusable("cannot write " + path, error);
  return {};
}

void sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

template <class Number>
std::optional<Number> number_of(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string encode_about(const About& about) {
  std::string text(kTitle);
  text += "version " + std::to_string(about.version) + "\n";
  text += "environment " + about.environment.str() + "\n";
  text += "identity " + about.identity.str() + "\n";
  text += "partitions " + std::to_string(about.partitions) + "\n";
  text += std::string("state ") + (about.ready ? "ready" : "creating") + "\n";
  return text + checksum_line(text);
}

Result<About> decode_about(std::string_view text) {
  if (!text.starts_with(kTitle)) return damaged("the file `about` is none of an embedded log");
  std::map<std::string, std::string> lines;
  std::istringstream rest{std::string(text.substr(kTitle.size()))};
  for (std::string name, value; rest >> name >> value;) lines[name] = value;
  // The version first: a newer one may have other lines, and another check.
  const auto version = number_of<int>(lines["version"]);
  if (version && *version > kFormatVersion)
    return fail(Errc::invalid, "LOG_VERSION_UNKNOWN",
                "the embedded log has format version " + std::to_string(*version) +
                    "; this program knows up to " + std::to_string(kFormatVersion),
                "start the version of postriderd that wrote it, or a newer one");
  const std::size_t check_at = text.rfind("check ");
  if (check_at == std::string_view::npos || text.substr(check_at) != checksum_line(text.substr(0, check_at)))
    return damaged("the file `about` of the embedded log does not match its checksum");
  const auto partitions = number_of<Partition>(lines["partitions"]);
  if (!version || *version < 1 || !partitions || *partitions < 1)
    return damaged("the file `about` of the embedded log lacks its version or its partitions");
  return About{*version, Environment(lines["environment"]), LogIdentity(lines["identity"]), *partitions,
               lines["state"] == "ready"};
}

Result<std::unique_ptr<LogDirectory>> LogDirectory::lock(const std::string& directory) {
  std::error_code failed;
  const bool existed = std::filesystem::exists(directory, failed);
  std::filesystem::create_directories(directory, failed);
  if (failed) return unusable("cannot make the embedded log's directory " + directory, failed.value());
  if (!existed) ::chmod(directory.c_str(), 0700);
  const std::string path = directory + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return unusable("cannot open " + path, errno);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t length = ::pread(fd, holder, sizeof holder - 1, 0);
    ::close(fd);
    const std::string who = length > 0 ? " (process " + std::string(holder) + ")" : "";
    return fail(Errc::conflict, "LOG_LOCKED",
                "the embedded log " + directory + " is in use by another process" + who,
                "stop that process, or give this one a directory of its own");
  }
  // For messages only, so its failure is no failure: the lock itself is what counts.
  const std::string pid = std::to_string(::getpid());
  [[maybe_unused]] const bool noted = ::ftruncate(fd, 0) == 0 && ::pwrite(fd, pid.data(), pid.size(), 0) > 0;
  return std::unique_ptr<LogDirectory>(new LogDirectory(directory, fd));
}

LogDirectory::~LogDirectory() {
  if (acknowledged_fd_ >= 0) ::close(acknowledged_fd_);
  ::close(lock_fd_);
}

Result<std::optional<About>> LogDirectory::read_about() const {
  const std::string path = path_ + "/about";
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) {
    if (errno != ENOENT) return unusable("cannot read " + path, errno);
    if (std::filesystem::exists(database()))
      return damaged(path_ + " holds a log, but its file `about` is missing");
    return std::optional<About>();
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto about = decode_about(text);
  if (!about) {
    about.error().message += " (" + path + ")";
    return fail(std::move(about.error()));
  }
  return std::optional<About>(std::move(*about));
}

Result<void> LogDirectory::write_about(const About& about) {
  const std::string path = path_ + "/about";
  if (auto written = write_synced(path + ".new", encode_about(about)); !written) return written;
  if (::rename((path + ".new").c_str(), path.c_str()) != 0) return unusable("cannot rename " + path, errno);
  sync_directory(path_);
  return {};
}

Result<void> LogDirectory::wipe_database() {
  std::error_code failed;
  std::filesystem::remove_all(database(), failed);
  if (failed) return unusable("cannot remove " + database(), failed.value());
  ::unlink((path_ + "/acknowledged").c_str());
  return {};
}

// Sixteen bytes: the sequence, and its complement, so that a damaged mark is not taken for a lost end.
Result<std::optional<std::uint64_t>> LogDirectory::acknowledged() const {
  const std::string path = path_ + "/acknowledged";
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  // A power cut may leave a new file empty or as zeros.
  if (bytes.find_first_not_of('\0') == std::string::npos) return std::optional<std::uint64_t>();
  const std::string_view view(bytes);
  const auto sequence = decode_number(view.substr(0, std::min<std::size_t>(8, view.size())));
  const auto complement = decode_number(view.size() == 16 ? view.substr(8) : std::string_view());
  if (!sequence || !complement || *sequence != ~*complement)
    return damaged("the file " + path + " of the embedded log is damaged");
  return std::optional<std::uint64_t>(static_cast<std::uint64_t>(*sequence));
}

void LogDirectory::note_acknowledged(std::uint64_t sequence) {
  if (acknowledged_fd_ < 0)
    acknowledged_fd_ = ::open((path_ + "/acknowledged").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const auto number = static_cast<std::int64_t>(sequence);
  const std::string bytes = encode_number(number) + encode_number(~number);
  if (acknowledged_fd_ >= 0 && ::pwrite(acknowledged_fd_, bytes.data(), bytes.size(), 0) < 0) return;
}

}  // namespace postrider::embedded
