#pragma once
#include "engine/core/ids.h"

namespace postrider {

// Notes which record of `events` is being decoded where it survives the death of the process, so that a
// record that kills whoever decodes it is set aside instead of killing for ever. The shard's thread. Cheap:
// stores into memory, no call of the system.
class DecodeMark {
 public:
  virtual ~DecodeMark() = default;
  virtual void begin(Position position) = 0;
  virtual void end() = 0;  // it was decoded, whatever it turned out to be
  // The process has died three times by its own fault while it decoded that record: it must not be decoded
  // again.
  virtual bool is_suspect(Position position) const = 0;
};

}  // namespace postrider
