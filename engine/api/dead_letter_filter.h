#pragma once
#include <string>

#include "engine/operations/dead_letters.h"

namespace postrider {

// The words of a filter, as a query or a replay's body has them.
struct DeadLetterWords {
  std::string tenant, endpoint, type, reason, state;
};
// INVALID_REQUEST: a word that is none.
Result<DeadLetterFilter> dead_letter_filter(const DeadLetterWords& words);

}  // namespace postrider
