#pragma once
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace postrider {

// Seals what the embedded log writes of `events`. Thread-safe.
class RecordCipher {
 public:
  virtual ~RecordCipher() = default;
  virtual Result<std::string> seal(std::string_view bytes) = 0;
  virtual Result<std::string> open(std::string_view sealed) = 0;
};

}  // namespace postrider
