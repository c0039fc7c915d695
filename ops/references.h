#pragma once
#include <string>
#include <string_view>

#include "engine/core/result.h"
#include "engine/core/secret.h"

// Values that stand elsewhere because they are secret: "env:NAME" and "file:PATH" (a path as the shell has
// it, from the working directory). The line's end is cut off.
namespace postrider::ops {

bool is_reference(std::string_view text);

// SECRET_MISSING: the variable is not set, the file cannot be read, or it is empty. Names the reference,
// which holds nothing secret; never the value.
Result<Secret> read_reference(std::string_view reference);

}  // namespace postrider::ops
