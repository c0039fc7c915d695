#pragma once
#include <memory>
#include <string>

#include "engine/ports/key_service.h"

// The key service of one machine: 32 random bytes in a file. Lose the file, and every secret, parked payload
// and dead letter is gone: back it up apart from the data.
namespace postrider::crypto {

// The file holds one line, "postrider-key-v1 " and the key in base64 (RFC 4648 §4), and has mode 0600 (or
// 0400). Errors: KEY_FILE_MISSING (not_found), KEY_FILE_PERMISSIONS (denied), KEY_FILE_INVALID (corrupt),
// KEY_FILE_UNREADABLE (unavailable). The file is read once, here.
Result<std::unique_ptr<KeyService>> open_file_key_service(const std::string& path);

// Makes a new key file. KEY_FILE_EXISTS (conflict): never overwritten.
Result<void> make_key_file(const std::string& path);

}  // namespace postrider::crypto
