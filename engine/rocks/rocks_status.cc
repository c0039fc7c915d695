#include "engine/rocks/rocks_status.h"

namespace postrider::rocks {
namespace {

bool says_locked(const rocksdb::Status& status) {
  if (!status.IsIOError()) return false;
  const std::string text = status.ToString();  // there is no code for it: env/fs_posix.cc, LockFile
  return text.find("lock hold by") != std::string::npos || text.find("While lock file") != std::string::npos;
}

}  // namespace

tl::unexpected<Error> failure(const rocksdb::Status& status, std::string_view doing) {
  const std::string message = "cannot " + std::string(doing) + ": " + status.ToString();
  if (status.IsNoSpace()) {
    return fail(Errc::overloaded, "DISK_FULL", message,
                "make room on the disk of the data directory; writing then goes on by itself");
  }
  if (status.IsBusy()) {  // it watches the disk itself, every five seconds (SstFileManager)
    return fail(Errc::unavailable, "DATA_RECOVERING", message + "recovering from a failed write",
                "wait: writing goes on by itself once the disk has room");
  }
  if (says_locked(status)) {
    return fail(Errc::conflict, "DATA_LOCKED", message,
                "stop the other process that uses this data directory, or name another directory");
  }
  if (status.IsCorruption()) {
    return fail(Errc::corrupt, "DATA_CORRUPT", message,
                "the view is rebuilt from the log; if it happens again, check the disk");
  }
  if (status.IsInvalidArgument() || status.IsNotSupported()) {
    return fail(Errc::corrupt, "DATA_OTHER_FORMAT", message,
                "the view was written by another version: it is rebuilt from the log");
  }
  return fail(Errc::unavailable, "DATA_UNREADABLE", message,
              "check that the data directory is writable for this user and that its disk is well");
}

}  // namespace postrider::rocks
