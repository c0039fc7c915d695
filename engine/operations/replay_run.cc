// Running a replay: who takes a job tells on the log that he is at it, and does what the job selects.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_set>

#include "engine/operations/dead_letter_reader.h"
#include "engine/operations/replay.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

using Step = ReplayFact::Step;
constexpr std::size_t kSkippedListedMax = 100;
constexpr int kAppendTries = 3;
constexpr std::chrono::milliseconds kTick{250};
constexpr int kTicksToLook = 4;  // once a second: was it cancelled, or taken?

// Spaces the replays evenly: each has its moment, counted from the first. An older version may have begun one
// that is slower than is allowed.
class Pace {
 public:
  explicit Pace(double per_second)
      : gap_(per_second > 0 ? std::chrono::duration<double>(1 / std::max(per_second, kReplayRateLeast))
                            : std::chrono::duration<double>(0)) {}

  // False: told to stop meanwhile.
  bool wait(const std::function<bool()>& stop) {
    const auto moment = begin_ + std::chrono::duration_cast<Steady::duration>(gap_ * count_++);
    for (auto now = Steady::now(); now < moment && !stop(); now = Steady::now())
      std::this_thread::sleep_for(std::min<Steady::duration>(moment - now, std::chrono::milliseconds(50)));
    return !stop();
  }

 private:
  using Steady = std::chrono::steady_clock;
  const std::chrono::duration<double> gap_;
  const Steady::time_point begin_ = Steady::now();
  std::uint64_t count_ = 0;
};

// Goes on beside the run: says on the log that it is at it, and hears whether it shall end.
class Beat {
 public:
  Beat(Desk& desk, ReplayBook& book, ReplayJobId job, std::string run, const ReplayHooks& hooks)
      : desk_(desk), book_(book), hooks_(hooks), told_at_(to_ms(desk.clock.steady())) {
    fact_.job = std::move(job);
    fact_.run = std::move(run);
    fact_.step = Step::running;
    thread_ = std::thread([this] { loop(); });
  }
  ~Beat() { end(); }
  Beat(const Beat&) = delete;
  Beat& operator=(const Beat&) = delete;

  void end() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  void count(std::uint64_t matched, std::uint64_t replayed, std::uint64_t skipped) {
    const std::lock_guard lock(mutex_);
    fact_.matched = matched;
    fact_.replayed = replayed;
    fact_.skipped_count = skipped;
  }
  ReplayFact fact() const {
    const std::lock_guard lock(mutex_);
    return fact_;
  }
  bool cancelled() const { return cancelled_; }
  // It is another's now, or might be: nothing more may be written for it.
  bool lost() const { return lost_ || to_ms(desk_.clock.steady()) - told_at_ > ReplayLedger::kLease.count(); }

 private:
  void loop() {
    auto told = std::chrono::steady_clock::now();
    for (int ticks = 1;; ++ticks) {
      {
        std::unique_lock lock(mutex_);
        if (changed_.wait_for(lock, kTick, [this] { return ended_; })) return;
      }
      if (hooks_.tick) hooks_.tick();
      if (ticks % kTicksToLook == 0) look();
      if (std::chrono::steady_clock::now() - told < ReplayLedger::kToldEvery) continue;
      told = std::chrono::steady_clock::now();
      const auto sent_at = to_ms(desk_.clock.steady());
      if (append_replay(desk_, fact())) told_at_ = sent_at;
    }
  }
  // A log that cannot be read tells nothing: the lease ends it, should that last.
  void look() {
    if (!book_.read_on(desk_)) return;
    cancelled_ = book_.cancel_asked(fact_.job);
    lost_ = !book_.runs(fact_.job, fact_.run);
  }

  Desk desk_;
  ReplayBook& book_;
  const ReplayHooks& hooks_;
  ReplayFact fact_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::atomic<bool> cancelled_{false}, lost_{false};
  std::atomic<std::int64_t> told_at_;  // by the steady clock, when what was acknowledged last was sent
  std::thread thread_;
};

class Replay {
 public:
  Replay(Desk& desk, ReplayRequest request, const std::atomic<bool>& stop, const ReplayHooks& hooks)
      : desk_(desk), request_(std::move(request)), stop_(stop), hooks_(hooks), pace_(request_.rate) {
    if (!request_.dry_run) report_.job = request_.job;
    for (const auto& id : request_.filter.ids) missing_.insert(id.str());
  }

  // `beat`: of a run; a count has none.
  Result<ReplayReport> run(const std::map<Partition, Offset>& ends, Beat* beat) {
    beat_ = beat;
    DeadLetterReader reader(desk_, filter());
    reader.leave_out({request_.job, ends});
    if (auto done = reader.prepare(); !done) return fail(done.error());
    before_ = request_.job.empty() ? 0 : reader.replayed_by(request_.job);
    expected_ =
        missing_.empty() ? reader.open_letters() : missing_.size() - std::min(before_, missing_.size());
    tell_count();
    auto done = reader.for_each(!request_.dry_run, [&](DeadLetterView view) { return take(reader, view); });
    if (!done) return fail(interrupted(done.error()));
    if (report_.finished)
      for (const auto& id : missing_) skip(DeliveryId(id), "not_found");
    tell_count();
    return std::move(report_);
  }
  // What was sent last may have arrived, and has no mark.
  bool in_doubt() const { return in_doubt_; }

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

