#include "engine/operations/replay.h"

#include <chrono>
#include <thread>
#include <unordered_set>

#include "engine/operations/audit.h"
#include "engine/operations/dead_letter_reader.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

constexpr std::size_t kSkippedListedMax = 100;
constexpr int kAppendTries = 3;
constexpr const char* kStarted = "replay";  // the audit's word for a new job

// Spaces the replays evenly: each has its moment, counted from the first.
class Pace {
 public:
  explicit Pace(double per_second)
      : gap_(per_second > 0 ? std::chrono::duration<double>(1 / per_second)
                            : std::chrono::duration<double>(0)) {}

  // False: told to stop meanwhile.
  bool wait(const std::atomic<bool>& stop) {
    const auto moment = begin_ + std::chrono::duration_cast<Clock::duration>(gap_ * count_++);
    for (auto now = Clock::now(); now < moment && !stop; now = Clock::now())
      std::this_thread::sleep_for(std::min<Clock::duration>(moment - now, std::chrono::milliseconds(50)));
    return !stop;
  }

 private:
  using Clock = std::chrono::steady_clock;
  const std::chrono::duration<double> gap_;
  const Clock::time_point begin_ = Clock::now();
  std::uint64_t count_ = 0;
};

// A scope in words, for the audit fact.
std::string scope_of(const ReplayRequest& request) {
  const DeadLetterFilter& filter = request.filter;
  std::string text;
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += (text.empty() ? "" : " ") + std::string(name) + "=" + value;
  };
  add("within", request.within.str());
  add("tenant", filter.tenant.str());
  add("endpoint", filter.endpoint.str());
  add("type", filter.type);
  if (filter.reason) add("reason", std::string(reason_of(*filter.reason)));
  if (filter.since) add("since", rfc3339(filter.since));
  if (filter.until) add("until", rfc3339(filter.until));
  if (!filter.ids.empty()) add("ids", std::to_string(filter.ids.size()));
  return text;
}

// What the job was told to replay when it began; nullopt: the audit knows of no such job.
Result<std::optional<std::string>> scope_of_job(Desk& desk, const ReplayJobId& job) {
  const auto partitions = desk.log.partitions(Topic::audit);
  if (!partitions) return fail(partitions.error());
  std::optional<std::string> scope;
  for (Partition partition = 0; partition < *partitions && !scope; ++partition) {
    const auto extent = desk.log.extent(Topic::audit, partition);
    if (!extent) return fail(extent.error());
    auto done = desk.log.scan(Topic::audit, partition, extent->begin, extent->end, [&](const Record& record) {
      auto fact = wire::decode_audit(desk.environment, record.value.value_or(""));
      if (fact && fact->action == kStarted && fact->subject_id == job.str()) scope = std::move(fact->scope);
      return !scope;
    });
    if (!done) return fail(done.error());
  }
  return scope;
}

// A job does not keep its selection, yet another one would replay more than it was asked for. An audit fact
// is kept far longer than a dead letter.
Result<void> check_scope(Desk& desk, const ReplayRequest& request) {
  const auto before = scope_of_job(desk, request.job);
  if (!before) return fail(before.error());
  // Another tenant's job is no job.
  const std::string own = "within=" + request.within.str() + " ";
  if (!*before || (!request.within.empty() && !(**before + " ").starts_with(own)))
    return fail(Errc::not_found, "NOT_FOUND", "there is no replay job " + request.job.str(),
                "leave the job out: that begins a new one");
  if (const auto now = scope_of(request); now != **before)
    return fail(Errc::invalid, "INVALID_REQUEST",
                "the job " + request.job.str() + " selected " + **before + ", and not " + now,
                "repeat its own selection, or leave the job out: that begins a new one");
  return {};
}

ReplayJobId new_name(Desk& desk, const ReplayRequest& request) {
  if (!request.named.empty()) return request.named;
  return ReplayJobId(random_id("rpl_", desk.random.next(), desk.random.next()));
}

