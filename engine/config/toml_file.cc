#include "engine/config/toml_file.h"

#include <algorithm>
#include <sstream>
#include <toml.hpp>

#include "engine/core/utf8.h"

namespace postrider::config {
namespace {

Value scalar(const toml::value& from) {
  Value value;
  if (from.is_string()) {
    value.kind = Value::Kind::text;
    value.text = from.as_string().str;
  } else if (from.is_integer()) {
    value.kind = Value::Kind::integer;
    value.integer = from.as_integer();
  } else if (from.is_boolean()) {
    value.kind = Value::Kind::boolean;
    value.boolean = from.as_boolean();
  }
  return value;
}

Value value_of(const toml::value& from) {
  if (!from.is_array()) return scalar(from);
  Value value;
  value.kind = Value::Kind::list;
  for (const auto& element : from.as_array()) {
    if (element.is_integer())
      value.list.push_back(std::to_string(element.as_integer()));
    else if (element.is_string())
      value.list.push_back(element.as_string().str);
    else
      return Value{};
  }
  return value;
}

void open_table(const toml::value& table, const std::string& prefix, std::vector<Setting>& out) {
  for (const auto& [name, value] : table.as_table()) {
    if (value.is_table())
      open_table(value, prefix + name + ".", out);
    else
      out.push_back({prefix + name, value_of(value), "line " + std::to_string(value.location().line())});
  }
}

tl::unexpected<Error> broken(const std::string& where) {
  return fail(Errc::invalid, "INVALID_CONFIGURATION", where + ": this is not TOML",
              "mend that line; strings stand in quotes, sections in [brackets]");
}

}  // namespace

Result<std::vector<Setting>> parse_toml(const std::string& text, const std::string& name) {
  // toml11's own messages quote the line, which may hold a secret that should not be there: only the line's
  // number is taken from them.
  // toml11 3.7.1 reads beyond its buffer where a string is not UTF-8 (found by tests/fuzz/toml.cc).
  if (const auto flaw = utf8_flaw(text); flaw != std::string::npos)
    return broken(
        name + " line " +
        std::to_string(1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(flaw), '\n')));
  try {
    std::istringstream stream(text);
    const auto root = toml::parse(stream, name);
    std::vector<Setting> settings;
    open_table(root, "", settings);
    return settings;
  } catch (const toml::exception& error) {
    return broken(name + " line " + std::to_string(error.location().line()));
  } catch (const std::exception&) {
    return broken(name);
  }
}

}  // namespace postrider::config
