#include "engine/ports/service.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace postrider {

bool Precondition::met(const EndpointDef* current) const {
  return met_by(current ? std::optional(current->revision) : std::nullopt);
}

bool Precondition::met(const EventTypeDef* current) const {
  return met_by(current ? std::optional(current->revision) : std::nullopt);
}

bool Precondition::met(const TenantDef* current) const {
  return met_by(current ? std::optional(current->revision) : std::nullopt);
}

bool Precondition::met_by(std::optional<std::uint64_t> revision) const {
  if (absent && revision) return false;
  if (any && !revision) return false;
  if (!revisions) return true;
  return revision && std::find(revisions->begin(), revisions->end(), *revision) != revisions->end();
}

std::vector<EventTypeDef> page_of(const std::vector<const EventTypeDef*>& defs, const PageAsk& page,
                                  bool all) {
  const auto slash = std::min(page.after.find('/'), page.after.size());
  const std::string_view after = page.after;
  const std::pair behind(all ? after.substr(0, slash) : std::string_view(),
                         after.substr(std::min(slash + 1, after.size())));
  std::vector<EventTypeDef> part;
  part.reserve(std::min(defs.size(), page.limit + 1));
  for (const EventTypeDef* def : defs) {
    const std::pair place(all ? std::string_view(def->tenant.str()) : std::string_view(),
                          std::string_view(def->name));
    if (!page.after.empty() && place <= behind) continue;
    if (part.size() > page.limit) break;
    part.push_back(*def);
  }
  return part;
}

}  // namespace postrider
