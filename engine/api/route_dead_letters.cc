#include <cinttypes>
#include <cstdio>

#include "engine/api/cursor.h"
#include "engine/api/dead_letter_filter.h"
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/api/views.h"
#include "engine/core/registry.h"

namespace postrider {
namespace {

Result<DeadLetterFilter> filter_of(const Call& call) {
  auto filter = dead_letter_filter({.tenant = call.parameter("tenant"),
                                    .endpoint = call.parameter("endpoint"),
                                    .type = call.parameter("type"),
                                    .reason = call.parameter("reason"),
                                    .state = call.parameter("state")});
  if (!filter) return filter;
  const auto since = call.time("since"), until = call.time("until");
  if (!since) return fail(since.error());
  if (!until) return fail(until.error());
  filter->tenant = call.filter_as_seen(filter->tenant);
  filter->since = *since;
  filter->until = *until;
  return filter;
}

std::string format_rank(const DeadLetterRank& rank) {
  return std::to_string(rank.dead_at) + " " + std::to_string(rank.place.partition) + " " +
         std::to_string(rank.place.offset);
}

// Where the call's cursor says that the page before ended; nullopt: it is the first one.
Result<std::optional<DeadLetterRank>> rank_before(const Call& call) {
  const auto given = Cursor(call).place();
  if (!given) return fail(given.error());
  if (!*given) return std::optional<DeadLetterRank>();
  DeadLetterRank rank;
  if (std::sscanf((*given)->c_str(), "%" SCNd64 " %" SCNd32 " %" SCNd64, &rank.dead_at, &rank.place.partition,
                  &rank.place.offset) != 3)
    return fail(invalid_cursor());
  return std::optional(rank);
}

ApiResponse letter_answer(const Result<DeadLetterView>& view) {
  return view ? json_answer(200, view_of(*view)) : problem(view.error());
}

}  // namespace

void Routes::list_dead_letters(CallPtr call) {
  if (auto fine =
          call->only({"tenant", "endpoint", "type", "reason", "state", "since", "until", "limit", "cursor"});
      !fine)
    return call->refuse(fine.error());
  const auto filter = filter_of(*call);
  const auto limit = call->limit(kDeadLettersListed, kDeadLettersListedMax);
  if (!filter) return call->refuse(filter.error());
  if (!limit) return call->refuse(limit.error());
  const auto after = rank_before(*call);
  if (!after) return call->refuse(after.error());
  scan(call, [self = shared_from_this(), call, filter = *filter, limit = *limit, after = *after] {
    auto desk_copy = self->desk;
    const auto list = postrider::list_dead_letters(desk_copy, filter, limit, after);
    if (!list) return call->refuse(list.error());
    Json next = nullptr;
    if (list->truncated) next = Cursor(*call).next(format_rank(rank_of(list->letters.back())));
    Json letters = Json::array();
    for (const auto& letter : list->letters) letters.push_back(view_of(letter));
    call->answer(json_answer(200, {{"dead_letters", std::move(letters)},
                                   {"truncated", list->truncated},
                                   {"next_cursor", std::move(next)},
                                   {"successes_checked", list->successes_checked}}));
  });
}

void Routes::summarize_dead_letters(CallPtr call) {
  if (auto fine = call->only({"tenant", "endpoint", "type", "reason", "state", "since", "until"}); !fine)
    return call->refuse(fine.error());
  const auto filter = filter_of(*call);
  if (!filter) return call->refuse(filter.error());
  scan(call, [self = shared_from_this(), call, filter = *filter] {
    auto desk_copy = self->desk;
    const auto summary = postrider::summarize_dead_letters(desk_copy, filter);
    if (!summary) return call->refuse(summary.error());
    call->answer(json_answer(200, view_of(*summary)));
  });
}

void Routes::get_dead_letter(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  work(call, [self = shared_from_this(), call] {
    auto desk_copy = self->desk;
    call->answer(letter_answer(show_dead_letter(desk_copy, DeliveryId(call->path[0]), call->grant.tenant)));
  });
}

void Routes::resolve_dead_letter(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  auto body = parse_body(call->request);
  if (!body) return call->refuse(body.error());
  Fields fields(*body);
  const auto why = fields.text("why", 512);
  if (!why || why->empty()) fields.wrong("why", "is missing", "say in a few words what became of it");
  if (auto done = fields.done(); !done) return call->refuse(done.error());
  work(call, [self = shared_from_this(), call, why = *why] {
    auto desk_copy = self->desk;
    call->answer(letter_answer(postrider::resolve_dead_letter(desk_copy, DeliveryId(call->path[0]), why,
                                                              call->actor, call->grant.tenant)));
  });
}

}  // namespace postrider
