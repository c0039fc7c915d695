#pragma once
#include <memory>
#include <string>

#include "engine/config/config.h"
#include "engine/core/result.h"

// What a first start makes: a key file in development, an administrator's token.
namespace postrider {

// Whether anything was ever sealed in this place: then a missing key file must not be replaced by a new one.
bool holds_anything(const std::string& directory);

// Writes the token to DIR/admin.token (0600, never over another one).
Result<std::string> write_admin_token(const std::string& data_directory, const Secret& token);

}  // namespace postrider
