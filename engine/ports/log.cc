#include "engine/ports/log.h"

namespace postrider {

std::string_view name_of(Topic topic) {
  switch (topic) {
    case Topic::events:
      return "events";
    case Topic::endpoints:
      return "endpoints";
    case Topic::health:
      return "health";
    case Topic::keys:
      return "keys";
    case Topic::parked:
      return "parked";
    case Topic::attempts:
      return "attempts";
    case Topic::dead_letters:
      return "dead-letters";
    case Topic::audit:
      return "audit";
    case Topic::requests:
      return "requests";
    case Topic::replays:
      return "replays";
  }
  return "events";
}

std::string full_name(const Environment& environment, Topic topic) {
  return environment.str() + ".postrider." + std::string(name_of(topic));
}

}  // namespace postrider