  bool ends() const { return stop_ || (beat_ && (beat_->cancelled() || beat_->lost())); }

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
    if (!pace_.wait([this] { return ends(); })) {
      report_.finished = false;
      return false;
    }
    return replay_one(view.letter);
  }

  Result<bool> replay_one(const DeadLetter& letter) {
    auto message = message_of(letter);
    if (!message && message.error().errc == Errc::not_found) return skip(letter.delivery.id, "payload_lost");
    if (!message) return skip_or_fail(letter.delivery.id, message.error());
    NewRecord record;
    record.topic = Topic::events;
    record.key = std::move(message->key);
    record.value = std::move(message->value);
    record.headers = std::move(message->headers);
    if (auto done = append(std::move(record)); !done) {
      in_doubt_ = done.error().retryable();
      return skip_or_fail(letter.delivery.id, done.error());
    }
    in_doubt_ = true;
    if (auto done = mark_replayed(desk_, letter.delivery, request_); !done) return fail(done.error());
    in_doubt_ = false;
    ++report_.replayed;
    tell_count();
    if (hooks_.progress) hooks_.progress(report_);
    return true;
  }

 public:
  static Result<void> mark_replayed(Desk& desk, const DeliveryRef& delivery, const ReplayRequest& request) {
    DeadLetterMark mark;
    mark.delivery = delivery.id;
    mark.tenant = delivery.tenant;
    mark.state = DeadLetterState::replayed;
    mark.actor = request.actor.name;
    mark.job = request.job;
    return append_mark(desk, std::move(mark));
  }

 private:
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

  bool skip(const DeliveryId& id, const char* why) {
    ++report_.skipped_count;
    if (report_.skipped.size() < kSkippedListedMax) report_.skipped.push_back({id, why});
    tell_count();
    return true;
  }

  // What is wrong with one letter is no reason to leave out the others.
  Result<bool> skip_or_fail(const DeliveryId& id, const Error& error) {
    if (error.errc != Errc::invalid) return fail(error);
    return skip(id, error.code == "RECORD_TOO_LARGE" ? "too_large" : "refused");
  }

  // All runs together.
  void tell_count() const {
    if (beat_)
      beat_->count(before_ + std::max(expected_, report_.matched), before_ + report_.replayed,
                   report_.skipped_count);
  }

  Error interrupted(Error error) const {
    if (report_.job.empty()) return error;
    error.message += "; " + std::to_string(report_.replayed) + " were replayed by job " + report_.job.str();
    error.suggestion += " (resume that job: it repeats nothing)";
    return error;
  }

  Desk& desk_;
  const ReplayRequest request_;
  const std::atomic<bool>& stop_;
  const ReplayHooks& hooks_;
  Pace pace_;
  ReplayReport report_;
  Beat* beat_ = nullptr;
  std::uint64_t before_ = 0, expected_ = 0;
  bool in_doubt_ = false;
  std::unordered_set<std::string> missing_;
};

tl::unexpected<Error> of_a_newer_version() {
  return fail(Errc::invalid, "INVALID_REQUEST", "the replay selects a reason of a newer version",
              "run it on an instance of that version");
}

// What the job was asked for, from where that stands on the log.
Result<ReplayRequest> request_of(Desk& desk, const ReplayJob& job) {
  auto record = desk.log.fetch(Topic::replays, 0, job.selection_at);
  if (!record) return fail(record.error());
  auto fact = wire::decode_replay(desk.environment, record->value.value_or(""));
  if (!fact) return fail(fact.error());
  ReplayRequest request;
  request.filter.tenant = fact->selection.tenant;
  request.filter.endpoint = fact->selection.endpoint;
  request.filter.type = fact->selection.type;
  if (!fact->selection.reason.empty()) {
    request.filter.reason = parse_dead_reason(fact->selection.reason);
    if (!is_known(fact->selection)) return of_a_newer_version();
  }
  request.filter.since = fact->selection.since;
  request.filter.until = fact->selection.until;
  request.filter.ids = std::move(fact->selection.ids);
  request.rate = fact->rate;
  request.job = job.id;
  request.actor.name = fact->actor;
  request.within = fact->within;
  return request;
}

