#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/result.h"

// Small files of the data directory, written whole or not at all. Any thread.
namespace postrider::rocks {

// nullopt: there is none. Only the first 4 KiB are read.
Result<std::optional<std::string>> read_small_file(const std::string& path);
// Replaces it: written beside, synced, renamed, directory synced. Mode 0600.
Result<void> write_small_file(const std::string& path, std::string_view bytes);
// Makes a directory (0700) unless it is there; its parents too (by umask).
Result<void> make_directory(const std::string& path);

}  // namespace postrider::rocks
