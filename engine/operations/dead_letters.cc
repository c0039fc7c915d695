#include "engine/operations/dead_letters.h"

#include <algorithm>
#include <map>
#include <queue>
#include <tuple>

#include "engine/core/registry.h"
#include "engine/operations/audit.h"
#include "engine/operations/dead_letter_reader.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

bool older(const DeadLetterView& a, const DeadLetterView& b) {
  return rank_of(a) > rank_of(b);
}

// Marks are read again only for the few that are shown.
Result<void> fill_mark(const DeadLetterReader& reader, DeadLetterView& view) {
  if (!reader.has_mark(view.letter.delivery.id)) return {};
  auto mark = reader.fetch_mark(view.letter.delivery.id);
  if (!mark) return fail(mark.error());
  view.mark = std::move(*mark);
  return {};
}

tl::unexpected<Error> no_such_letter(const DeliveryId& id) {
  return fail(Errc::not_found, "NOT_FOUND", "there is no dead letter of " + id.str(),
              "list them; a dead letter is kept for 7 days");
}

}  // namespace

bool DeadLetterFilter::empty() const {
  return tenant.empty() && endpoint.empty() && type.empty() && !reason && !state && since == 0 &&
         until == 0 && ids.empty();
}

bool DeadLetterFilter::mixes_ids() const {
  auto rest = *this;
  rest.ids.clear();
  return !ids.empty() && !rest.empty();
}

bool DeadLetterFilter::matches(const DeadLetter& letter) const {
  const auto& delivery = letter.delivery;
  return (tenant.empty() || tenant == delivery.tenant) &&
         (endpoint.empty() || endpoint == delivery.target.endpoint) &&
         (type.empty() || matches_type(type, delivery.event_type)) && (!reason || *reason == letter.reason) &&
         (since == 0 || letter.dead_at >= since) && (until == 0 || letter.dead_at < until);
}

DeadLetterRank rank_of(const DeadLetterView& view) {
  return {view.letter.dead_at, view.place};
}

Result<DeadLetterList> list_dead_letters(Desk& desk, const DeadLetterFilter& filter, std::size_t limit,
                                         const std::optional<DeadLetterRank>& after) {
  limit = std::clamp<std::size_t>(limit, 1, kDeadLettersListedMax);
  DeadLetterReader reader(desk, filter);
  if (auto done = reader.prepare(); !done) return fail(done.error());
  DeadLetterList list;
  // A heap with the oldest on top: it leaves when a newer one comes.
  auto& heap = list.letters;
  auto done = reader.for_each(false, [&](DeadLetterView view) -> Result<bool> {
    if (after && rank_of(view) >= *after) return true;
    heap.push_back(std::move(view));
    std::push_heap(heap.begin(), heap.end(), older);
    if (heap.size() <= limit) return true;
    std::pop_heap(heap.begin(), heap.end(), older);
    heap.pop_back();
    list.truncated = true;
    return true;
  });
  if (!done) return fail(done.error());
  std::sort_heap(heap.begin(), heap.end(), older);
  for (auto& view : heap)
    if (auto filled = fill_mark(reader, view); !filled) return fail(filled.error());
  list.successes_checked = reader.successes_checked();
  return list;
}

Result<DeadLetterView> show_dead_letter(Desk& desk, const DeliveryId& id, const TenantId& within) {
  DeadLetterFilter filter;
  filter.tenant = within;
  filter.ids = {id};
  DeadLetterReader reader(desk, filter);
  if (auto done = reader.prepare(); !done) return fail(done.error());
  std::optional<DeadLetterView> found;
  auto done = reader.for_each(false, [&](DeadLetterView view) -> Result<bool> {
    found = std::move(view);
    return false;
  });
  if (!done) return fail(done.error());
  if (!found) return no_such_letter(id);
  if (auto filled = fill_mark(reader, *found); !filled) return fail(filled.error());
  return std::move(*found);
}

Result<DeadLetterSummary> summarize_dead_letters(Desk& desk, const DeadLetterFilter& filter) {
  DeadLetterReader reader(desk, filter);
  if (auto done = reader.prepare(); !done) return fail(done.error());
  std::map<std::tuple<TenantId, EndpointId, DeadReason>, DeadLetterSummary::Line> lines;
  DeadLetterSummary summary;
  auto done = reader.for_each(false, [&](DeadLetterView view) -> Result<bool> {
    const auto& letter = view.letter;
    auto& line = lines[{letter.delivery.tenant, letter.delivery.target.endpoint, letter.reason}];
    line.tenant = letter.delivery.tenant;
    line.endpoint = letter.delivery.target.endpoint;
    line.reason = letter.reason;
    line.first = line.first == 0 ? letter.dead_at : std::min(line.first, letter.dead_at);
    line.last = std::max(line.last, letter.dead_at);
    switch (view.state) {
      case DeadLetterState::open:
        ++line.open, ++summary.open;
        break;
      case DeadLetterState::replayed:
        ++line.replayed, ++summary.replayed;
        break;
      case DeadLetterState::resolved:
        ++line.resolved, ++summary.resolved;
        break;
    }
    return true;
  });
  if (!done) return fail(done.error());
  for (auto& [key, line] : lines) summary.lines.push_back(std::move(line));
  summary.successes_checked = reader.successes_checked();
  return summary;
}

Result<void> append_mark(Desk& desk, DeadLetterMark mark) {
  if (mark.at == 0) mark.at = desk.now_ms();
  NewRecord record;
  record.topic = Topic::dead_letters;
  record.key = mark.tenant.str();
  record.value = wire::encode(desk.environment, mark);
  auto appended = desk.log.append(std::move(record));
  if (!appended) return fail(appended.error());
  if (appended->status != Appended::Status::acknowledged) return fail(appended->error);
  return {};
}

Result<DeadLetterView> resolve_dead_letter(Desk& desk, const DeliveryId& id, const std::string& why,
                                           const Actor& actor, const TenantId& within) {
  auto view = show_dead_letter(desk, id, within);
  if (!view) return view;
  if (view->state != DeadLetterState::open)
    return fail(Errc::conflict, "ALREADY_CLOSED",
                "the dead letter of " + id.str() + " is " + std::string(name_of(view->state)) + " already",
                "nothing is left to do");
  DeadLetterMark mark;
  mark.delivery = id;
  mark.tenant = view->letter.delivery.tenant;
  mark.state = DeadLetterState::resolved;
  mark.actor = actor.name;
  mark.why = why;
  mark.at = desk.now_ms();
  auto audit = audit_of(actor, "resolve", "dead_letter");
  audit.tenant = mark.tenant;
  audit.subject_id = id.str();
  audit.target = view->letter.delivery.target.endpoint.str();
  audit.event_type = view->letter.delivery.event_type;
  audit.outcome = "done";
  // The audit fact first: nothing is done that is not told.
  if (auto done = append_audit(desk, std::move(audit)); !done) return fail(done.error());
  if (auto done = append_mark(desk, mark); !done) return fail(done.error());
  view->state = mark.state;
  view->mark = std::move(mark);
  return view;
}

}  // namespace postrider
