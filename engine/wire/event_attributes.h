#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/event.h"
#include "engine/core/result.h"

// What the modes of a CloudEvent have in common: its attributes, by name. Internal to this room. Pure.
namespace postrider::wire {

// Bounds of what is taken in at all. core's check() is stricter, and says bad_attribute: by then the tenant
// is known.
inline constexpr std::size_t kAttributesMax = 128;
inline constexpr std::size_t kAttributeNameBytesMax = 64;
inline constexpr std::size_t kAttributesBytesMax = 64 * 1024;

tl::unexpected<Error> undecodable(std::string message, std::string suggestion = {});

// Collects attributes into an event. Refuses (Errc::invalid) what could not be stored or would be ambiguous:
// names other than [a-z0-9]+, text that is not UTF-8, a name that occurs twice, another specversion, a
// datacontenttype that means one of our own modes; and what is over the bounds above.
class AttributeCollector {
 public:
  AttributeCollector() { seen_.reserve(kUsualAttributes); }
  Result<void> add(std::string_view name, std::string_view value);
  // The event so far, without data. Refuses an event that named no specversion.
  Result<Event> finish() &&;

 private:
  Result<void> assign(std::string_view name, std::string_view value);

  static constexpr std::size_t kUsualAttributes = 16;

  Event event_;
  std::vector<std::string> seen_;
  std::size_t bytes_ = 0;
  bool specversion_ = false;
};

// Attributes by which Postrider routes; they never leave to a customer.
bool is_ours(std::string_view name);

struct Attribute {
  std::string_view name;
  std::string_view value;
};
// Every attribute that is present, specversion first, without datacontenttype (each mode has its own place
// for it). The views borrow from `event` and from `target_text`, which receives the target's spelling.
std::vector<Attribute> attributes_of(const Event& event, std::string& target_text);

// The media type without its parameters, in lower case: "application/json".
std::string media_type(std::string_view content_type);
bool is_json_type(std::string_view content_type);       // application/json, text/json, …/…+json
bool is_utf8_text_type(std::string_view content_type);  // text/… with no other charset than UTF-8 or ASCII

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);

}  // namespace postrider::wire
