#include "engine/ports/service.h"

#include <algorithm>

namespace postrider {

bool Precondition::met(const EndpointDef* current) const {
  if (absent && current != nullptr) return false;
  if (any && current == nullptr) return false;
  if (!revisions) return true;
  return current != nullptr &&
         std::find(revisions->begin(), revisions->end(), current->revision) != revisions->end();
}

}  // namespace postrider
