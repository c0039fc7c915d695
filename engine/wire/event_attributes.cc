#include "engine/wire/event_attributes.h"

#include <algorithm>
#include <utility>

#include "engine/core/utf8.h"
#include "engine/wire/cloud_event.h"

namespace postrider::wire {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_attribute_name(std::string_view name) {
  return !name.empty() && name.size() <= kAttributeNameBytesMax && name != "data" &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

// Ours would be misread once the event is written in binary mode.
bool is_data_content_type(std::string_view value) {
  const auto media = media_type(value);
  return !media.starts_with("application/cloudevents") && !media.starts_with("application/vnd.postrider.");
}

// For messages: names come from outside and may be long or binary.
std::string shown(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 40)) out += c >= 0x20 && c < 0x7F ? c : '?';
  return "'" + out + "'";
}

std::string* core_attribute(Event& event, std::string_view name) {
  if (name == "id") return &event.id;
  if (name == "source") return &event.source;
  if (name == "type") return &event.type;
  if (name == "subject") return &event.subject;
  if (name == "time") return &event.time;
  if (name == "datacontenttype") return &event.datacontenttype;
  if (name == "dataschema") return &event.dataschema;
  if (name == "environment") return &event.environment;
  return nullptr;
}

}  // namespace

tl::unexpected<Error> undecodable(std::string message, std::string suggestion) {
  if (suggestion.empty()) suggestion = "publish a CloudEvent 1.0 in binary, structured JSON or protobuf mode";
  return fail(Errc::invalid, "UNDECODABLE_EVENT", std::move(message), std::move(suggestion));
}

Result<void> AttributeCollector::add(std::string_view name, std::string_view value) {
  if (!is_attribute_name(name)) {
    return undecodable(shown(name) + " is no name of an attribute",
                       "CloudEvents attribute names are lower-case letters and digits");
  }
  if (seen_.size() >= kAttributesMax) {
    return undecodable("more than " + std::to_string(kAttributesMax) + " attributes");
  }
  if (std::find(seen_.begin(), seen_.end(), name) != seen_.end()) {
    return undecodable("the attribute " + shown(name) + " occurs twice");
  }
  if (!is_utf8(value)) return undecodable("the attribute " + shown(name) + " is not UTF-8");
  bytes_ += name.size() + value.size();
  if (bytes_ > kAttributesBytesMax) {
    return undecodable("the attributes are longer than " + std::to_string(kAttributesBytesMax) +
                       " bytes together");
  }
  seen_.emplace_back(name);
  return assign(name, value);
}

Result<void> AttributeCollector::assign(std::string_view name, std::string_view value) {
  if (name == "specversion") {
    if (value != "1.0") {
      return undecodable("its specversion is " + shown(value) + ", not '1.0'", "publish CloudEvents 1.0");
    }
    specversion_ = true;
  } else if (name == "datacontenttype" && !value.empty() && !is_data_content_type(value)) {
    return undecodable("its datacontenttype is no media type of data",
                       "name the type of data, such as application/json");
  } else if (name == "tenant") {
    event_.tenant = TenantId(std::string(value));
  } else if (name == "target") {
    event_.target = parse_target(value);
    if (!event_.target) return undecodable("its target is not endpoint:incarnation");
  } else if (name == "replayjob") {
    event_.replay_job = ReplayJobId(std::string(value));
  } else if (auto* field = core_attribute(event_, name)) {
    *field = value;
  } else {
    event_.extensions.emplace_back(name, value);
  }
  return {};
}

Result<Event> AttributeCollector::finish() && {
  if (!specversion_) {
    return undecodable("it names no specversion, so it is no CloudEvent");
  }
  // By name, so that an event reads the same from every mode, and a body that is made again has the same
  // bytes.
  std::sort(event_.extensions.begin(), event_.extensions.end());
  return std::move(event_);
}

bool is_ours(std::string_view name) {
  return name == "tenant" || name == "environment" || name == "target" || name == "replayjob";
}

constexpr std::size_t kOwnAttributesMax = 11;

std::vector<Attribute> attributes_of(const Event& event, std::string& target_text) {
  std::vector<Attribute> all;
  all.reserve(kOwnAttributesMax + event.extensions.size());
  all.push_back({"specversion", "1.0"});
  const auto put = [&all](std::string_view name, std::string_view value) {
    if (!value.empty()) all.push_back({name, value});
  };
  if (event.target) target_text = format_target(*event.target);
  put("id", event.id);
  put("source", event.source);
  put("type", event.type);
  put("subject", event.subject);
  put("time", event.time);
  put("dataschema", event.dataschema);
  put("tenant", event.tenant.str());
  put("environment", event.environment);
  put("target", target_text);
  put("replayjob", event.replay_job.str());
  // An extension may be empty: it is there all the same.
  for (const auto& [name, value] : event.extensions) all.push_back({name, value});
  return all;
}

std::string media_type(std::string_view content_type) {
  return lowered(trimmed(content_type.substr(0, content_type.find(';'))));
}

bool is_json_type(std::string_view content_type) {
  const auto media = media_type(content_type);
  const auto slash = media.find('/');
  if (slash == std::string::npos) return false;
  const auto subtype = std::string_view(media).substr(slash + 1);
  return subtype == "json" || subtype.ends_with("+json");
}

bool is_utf8_text_type(std::string_view content_type) {
  if (!media_type(content_type).starts_with("text/")) return false;
  const auto all = lowered(content_type);
  const auto at = all.find("charset=");
  if (at == std::string::npos) return true;
  auto charset = std::string_view(all).substr(at + 8);
  charset = trimmed(charset.substr(0, charset.find(';')));
  if (charset.size() >= 2 && charset.front() == '"') charset = charset.substr(1, charset.size() - 2);
  return charset == "utf-8" || charset == "utf8" || charset == "us-ascii";
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), text.begin(),
                                                    [](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace postrider::wire