class Replay {
 public:
  Replay(Desk& desk, const ReplayRequest& request, const std::atomic<bool>& stop,
         const std::function<void(const ReplayReport&)>& progress)
      : desk_(desk), request_(request), stop_(stop), progress_(progress), pace_(request.rate) {
    if (!request.dry_run) report_.job = request.job.empty() ? new_name(desk, request) : request.job;
    for (const auto& id : request.filter.ids) missing_.insert(id.str());
  }

  Result<ReplayReport> run() {
    DeadLetterReader reader(desk_, filter());
    if (auto done = reader.prepare(); !done) return fail(done.error());
    if (!request_.dry_run)
      if (auto done = tell(); !done) return fail(done.error());
    auto done = reader.for_each(!request_.dry_run, [&](DeadLetterView view) { return take(reader, view); });
    if (!done) return fail(interrupted(done.error()));
    if (report_.finished)
      for (const auto& id : missing_) skip(DeliveryId(id), "not_found");
    return std::move(report_);
  }

 private:
  // Named ones are replayed whatever became of them; a filter means what is still open, and what this job has
  // replayed before it was stopped.
  DeadLetterFilter filter() const {
    auto filter = request_.filter;
    if (!request_.within.empty()) {
      // What is named of another tenant matches nothing.
      const bool foreign = !filter.tenant.empty() && filter.tenant != request_.within;
      filter.tenant = foreign ? TenantId("~") : request_.within;
    }
    if (!filter.ids.empty()) return filter;
    if (request_.job.empty())
      filter.state = DeadLetterState::open;
    else
      filter.state.reset();
    return filter;
  }

  Result<bool> take(const DeadLetterReader& reader, const DeadLetterView& view) {
    const auto& id = view.letter.delivery.id;
    missing_.erase(id.str());
    const bool named = !request_.filter.ids.empty();
    if (!request_.job.empty() && reader.replayed_by(id, request_.job)) {
      ++report_.done_before;
      return true;
    }
    if (!named && view.state != DeadLetterState::open) return true;
    ++report_.matched;
    if (category_of(view.letter.reason) == Category::bad_event) return skip(id, "bad_event");
    if (request_.dry_run) return true;
    if (!pace_.wait(stop_)) {
      report_.finished = false;
      return false;
    }
    return replay_one(view.letter);
  }

  Result<bool> replay_one(const DeadLetter& letter) {
    auto message = message_of(letter);
    if (!message && message.error().errc != Errc::not_found) return fail(message.error());
    if (!message) return skip(letter.delivery.id, "payload_lost");
    NewRecord record;
    record.topic = Topic::events;
    record.key = std::move(message->key);
    record.value = std::move(message->value);
    record.headers = std::move(message->headers);
    if (auto done = append(std::move(record)); !done) return fail(done.error());
    DeadLetterMark mark;
    mark.delivery = letter.delivery.id;
    mark.tenant = letter.delivery.tenant;
    mark.state = DeadLetterState::replayed;
    mark.actor = request_.actor.name;
    mark.job = report_.job;
    if (auto done = append_mark(desk_, std::move(mark)); !done) return fail(done.error());
    ++report_.replayed;
    if (progress_) progress_(report_);
    return true;
  }

  Result<wire::KafkaMessage> message_of(const DeadLetter& letter) {
    const auto& delivery = letter.delivery;
    // Letters without their payload or source: the event itself may still be there.
    if (letter.sealed_payload.empty() || letter.event_source.empty()) return message_from_source(delivery);
    Event event;
    event.id = delivery.event_id;
    event.source = letter.event_source;
    event.type = delivery.event_type;
    event.tenant = delivery.tenant;
    event.target = delivery.target;
    event.replay_job = report_.job;
    return wire::encode_sealed_replay(event, letter.sealed_payload);
  }

