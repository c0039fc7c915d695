#pragma once
#include <cstdint>
#include <string>

#include "engine/api/http_message.h"
#include "engine/core/result.h"

namespace postrider {

// An error as the API shows it (O7): application/problem+json with code, message, suggestion, retryable and,
// where trying again helps, retry_after in seconds.
ApiResponse problem(int status, const Error& error);
// Under the status that belongs to the error's remedy.
ApiResponse problem(const Error& error);
ApiResponse problem(int status, const Error& error, std::int64_t retry_after_seconds);
int status_of(const Error& error);

}  // namespace postrider
