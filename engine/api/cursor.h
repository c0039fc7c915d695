#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/api/call.h"
#include "engine/core/result.h"
#include "engine/operations/newest_first.h"

namespace postrider {

// What a list answers as `next_cursor`: where its next page begins. Opaque to clients, and good on every
// instance. It goes with one list and one set of filters of one tenant's view: a cursor of another, or one
// that was changed, is refused (INVALID_CURSOR). That is a check against mistakes and no lock: a cursor opens
// nothing, for each page is judged by the token that asks for it.
class Cursor {
 public:
  // Of the call's route, path and parameters, but `cursor` and `limit`.
  explicit Cursor(const Call& call);

  // The place that the call's `cursor` names; nullopt: it has none, and asks for the first page.
  Result<std::optional<std::string>> place() const;
  std::string next(std::string_view place) const;

 private:
  std::string seal_of(std::string_view place) const;
  const std::optional<std::string> given_;
  std::string list_;
};

Error invalid_cursor();
// Of a walk through the log; empty: from its end.
Result<LogPlace> walk_from(const Call& call);

}  // namespace postrider
