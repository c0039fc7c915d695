#pragma once
#include <rocksdb/status.h>

#include <string_view>

#include "engine/core/result.h"

namespace postrider::rocks {

// A failed status as an Error named by its remedy. `doing`: "write to the view", for the sentence.
tl::unexpected<Error> failure(const rocksdb::Status& status, std::string_view doing);

}  // namespace postrider::rocks