  Result<wire::KafkaMessage> message_from_source(const DeliveryRef& delivery) {
    const auto gone = [] {
      return fail(Errc::not_found, "PAYLOAD_LOST", "the payload is gone", "nothing can be");
    };
    auto record = desk_.log.fetch(Topic::events, delivery.position.partition, delivery.position.offset);
    if (!record) return fail(record.error());
    auto decoded = wire::decode_kafka(record->key, record->headers, record->value.value_or(""), true);
    if (!decoded || decoded->event.id != delivery.event_id) return gone();
    auto& event = decoded->event;
    // Where the topic was made again, another tenant's may stand there now.
    if (event.tenant != delivery.tenant) return gone();
    if (webhook_id(delivery.tenant, event.source, event.id) != delivery.webhook_id) return gone();
    event.target = delivery.target;
    event.replay_job = report_.job;
    return decoded->sealed ? wire::encode_sealed_replay(event, event.data) : wire::encode_kafka(event);
  }

  // Whether an unknown append has landed is of no matter: the job's id makes the second one a repeat.
  Result<void> append(NewRecord record) {
    Error last;
    for (int tries = 0; tries < kAppendTries; ++tries) {
      auto appended = desk_.log.append(record);
      if (!appended) return fail(appended.error());
      if (appended->status == Appended::Status::acknowledged) return {};
      last = appended->error;
      if (appended->status == Appended::Status::refused) break;
    }
    return fail(last);
  }

  Result<void> tell() {
    auto fact = audit_of(request_.actor, request_.job.empty() ? kStarted : "replay_resumed", "dead_letters");
    fact.scope = scope_of(request_);
    fact.tenant = request_.within.empty() ? request_.filter.tenant : request_.within;
    fact.target = request_.filter.endpoint.str();
    fact.event_type = request_.filter.type;
    fact.subject_id = report_.job.str();
    fact.outcome = "started";
    return append_audit(desk_, std::move(fact));
  }

  bool skip(const DeliveryId& id, const char* why) {
    ++report_.skipped_count;
    if (report_.skipped.size() < kSkippedListedMax) report_.skipped.push_back({id, why});
    return true;
  }

  Error interrupted(Error error) const {
    if (report_.job.empty()) return error;
    error.message += "; " + std::to_string(report_.replayed) + " were replayed by job " + report_.job.str();
    error.suggestion += " (resume that job: it repeats nothing)";
    return error;
  }

  Desk& desk_;
  const ReplayRequest& request_;
  const std::atomic<bool>& stop_;
  const std::function<void(const ReplayReport&)>& progress_;
  Pace pace_;
  ReplayReport report_;
  std::unordered_set<std::string> missing_;
};

}  // namespace

Result<ReplayReport> replay(Desk& desk, const ReplayRequest& request, const std::atomic<bool>& stop,
                            const std::function<void(const ReplayReport&)>& progress) {
  if (request.filter.empty())
    return fail(Errc::invalid, "INVALID_REQUEST", "a replay selects nothing",
                "name delivery ids, or a tenant, endpoint, type, reason or time");
  if (request.filter.mixes_ids())
    return fail(Errc::invalid, "INVALID_REQUEST", "delivery ids and a filter are both given",
                "give one of them");
  if (request.rate < 0 || request.rate > 1e6)
    return fail(Errc::invalid, "INVALID_REQUEST", "the rate is out of range",
                "give replays a second, 0 to 1000000");
  if (!request.named.empty() && request.job.empty() && !request.dry_run) {
    const auto before = scope_of_job(desk, request.named);
    if (!before) return fail(before.error());
    ReplayRequest resumed = request;
    resumed.job = *before ? request.named : ReplayJobId();
    if (*before) return replay(desk, resumed, stop, progress);
  }
  if (!request.job.empty())
    if (auto fine = check_scope(desk, request); !fine) return fail(fine.error());
  return Replay(desk, request, stop, progress).run();
}

}  // namespace postrider
