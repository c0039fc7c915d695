#include "engine/api/json_text.h"

#include "engine/core/time.h"

namespace postrider {
namespace {

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

// Judges nesting and repeated keys while the text is read, and builds the value.
class Builder : public nlohmann::detail::json_sax_dom_parser<Json> {
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;

 public:
  Builder(Json& value, int depth_max) : Base(value, false), depth_max_(depth_max) {}
  bool start_object(std::size_t count) {
    keys_.emplace_back();
    return ++depth_ <= depth_max_ && Base::start_object(count);
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return Base::end_object();
  }
  bool start_array(std::size_t count) { return ++depth_ <= depth_max_ && Base::start_array(count); }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(std::string& name) { return keys_.back().insert(name).second && Base::key(name); }

 private:
  const int depth_max_;
  int depth_ = 0;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

ApiResponse json_answer(int status, const Json& body) {
  return {status, {{"Content-Type", "application/json"}}, text_of(body)};
}

Json time_or_null(std::int64_t unix_ms) {
  return unix_ms == 0 ? Json(nullptr) : Json(rfc3339(unix_ms));
}

Result<Json> parse_body(const ApiRequest& request, int depth_max) {
  if (request.body.empty()) return Json::object();
  if (const auto* type = find_header(request.headers, "content-type");
      type && !type->starts_with("application/json"))
    return refuse("the body's Content-Type is not application/json", "send JSON");
  Json root;
  Builder builder(root, depth_max);
  // The parser ends at a NUL byte as at the end of the text.
  const bool whole = request.body.find('\0') == std::string::npos;
  if (!whole || !Json::sax_parse(request.body, &builder) || !root.is_object())
    return refuse("the body is no JSON object, is nested too deeply, or names a key twice",
                  "send one JSON object, UTF-8, at most " + std::to_string(depth_max) + " levels deep");
  return root;
}

Json* Fields::member(const char* name) {
  asked_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::wrong(const std::string& field, const std::string& what, const std::string& suggestion) {
  if (!error_) error_ = Error{Errc::invalid, "INVALID_REQUEST", field + " " + what, suggestion};
}

std::optional<std::string> Fields::text(const char* name, std::size_t bytes_max) {
  const auto* value = member(name);
  if (!value) return std::nullopt;
  const auto* text = value->get_ptr<const std::string*>();
  if (!text) return wrong(name, "is not a string", "put it in quotes"), std::nullopt;
  if (text->size() > bytes_max)
    return wrong(name, "is too long", "at most " + std::to_string(bytes_max) + " bytes"), std::nullopt;
  return *text;
}

std::optional<bool> Fields::flag(const char* name) {
  const auto* value = member(name);
  if (!value) return std::nullopt;
  if (!value->is_boolean())
    return wrong(name, "is neither true nor false", "write true or false"), std::nullopt;
  return value->get<bool>();
}

std::optional<double> Fields::number(const char* name, double least, double most) {
  const auto* value = member(name);
  if (!value) return std::nullopt;
  if (value->is_number()) {
    const auto number = value->get<double>();
    if (number >= least && number <= most) return number;
  }
  wrong(name, "is no number in range",
        "write a number from " + Json(least).dump() + " to " + Json(most).dump());
  return std::nullopt;
}

std::optional<std::uint32_t> Fields::count(const char* name, std::uint32_t least, std::uint32_t most) {
  const auto* value = member(name);
  if (!value) return std::nullopt;
  if (value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number >= least && number <= most) return static_cast<std::uint32_t>(number);
  }
  wrong(name, "is no whole number in range",
        "write a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return std::nullopt;
}

std::optional<std::vector<std::string>> Fields::texts(const char* name, std::size_t count_max) {
  const auto* value = member(name);
  if (!value) return std::nullopt;
  if (const auto* text = value->get_ptr<const std::string*>()) return std::vector<std::string>{*text};
  if (!value->is_array() || value->size() > count_max)
    return wrong(name, "is no list of strings", "write an array of at most " + std::to_string(count_max)),
           std::nullopt;
  std::vector<std::string> texts;
  for (const auto& element : *value) {
    const auto* text = element.get_ptr<const std::string*>();
    if (!text) return wrong(name, "holds something that is not a string", "put it in quotes"), std::nullopt;
    texts.push_back(*text);
  }
  return texts;
}

Json* Fields::object(const char* name) {
  auto* value = member(name);
  if (!value || value->is_object()) return value;
  wrong(name, "is no object", "write {…}");
  return nullptr;
}

Result<void> Fields::done() {
  for (const auto& [name, value] : object_.items())
    if (!asked_.contains(name)) wrong(name.substr(0, 64), "is no field of this request", "leave it out");
  if (error_) return fail(std::move(*error_));
  return {};
}

}  // namespace postrider