// What the runs before published last and died before they could mark: that has been replayed. Each may have
// published until its lease was over.
Result<void> mark_what_was_sent(Desk& desk, const ReplayJob& job, const ReplayRequest& request) {
  constexpr std::int64_t kBeforeMs = 30'000, kAfterMs = 120'000;
  const auto since = job.doubtful_since != 0 ? job.doubtful_since : job.told_at;
  std::set<std::pair<WebhookId, Target>> sent;
  const auto partitions = desk.log.partitions(Topic::events);
  if (!partitions) return fail(partitions.error());
  for (Partition partition = 0; partition < *partitions; ++partition) {
    const auto from = desk.log.offset_at(Topic::events, partition, from_ms<LogTime>(since - kBeforeMs));
    const auto to = desk.log.offset_at(Topic::events, partition, from_ms<LogTime>(job.told_at + kAfterMs));
    if (!from) return fail(from.error());
    if (!to) return fail(to.error());
    auto done = desk.log.scan(Topic::events, partition, *from, *to, [&](const Record& record) {
      auto decoded = wire::decode_kafka(record.key, record.headers, record.value.value_or(""), true);
      if (!decoded || decoded->event.replay_job != job.id || !decoded->event.target) return true;
      const auto& event = decoded->event;
      sent.emplace(webhook_id(event.tenant, event.source, event.id), *event.target);
      return true;
    });
    if (!done) return done;
  }
  if (sent.empty()) return {};
  DeadLetterReader reader(desk, request.filter);
  reader.leave_out({job.id, {}});
  if (auto done = reader.prepare(); !done) return done;
  return reader.for_each(false, [&](const DeadLetterView& view) -> Result<bool> {
    const auto& delivery = view.letter.delivery;
    if (!sent.contains({delivery.webhook_id, delivery.target}) || reader.replayed_by(delivery.id, job.id))
      return true;
    if (auto done = Replay::mark_replayed(desk, delivery, request); !done) return fail(done.error());
    return true;
  });
}

tl::unexpected<Error> taken(const ReplayJobId& id) {
  return fail(Errc::conflict, "REPLAY_TAKEN",
              "the replay " + id.str() + " has ended, or somebody else runs it",
              "GET /v1/replays/" + id.str() + " tells how far it is");
}

// Of two who take it the log decides.
Result<std::string> take(Desk& desk, ReplayBook& book, const ReplayJobId& id) {
  ReplayFact fact;
  fact.job = id;
  fact.step = Step::running;
  fact.run = random_id("run_", desk.random.next(), desk.random.next());
  if (auto done = append_replay(desk, fact); !done) return fail(done.error());
  if (auto read = book.read_on(desk); !read) return fail(read.error());
  if (!book.runs(id, fact.run)) return taken(id);
  return fact.run;
}

// What is to be said at the end. Were it lost, another would find nothing left to do. Who lets go `in_doubt`
// says nothing: the next one looks first for what a run that fell silent has sent.
void say_end(Desk& desk, ReplayBook& book, ReplayFact fact, const Result<ReplayReport>& report,
             bool in_doubt) {
  fact.step = Step::ended;
  if (report) {
    fact.skipped = report->skipped;
    if (report->cancelled) fact.outcome = ReplayFact::Outcome::cancelled;
    if (!report->finished && !report->cancelled) fact.step = Step::released;
  } else if (report.error().retryable()) {
    fact.step = Step::released;
  } else {
    fact.outcome = ReplayFact::Outcome::failed;
    fact.error = report.error().code + ": " + report.error().message;
  }
  if (fact.step == Step::released && in_doubt) return;
  if (append_replay(desk, fact)) (void)book.read_on(desk);
}

}  // namespace

Result<ReplayReport> run_replay(Desk& desk, ReplayBook& book, const ReplayJobId& id,
                                const std::atomic<bool>& stop, const ReplayHooks& hooks) {
  if (auto read = book.read_on(desk); !read) return fail(read.error());
  const auto job = book.find(desk, id);
  if (!job || is_over(job->state)) return taken(id);
  if (!is_known(job->selection)) return of_a_newer_version();
  auto run = take(desk, book, id);
  if (!run) return fail(run.error());
  Beat beat(desk, book, id, *run, hooks);
  beat.count(job->matched, job->replayed, job->skipped_count);
  bool in_doubt = !job->run.empty();
  const auto report = [&]() -> Result<ReplayReport> {
    auto request = request_of(desk, *job);
    if (!request) return fail(request.error());
    if (in_doubt)
      if (auto done = mark_what_was_sent(desk, *job, *request); !done) return fail(done.error());
    in_doubt = false;
    ReplayReport ended;
    ended.job = id;
    ended.finished = false;
    ended.cancelled = book.cancel_asked(id);
    if (ended.cancelled) return ended;
    const std::map<Partition, Offset> ends(job->selection.ends.begin(), job->selection.ends.end());
    Replay replaying(desk, std::move(*request), stop, hooks);
    auto done = replaying.run(ends, &beat);
    in_doubt = replaying.in_doubt();
    if (done && !done->finished) done->cancelled = beat.cancelled();
    return done;
  }();
  beat.end();
  // One that is another's now is the other's to end.
  if (!beat.lost()) say_end(desk, book, beat.fact(), report, in_doubt);
  return report;
}

Result<ReplayReport> count_replay(Desk& desk, const ReplayRequest& request) {
  const std::atomic<bool> never{false};
  auto counted = request;
  counted.dry_run = true;
  return Replay(desk, std::move(counted), never, {}).run({}, nullptr);
}

}  // namespace postrider
