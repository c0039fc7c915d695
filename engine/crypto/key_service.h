#pragma once
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "engine/core/secret.h"

namespace postrider::crypto {

// Keeps the one key that wraps all others, and never gives it away (DESIGN §11): a file on one machine, or a
// service across the network. What it wraps is 32-byte keys, rarely. Thread-safe. May block.
// Errc::unavailable: ask again later. Errc::corrupt: not wrapped by this service, or for something else.
class KeyService {
 public:
  virtual ~KeyService() = default;
  // Which service and key: "file:1f3a6c0d9be2". Stored beside what it wrapped; tells nothing of the key.
  virtual const std::string& name() const = 0;
  // `associated` is bound in: unwrap needs the same.
  virtual Result<std::string> wrap(std::string_view bytes, std::string_view associated) = 0;
  virtual Result<Secret> unwrap(std::string_view wrapped, std::string_view associated) = 0;
};

}  // namespace postrider::crypto
