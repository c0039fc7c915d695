#pragma once
#include "engine/wire/codec_common.h"

namespace postrider::wire {

// All but stamp and unknown, which stand in the record around it.
AttemptFact read_attempt(const v1::Attempt& message);

}  // namespace postrider::wire
