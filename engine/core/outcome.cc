#include "engine/core/outcome.h"

namespace postrider {

std::string_view code_of(AttemptError error) {
  switch (error) {
    case AttemptError::none:
      return "none";
    case AttemptError::dns:
      return "dns";
    case AttemptError::denied:
      return "denied";
    case AttemptError::connect:
      return "connect";
    case AttemptError::tls:
      return "tls";
    case AttemptError::timeout:
      return "timeout";
    case AttemptError::reset:
      return "reset";
    case AttemptError::malformed:
      return "malformed";
    case AttemptError::headers_too_large:
      return "headers_too_large";
    case AttemptError::body_too_large:
      return "body_too_large";
    case AttemptError::body_broken:
      return "body_broken";
    case AttemptError::ambiguous:
      return "ambiguous";
  }
  return "none";
}

}  // namespace postrider
