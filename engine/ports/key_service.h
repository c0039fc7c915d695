#pragma once
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "engine/core/secret.h"

namespace postrider {

// Keeps the one key that wraps all others, and never gives it away (DESIGN §11): a file on one machine, or a
// service across the network. What it wraps is 32-byte keys, rarely. Thread-safe.
//
// Errors by what helps:
// - Errc::unavailable (KEY_SERVICE_UNAVAILABLE): away, sealed or overloaded. Ask again later.
// - Errc::denied (KEY_SERVICE_DENIED: our credential is refused; KEY_SERVICE_KEY_UNUSABLE: the key is
// missing,
//   disabled, or not for this). Somebody must mend it there; what was wrapped opens again afterwards.
// - Errc::corrupt (WRAPPED_KEY_CORRUPT): not wrapped by this service, or for something else.
class KeyService {
 public:
  virtual ~KeyService() = default;
  // Which service and key: "file:1f3a6c0d9be2". Stored beside what it wrapped; tells nothing of the key.
  virtual const std::string& name() const = 0;
  // Answers at once. Of any other each call may block for seconds: never on a shard's thread.
  virtual bool is_local() const = 0;
  // `associated` is bound in: unwrap needs the same.
  virtual Result<std::string> wrap(std::string_view bytes, std::string_view associated) = 0;
  virtual Result<Secret> unwrap(std::string_view wrapped, std::string_view associated) = 0;
};

}  // namespace postrider
