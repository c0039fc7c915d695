#include <cmath>
#include <cstdint>

#include "engine/jsonschema/rewrite.h"

namespace postrider::jsonschema {
namespace {

constexpr double kWholeMax = 9007199254740992.0;  // 2^53: beyond, a double is no exact whole number

// Judges nesting, repeated keys and the length of paths while the text is read, and builds the value.
class Builder : public nlohmann::detail::json_sax_dom_parser<Json> {
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;

 public:
  Builder(Json& value, int depth_max, std::size_t path_bytes_max)
      : Base(value, false), depth_max_(depth_max), path_bytes_max_(path_bytes_max) {}
  bool start_object(std::size_t count) {
    levels_.emplace_back();
    return levels_.size() <= static_cast<std::size_t>(depth_max_) && Base::start_object(count);
  }
  bool end_object() {
    path_bytes_ -= levels_.back().bytes;
    levels_.pop_back();
    return Base::end_object();
  }
  bool start_array(std::size_t count) {
    levels_.emplace_back();
    return levels_.size() <= static_cast<std::size_t>(depth_max_) && Base::start_array(count);
  }
  bool end_array() {
    levels_.pop_back();
    return Base::end_array();
  }
  bool key(std::string& name) {
    Level& level = levels_.back();
    path_bytes_ += name.size() - level.bytes;
    level.bytes = name.size();
    return path_bytes_ <= path_bytes_max_ && level.keys.insert(name).second && Base::key(name);
  }
  bool number_unsigned(std::uint64_t number) {
    // valijson takes whole numbers for signed ones.
    if (number > static_cast<std::uint64_t>(INT64_MAX))
      return Base::number_float(static_cast<double>(number), "");
    return Base::number_unsigned(number);
  }
  bool number_float(double number, const std::string& text) {
    if (std::abs(number) < kWholeMax && number == std::trunc(number))
      return Base::number_integer(static_cast<std::int64_t>(number));
    return Base::number_float(number, text);
  }

 private:
  struct Level {
    std::set<std::string> keys;
    std::size_t bytes = 0;  // of the key that is being read
  };
  const int depth_max_;
  const std::size_t path_bytes_max_;
  std::size_t path_bytes_ = 0;
  std::vector<Level> levels_;
};

}  // namespace

std::optional<Json> parse(std::string_view text, int depth_max, std::size_t path_bytes_max) {
  // The parser ends at a NUL byte as at the end of the text: what stands behind it would go out unjudged.
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  Json value;
  Builder builder(value, depth_max, path_bytes_max);
  if (!Json::sax_parse(text, &builder)) return std::nullopt;
  return value;
}

}  // namespace postrider::jsonschema
