// Replays: asked for, looked at, and called off. They run on the log's word (operations/replay.h), here or on
// another instance.
#include <charconv>

#include "engine/api/cursor.h"
#include "engine/api/dead_letter_filter.h"
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/api/views.h"

namespace postrider {
namespace {

constexpr std::size_t kReplayIdsMax = 10'000;
constexpr std::size_t kReplaysListed = 100, kReplaysListedMax = 1000;

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

Result<std::int64_t> time_of(const std::optional<std::string>& text, const char* name) {
  if (!text) return 0;
  if (const auto time = parse_rfc3339(*text)) return *time;
  return refuse(std::string(name) + " is no time", "write RFC 3339, as in 2026-01-31T12:00:00Z");
}

Result<DeadLetterFilter> read_filter(Json& object) {
  Fields fields(object);
  const DeadLetterWords words = {.tenant = fields.text("tenant").value_or(""),
                                 .endpoint = fields.text("endpoint").value_or(""),
                                 .type = fields.text("type").value_or(""),
                                 .reason = fields.text("reason").value_or(""),
                                 .state = {}};
  const auto since = time_of(fields.text("since"), "since"), until = time_of(fields.text("until"), "until");
  if (auto done = fields.done(); !done) return fail(done.error());
  if (!since) return fail(since.error());
  if (!until) return fail(until.error());
  auto filter = dead_letter_filter(words);
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
  replay.rate = fields.number("rate", 0, kReplayRateMost).value_or(0);
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

Result<std::optional<ReplayState>> state_of(const Call& call) {
  const auto text = call.parameter("state");
  if (text.empty()) return std::optional<ReplayState>();
  for (const auto state :
       {ReplayState::waiting, ReplayState::running, ReplayState::cancelling, ReplayState::stopped,
        ReplayState::finished, ReplayState::cancelled, ReplayState::failed})
    if (text == name_of(state)) return std::optional(state);
  return refuse("there is no such state",
                "write waiting, running, cancelling, stopped, finished, cancelled or failed");
}

// The page before ended with the one that began there.
Result<std::optional<Offset>> begun_before(const Call& call) {
  const auto given = Cursor(call).place();
  if (!given) return fail(given.error());
  if (!*given) return std::optional<Offset>();
  Offset begun = 0;
  const auto& text = **given;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), begun);
  if (error != std::errc() || end != text.data() + text.size()) return fail(invalid_cursor());
  return std::optional(begun);
}

Error no_such_replay() {
  return {Errc::not_found, "NOT_FOUND", "there is no such replay", "list them with GET /v1/replays"};
}

ApiResponse replay_answer(const ReplayJob& job) {
  return json_answer(is_over(job.state) ? 200 : 202, view_of(job));
}

}  // namespace

void Routes::post_replay(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  auto request = read_replay(call->request);
  if (!request) return call->refuse(request.error());
  request->actor = call->actor;
  request->within = call->grant.tenant;
  request->named = ReplayJobId(call->named("rpl_"));
  work(call, [self = shared_from_this(), call, request = std::move(*request)] {
    auto desk_copy = self->desk;
    if (request.dry_run) {
      const auto report = count_replay(desk_copy, self->replays.book(), request);
      return call->answer(report ? json_answer(200, view_of(*report)) : problem(report.error()));
    }
    const auto id = begin_replay(desk_copy, self->replays.book(), request);
    if (!id) return call->refuse(id.error());
    self->replays.run(*id, [call, id = *id](const std::optional<ReplayJob>& job) {
      job ? call->answer(replay_answer(*job)) : call->refuse(no_such_replay());
    });
  });
}

void Routes::list_replays(CallPtr call) {
  if (auto fine = call->only({"tenant", "state", "limit", "cursor"}); !fine)
    return call->refuse(fine.error());
  const TenantId tenant(call->parameter("tenant"));
  if (call->query.contains("tenant") && !is_tenant_or_endpoint_id(tenant.str()))
    return call->refuse({Errc::invalid, "INVALID_REQUEST", "tenant is no tenant id",
                         "use 1 to 64 of A-Z, a-z, 0-9, _ and -"});
  const auto state = state_of(*call);
  if (!state) return call->refuse(state.error());
  const auto limit = call->limit(kReplaysListed, kReplaysListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto before = begun_before(*call);
  if (!before) return call->refuse(before.error());
  work(call, [self = shared_from_this(), call, tenant = call->filter_as_seen(tenant), state = *state,
              limit = *limit, before = *before] {
    auto desk_copy = self->desk;
    if (auto read = self->replays.book().read_on(desk_copy); !read) return call->refuse(read.error());
    auto jobs = self->replays.book().all(desk_copy, call->grant.tenant);
    std::erase_if(jobs, [&](const ReplayJob& job) {
      const auto& whose = job.within.empty() ? job.selection.tenant : job.within;
      return (!tenant.empty() && whose != tenant) || (state && job.state != *state) ||
             (before && job.begun >= *before);
    });
    Json next = nullptr;
    if (jobs.size() > limit) {
      jobs.resize(limit);
      next = Cursor(*call).next(std::to_string(jobs.back().begun));
    }
    Json list = Json::array();
    for (const auto& job : jobs) list.push_back(view_of(job));
    call->answer(json_answer(200, {{"replays", std::move(list)}, {"next_cursor", std::move(next)}}));
  });
}

void Routes::get_replay(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  work(call, [self = shared_from_this(), call] {
    auto desk_copy = self->desk;
    auto& book = self->replays.book();
    if (auto read = book.read_on(desk_copy); !read) return call->refuse(read.error());
    const auto job = book.find(desk_copy, ReplayJobId(call->path[0]), call->grant.tenant);
    job ? call->answer(json_answer(200, view_of(*job))) : call->refuse(no_such_replay());
  });
}

void Routes::cancel_replay(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  auto body = parse_body(call->request);
  if (!body) return call->refuse(body.error());
  if (auto done = Fields(*body).done(); !done) return call->refuse(done.error());
  work(call, [self = shared_from_this(), call] {
    auto desk_copy = self->desk;
    const auto job = postrider::cancel_replay(desk_copy, self->replays.book(), ReplayJobId(call->path[0]),
                                              call->actor, call->grant.tenant);
    call->answer(job ? replay_answer(*job) : problem(job.error()));
  });
}

}  // namespace postrider
