#pragma once
#include <string>

#include "engine/core/result.h"

namespace postrider {

// O7's object on one line: {"code", "message", "suggestion", "retryable"}.
std::string error_json(const Error& error);

}  // namespace postrider
