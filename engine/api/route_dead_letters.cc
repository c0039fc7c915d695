#include <cinttypes>
#include <cstdio>

#include "engine/api/cursor.h"
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/api/views.h"
#include "engine/core/registry.h"

namespace postrider {
namespace {

constexpr std::size_t kReplayIdsMax = 10'000;
// A replay that takes longer goes on; the answer tells its job.
constexpr std::chrono::seconds kReplayAnswered{20};

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

// The filter's words, from a query or from a replay's body.
struct FilterWords {
  std::string tenant, endpoint, type, reason, state;
};

Result<DeadLetterFilter> filter_of(const FilterWords& words) {
  DeadLetterFilter filter;
  for (const auto* id : {&words.tenant, &words.endpoint})
    if (!id->empty() && !is_tenant_or_endpoint_id(*id))
      return refuse("tenant or endpoint is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  filter.tenant = TenantId(words.tenant);
  filter.endpoint = EndpointId(words.endpoint);
  if (!words.type.empty() && !is_type_pattern(words.type))
    return refuse("type is no type or pattern", "write \"order.created\", \"order.*\" or \"*\"");
  filter.type = words.type;
  if (!words.reason.empty()) {
    filter.reason = parse_dead_reason(words.reason);
    if (!filter.reason)
      return refuse("there is no such reason", "see GET /v1/dead-letters/summary for reasons");
  }
  if (words.state == "open")
    filter.state = DeadLetterState::open;
  else if (words.state == "replayed")
    filter.state = DeadLetterState::replayed;
  else if (words.state == "resolved")
    filter.state = DeadLetterState::resolved;
  else if (!words.state.empty())
    return refuse("there is no such state", "write open, replayed or resolved");
  return filter;
}

Result<DeadLetterFilter> filter_of(const Call& call) {
  auto filter = filter_of({.tenant = call.parameter("tenant"),
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

Result<std::int64_t> time_of(const std::optional<std::string>& text, const char* name) {
  if (!text) return 0;
  if (const auto time = parse_rfc3339(*text)) return *time;
  return refuse(std::string(name) + " is no time", "write RFC 3339, as in 2026-01-31T12:00:00Z");
}

Result<DeadLetterFilter> read_filter(Json& object) {
  Fields fields(object);
  const FilterWords words = {.tenant = fields.text("tenant").value_or(""),
                             .endpoint = fields.text("endpoint").value_or(""),
                             .type = fields.text("type").value_or(""),
                             .reason = fields.text("reason").value_or(""),
                             .state = {}};
  const auto since = time_of(fields.text("since"), "since"), until = time_of(fields.text("until"), "until");
  if (auto done = fields.done(); !done) return fail(done.error());
  if (!since) return fail(since.error());
  if (!until) return fail(until.error());
  auto filter = filter_of(words);
  if (!filter) return filter;
  filter->since = *since;
  filter->until = *until;
  return filter;
}

Result<ReplayRequest> read_replay(const ApiRequest& request) {
  auto body = parse_body(request);
  if (!body) return fail(body.error());
  Fields fields(*body);
  const auto ids = fields.texts("ids", kReplayIdsMax);
  auto* selector = fields.object("filter");
  ReplayRequest replay;
  replay.dry_run = fields.flag("dry_run").value_or(false);
  replay.rate = fields.number("rate", 0, 1e6).value_or(0);
  replay.job = ReplayJobId(fields.text("job", 64).value_or(""));
  if (auto done = fields.done(); !done) return fail(done.error());
  if (ids && selector) return refuse("ids and filter are both given", "give one of them");
  if (selector) {
    auto filter = read_filter(*selector);
    if (!filter) return fail(filter.error());
    replay.filter = std::move(*filter);
  }
  for (const auto& id : ids.value_or(std::vector<std::string>{})) {
    if (!partition_of(id)) return refuse("ids holds something that is no delivery id", "write \"dlv_…\"");
    replay.filter.ids.emplace_back(id);
  }
  if (replay.filter.empty())
    return refuse("the replay selects nothing",
                  "give ids, or a filter with tenant, endpoint, type, reason or time");
  return replay;
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
  work(call, [self = shared_from_this(), call, filter = *filter, limit = *limit, after = *after] {
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
  work(call, [self = shared_from_this(), call, filter = *filter] {
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

void Routes::post_replay(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  auto request = read_replay(call->request);
  if (!request) return call->refuse(request.error());
  request->actor = call->actor;
  request->within = call->grant.tenant;
  request->named = ReplayJobId(call->named("rpl_"));
  // A count waits for no replay: it tells how far one is.
  if (request->dry_run)
    return work(call, [self = shared_from_this(), call, request = std::move(*request)] {
      auto desk_copy = self->desk;
      const auto report = replay(desk_copy, request, self->stop_replays);
      call->answer(report ? json_answer(200, view_of(*report)) : problem(report.error()));
    });
  const bool taken = replayer.run([self = shared_from_this(), call, request = std::move(*request)] {
    auto desk_copy = self->desk;
    const auto begin = std::chrono::steady_clock::now();
    bool answered = false;
    const auto report = replay(desk_copy, request, self->stop_replays, [&](const ReplayReport& so_far) {
      if (answered || std::chrono::steady_clock::now() - begin < kReplayAnswered) return;
      answered = true;
      auto unfinished = view_of(so_far);
      unfinished["finished"] = false;
      call->answer(json_answer(202, unfinished));
    });
    if (answered) return;
    call->answer(report ? json_answer(report->finished ? 200 : 202, view_of(*report))
                        : problem(report.error()));
  });
  if (!taken)
    call->refuse(
        {Errc::overloaded, "OVERLOADED", "too many replays are waiting", "wait until one has finished"});
}

}  // namespace postrider
