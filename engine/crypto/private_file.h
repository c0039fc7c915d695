#pragma once
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "engine/core/secret.h"

// Small files that only we may read. Any thread.
namespace postrider::crypto {

// The spelling of one kind of file in errors: "KEY_FILE" gives KEY_FILE_MISSING, KEY_FILE_EXISTS,
// KEY_FILE_PERMISSIONS, KEY_FILE_UNREADABLE.
struct PrivateFileKind {
  std::string_view code;
  std::string_view what;        // "key file"
  std::string_view if_missing;  // what to do then: a sentence
};

// Reads a regular file, at most 64 KiB, that is ours and closed to everybody else (mode 0600, or 0400 as
// systemd's credentials have it). Symbolic links are followed; what they lead to is judged.
Result<Secret> read_private_file(const std::string& path, const PrivateFileKind& kind);

// Makes the file with mode 0600, whole or not at all: written beside its place, synced, then linked under its
// name, which fails if there is one already (…_EXISTS, Errc::conflict). The directory is synced too.
Result<void> make_private_file(const std::string& path, std::string_view bytes, const PrivateFileKind& kind);

// The same over one that is there already: the old bytes, or the new ones, whatever happens.
Result<void> replace_private_file(const std::string& path, std::string_view bytes,
                                  const PrivateFileKind& kind);

}  // namespace postrider::crypto
