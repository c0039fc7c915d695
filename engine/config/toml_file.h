#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/keys.h"

namespace postrider::config {

// One value of the file under its dotted name ("kafka.sasl.password"), tables opened.
struct Setting {
  std::string name;
  Value value;
  std::string source;  // "line 4", "POSTRIDER_LISTEN"
};

// `text` is the file's content; `name` only goes into errors. Errors tell the line, never what stands there.
Result<std::vector<Setting>> parse_toml(const std::string& text, const std::string& name);

}  // namespace postrider::config
