#include "engine/core/challenge.h"

namespace postrider {

Event challenge_event(const EndpointDef& def, std::string_view value) {
  Event event;
  // One id a challenge, however often it is sent.
  event.id = "challenge-" + def.incarnation.str() + "-" + std::to_string(def.challenged_at);
  event.source = "/postrider";
  event.type = kChallengeType;
  event.tenant = def.tenant;
  event.datacontenttype = "application/json";
  event.data =
      R"({"type":")" + std::string(kChallengeType) + R"(","challenge":")" + std::string(value) + "\"}";
  return event;
}

bool gives_back(const Outcome& outcome, std::string_view value) {
  if (outcome.status / 100 != 2 || value.empty()) return false;
  const std::string* header = find_header(outcome.headers, kChallengeHeader);
  return (header != nullptr && *header == value) || outcome.snippet.find(value) != std::string::npos;
}

bool is_elsewhere(const Url& one, const Url& other) {
  return one.whole() != other.whole();  // the port of the scheme left out, the host in lower case
}

}  // namespace postrider
