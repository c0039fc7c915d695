#include "engine/operations/replay.h"

#include <gtest/gtest.h>

#include "engine/wire/cloud_event.h"
#include "tests/support/desk_kit.h"

namespace postrider::test {
namespace {

struct Replays : ::testing::Test, DeskKit {
  std::atomic<bool> stop{false};

  static ReplayRequest of_tenant(const std::string& tenant = "acme") {
    ReplayRequest request;
    request.filter.tenant = TenantId(tenant);
    request.actor.name = "alice";
    return request;
  }
  ReplayReport run(const ReplayRequest& request) {
    auto report = replay(desk, request, stop);
    EXPECT_TRUE(report) << report.error().message;
    return report ? *report : ReplayReport{};
  }
  std::vector<wire::DecodedEvent> published() {
    std::vector<wire::DecodedEvent> events;
    for (const auto& record : log.all(Topic::events)) {
      auto event = wire::decode_kafka(record.key, record.headers, *record.value, false);
      EXPECT_TRUE(event) << event.error().message;
      if (event) events.push_back(std::move(*event));
    }
    return events;
  }
};

TEST_F(Replays, PublishTheSealedPayloadAgainForItsTargetUnderTheSameWebhookId) {
  const auto ref = dead("a");
  const auto report = run(of_tenant());
  EXPECT_EQ(report.matched, 1u);
  EXPECT_EQ(report.replayed, 1u);
  EXPECT_TRUE(report.finished);

  const auto events = published();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].sealed);
  const auto& event = events[0].event;
  EXPECT_EQ(event.data, "sealed:a");
  EXPECT_EQ(event.tenant, ref.tenant);
  EXPECT_EQ(event.type, "order.created");
  EXPECT_EQ(event.target, ref.target);
  EXPECT_EQ(event.replay_job, report.job);
  EXPECT_EQ(webhook_id(event.tenant, event.source, event.id), ref.webhook_id);
  EXPECT_EQ(log.all(Topic::events)[0].key, "acme");

  const auto view = show_dead_letter(desk, ref.id);
  ASSERT_TRUE(view && view->mark);
  EXPECT_EQ(view->state, DeadLetterState::replayed);
  EXPECT_EQ(view->mark->job, report.job);
  EXPECT_EQ(view->mark->actor, "alice");
}

TEST_F(Replays, LeaveOneAuditFactWithTheirActorBeforeTheFirstEvent) {
  dead("a");
  dead("b");
  const auto report = run(of_tenant());
  const auto audit = log.all(Topic::audit);
  ASSERT_EQ(audit.size(), 1u);
  const auto fact = wire::decode_audit(kEnvironment, *audit[0].value);
  ASSERT_TRUE(fact);
  EXPECT_EQ(fact->actor, "alice");
  EXPECT_EQ(fact->action, "replay");
  EXPECT_EQ(fact->subject_id, report.job.str());
  EXPECT_EQ(fact->scope, "tenant=acme");

  dead("c");
  log.fail_next(1);
  EXPECT_FALSE(replay(desk, of_tenant(), stop));
  EXPECT_EQ(published().size(), 2u);
}

TEST_F(Replays, DoNotTouchOthersNorWhatIsClosed) {
  dead("a");
  dead("b", "globex");
  EXPECT_EQ(run(of_tenant()).replayed, 1u);
  EXPECT_EQ(run(of_tenant()).matched, 0u);
  EXPECT_EQ(published().size(), 1u);
}

TEST_F(Replays, SendNamedOnesAgainUnderANewJobWhateverTheirState) {
  const auto ref = dead("a");
  ReplayRequest request;
  request.filter.ids = {ref.id};
  const auto first = run(request), second = run(request);
  EXPECT_NE(first.job, second.job);
  EXPECT_EQ(second.replayed, 1u);
  EXPECT_EQ(published().size(), 2u);
}

TEST_F(Replays, OnlyCountInADryRun) {
  dead("a");
  auto request = of_tenant();
  request.dry_run = true;
  const auto report = run(request);
  EXPECT_EQ(report.matched, 1u);
  EXPECT_EQ(report.replayed, 0u);
  EXPECT_TRUE(report.job.empty());
  EXPECT_TRUE(log.all(Topic::events).empty());
  EXPECT_TRUE(log.all(Topic::audit).empty());
}

TEST_F(Replays, ResumeUnderTheirJobAndRepeatNothing) {
  for (const auto* id : {"a", "b", "c"}) dead(id);
  std::uint64_t done = 0;
  auto stopped = replay(desk, of_tenant(), stop, [&](const ReplayReport& so_far) {
    done = so_far.replayed;
    if (done == 2) stop = true;
  });
  ASSERT_TRUE(stopped);
  EXPECT_FALSE(stopped->finished);
  EXPECT_EQ(stopped->replayed, 2u);

  stop = false;
  auto again = of_tenant();
  again.job = stopped->job;
  const auto report = run(again);
  EXPECT_EQ(report.job, stopped->job);
  EXPECT_EQ(report.done_before, 2u);
  EXPECT_EQ(report.replayed, 1u);
  std::set<std::string> ids;
  for (const auto& event : published()) ids.insert(event.event.id);
  EXPECT_EQ(ids, (std::set<std::string>{"a", "b", "c"}));
  EXPECT_EQ(published().size(), 3u);
}

TEST_F(Replays, ResumeWithNoOtherSelectionThanTheirOwn) {
  dead("a");
  const auto first = run(of_tenant());
  dead("b");
  dead("c", "globex");
  ReplayRequest wider;
  wider.filter.endpoint = EndpointId("shop");
  wider.job = first.job;
  const auto refused = replay(desk, wider, stop);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "INVALID_REQUEST");
  EXPECT_NE(refused.error().message.find("tenant=acme"), std::string::npos) << refused.error().message;
  EXPECT_EQ(published().size(), 1u);

  auto same = of_tenant();
  same.job = first.job;
  EXPECT_EQ(run(same).replayed, 1u);
  EXPECT_EQ(run(same).done_before, 2u) << "a job that was resumed is still known by how it began";
}

TEST_F(Replays, OfAJobThatNeverWasAreRefused) {
  dead("a");
  auto request = of_tenant();
  request.job = ReplayJobId("rpl_other");
  const auto report = replay(desk, request, stop);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().errc, Errc::not_found);
  EXPECT_TRUE(published().empty());
}

TEST_F(Replays, OfIdsAndAFilterTogetherAreRefused) {
  auto request = of_tenant();
  request.filter.ids = {dead("a").id};
  const auto report = replay(desk, request, stop);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "INVALID_REQUEST");
  EXPECT_TRUE(published().empty());
}

TEST_F(Replays, TellTheirJobWhenTheLogGoesAway) {
  dead("a");
  dead("b");
  std::string job;
  const auto report = replay(desk, of_tenant(), stop, [&](const ReplayReport& so_far) {
    job = so_far.job.str();
    log.fail_next(1);
  });
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().errc, Errc::unavailable);
  EXPECT_NE(report.error().message.find(job), std::string::npos);
  EXPECT_NE(report.error().message.find("1 were replayed"), std::string::npos);
}

TEST_F(Replays, LeaveBadEventsWhereTheyAre) {
  auto bad = letter(delivery("bad"));
  bad.reason = DeadReason::undecodable;
  put(Topic::dead_letters, "acme", bad);
  const auto report = run(of_tenant());
  EXPECT_EQ(report.matched, 1u);
  EXPECT_EQ(report.replayed, 0u);
  ASSERT_EQ(report.skipped.size(), 1u);
  EXPECT_EQ(report.skipped[0].why, "bad_event");
}

TEST_F(Replays, FetchFromTheSourceWhatALetterDoesNotHold) {
  Event event;
  event.id = "a";
  event.source = "/shop";
  event.type = "order.created";
  event.tenant = TenantId("acme");
  event.datacontenttype = "application/json";
  event.data = "{}";
  auto message = wire::encode_kafka(event);
  NewRecord record;
  record.topic = Topic::events;
  record.key = message.key;
  record.value = message.value;
  record.headers = message.headers;
  const auto place = log.append(std::move(record));
  ASSERT_TRUE(place);
  auto bare = letter(delivery("a", "acme", "shop", {place->partition, place->offset}));
  bare.sealed_payload.clear();
  put(Topic::dead_letters, "acme", bare);
  auto lost = letter(delivery("lost", "acme", "shop", {3, 99}));
  lost.sealed_payload.clear();
  put(Topic::dead_letters, "acme", lost);

  const auto report = run(of_tenant());
  EXPECT_EQ(report.replayed, 1u);
  ASSERT_EQ(report.skipped.size(), 1u);
  EXPECT_EQ(report.skipped[0].why, "payload_lost");
  const auto events = published();
  ASSERT_EQ(events.size(), 2u);
  const auto& again = events[0].event.replay_job.empty() ? events[1] : events[0];
  EXPECT_FALSE(again.sealed);
  EXPECT_EQ(again.event.data, "{}");
  EXPECT_EQ(again.event.target, bare.delivery.target);
}

TEST_F(Replays, NeverTakeAnotherTenantsEventThatStandsAtThatPositionNow) {
  Event event;
  event.id = "a";
  event.source = "/shop";
  event.type = "order.created";
  event.tenant = TenantId("globex");
  event.datacontenttype = "application/json";
  event.data = R"({"secret":"of globex"})";
  auto message = wire::encode_kafka(event);
  NewRecord record;
  record.topic = Topic::events;
  record.key = message.key;
  record.value = message.value;
  record.headers = message.headers;
  const auto place = log.append(std::move(record));
  ASSERT_TRUE(place);
  auto bare = letter(delivery("a", "acme", "shop", {place->partition, place->offset}));
  bare.sealed_payload.clear();
  put(Topic::dead_letters, "acme", bare);
  EXPECT_EQ(run(of_tenant()).replayed, 0u);
  for (const auto& each : published()) EXPECT_NE(each.event.tenant, TenantId("acme")) << each.event.data;
}

TEST_F(Replays, NameWhatTheyDidNotFind) {
  ReplayRequest request;
  request.filter.ids = {DeliveryId("dlv_1_none")};
  const auto report = run(request);
  ASSERT_EQ(report.skipped.size(), 1u);
  EXPECT_EQ(report.skipped[0].why, "not_found");
}

TEST_F(Replays, WithoutASelectorAreRefused) {
  const auto report = replay(desk, {}, stop);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "INVALID_REQUEST");
}

TEST_F(Replays, KeepToTheirRate) {
  for (int i = 0; i < 5; ++i) dead("e" + std::to_string(i));
  auto request = of_tenant();
  request.rate = 50;  // the fifth leaves 80 ms after the first
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(run(request).replayed, 5u);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(80));
}

TEST_F(Replays, OfARateThatWouldHoldTheirRunnerForDaysAreRefused) {
  for (const double rate : {0.00001, 0.09, -1.0, 1e7}) {
    auto request = of_tenant();
    request.rate = rate;
    const auto report = replay(desk, request, stop);
    ASSERT_FALSE(report) << rate;
    EXPECT_EQ(report.error().code, "INVALID_REQUEST");
  }
  auto request = of_tenant();
  request.rate = 0.1;
  EXPECT_TRUE(replay(desk, request, stop));
}

TEST_F(Replays, LeaveOutWhatTheLogWillNotTakeAndGoOn) {
  auto large = letter(delivery("a"));
  large.sealed_payload = std::string(5000, 'x');
  put(Topic::dead_letters, "acme", large);
  const auto small = dead("b");
  log.refuse_above(4000);
  const auto report = run(of_tenant());
  EXPECT_TRUE(report.finished);
  EXPECT_EQ(report.replayed, 1u);
  ASSERT_EQ(report.skipped.size(), 1u);
  EXPECT_EQ(report.skipped[0].delivery, large.delivery.id);
  EXPECT_EQ(report.skipped[0].why, "too_large");
  ASSERT_EQ(published().size(), 1u);
  EXPECT_EQ(published()[0].event.id, "b");
}

TEST_F(Replays, ReachLettersBeyondOneBatch) {
  for (int i = 0; i < 700; ++i) dead("e" + std::to_string(i));
  EXPECT_EQ(run(of_tenant()).replayed, 700u);
}

// --- jobs on the log

struct ReplayJobs : Replays {
  ReplayBook book;

  ReplayJobId begin(const ReplayRequest& request = of_tenant()) {
    const auto id = begin_replay(desk, book, request);
    EXPECT_TRUE(id) << id.error().message;
    return id.value_or(ReplayJobId());
  }
  ReplayJob job(const ReplayJobId& id) {
    EXPECT_TRUE(book.read_on(desk));
    const auto found = book.find(desk, id);
    EXPECT_TRUE(found);
    return found.value_or(ReplayJob{});
  }
  ReplayReport go_on(const ReplayJobId& id, const ReplayHooks& hooks = {}) {
    const auto report = run_replay(desk, book, id, stop, hooks);
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(ReplayReport{});
  }
  // Somebody took it and was never heard of again.
  void die_running(const ReplayJobId& id, const std::string& run = "run_dead") {
    ReplayFact fact;
    fact.job = id;
    fact.run = run;
    fact.step = ReplayFact::Step::running;
    ASSERT_TRUE(append_replay(desk, fact));
  }
  void pass(std::int64_t ms) {
    clock.wall_ms += ms;
    log.set_now(clock.wall_ms);
  }
  // What a run does that dies before the mark.
  void publish_without_mark(const DeliveryRef& ref, const ReplayJobId& id) {
    Event event;
    event.id = ref.event_id;
    event.source = "/shop";
    event.type = ref.event_type;
    event.tenant = ref.tenant;
    event.target = ref.target;
    event.replay_job = id;
    auto message = wire::encode_sealed_replay(event, "sealed:" + ref.event_id);
    NewRecord record;
    record.topic = Topic::events;
    record.key = message.key;
    record.value = message.value;
    record.headers = message.headers;
    ASSERT_TRUE(log.append(std::move(record)));
  }
  DeadLetterState state_of(const DeliveryRef& ref) {
    const auto view = show_dead_letter(desk, ref.id);
    EXPECT_TRUE(view);
    return view ? view->state : DeadLetterState::resolved;
  }
};

TEST_F(ReplayJobs, StandOnTheLogBeforeTheyRunAndTellHowFarTheyCame) {
  dead("a");
  dead("b");
  auto request = of_tenant();
  request.rate = 1000;
  const auto id = begin(request);
  EXPECT_EQ(job(id).state, ReplayState::waiting);
  EXPECT_TRUE(published().empty());
  go_on(id, {.progress =
                 [&](const ReplayReport& so_far) {
                   EXPECT_EQ(job(id).state, ReplayState::running) << so_far.replayed;
                 },
             .tick = {}});
  const auto ended = job(id);
  EXPECT_EQ(ended.state, ReplayState::finished);
  EXPECT_EQ(ended.matched, 2u);
  EXPECT_EQ(ended.replayed, 2u);
  EXPECT_EQ(ended.remaining(), 0u);
  EXPECT_EQ(ended.rate, 1000);
  EXPECT_EQ(ended.actor, "alice");
  EXPECT_EQ(ended.selection.tenant, TenantId("acme"));
}

TEST_F(ReplayJobs, AreOneRunnersAtATime) {
  dead("a");
  const auto id = begin();
  die_running(id);
  const auto report = run_replay(desk, book, id, stop);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "REPLAY_TAKEN");
  EXPECT_TRUE(published().empty());
  pass(20'000);
  EXPECT_EQ(go_on(id).replayed, 1u);
  EXPECT_FALSE(run_replay(desk, book, id, stop)) << "it has ended";
}

TEST_F(ReplayJobs, ThatAreStoppedWaitForTheNextInstance) {
  for (const auto* id : {"a", "b", "c"}) dead(id);
  const auto id = begin();
  const auto report = go_on(id, {.progress = [&](const ReplayReport&) { stop = true; }, .tick = {}});
  EXPECT_FALSE(report.finished);
  EXPECT_EQ(job(id).state, ReplayState::waiting);
  EXPECT_EQ(job(id).replayed, 1u);
  EXPECT_EQ(job(id).remaining(), 2u);
  stop = false;
  ReplayBook another;  // of an instance that has just begun
  ASSERT_TRUE(run_replay(desk, another, id, stop));
  EXPECT_EQ(job(id).state, ReplayState::finished);
  EXPECT_EQ(job(id).matched, 3u);
  EXPECT_EQ(job(id).replayed, 3u);
  EXPECT_EQ(published().size(), 3u);
}

TEST_F(ReplayJobs, SendNothingTwiceThatTheOneBeforeHadNoTimeToMark) {
  const auto a = dead("a");
  dead("b");
  const auto id = begin();
  die_running(id);
  publish_without_mark(a, id);
  pass(20'000);
  EXPECT_EQ(go_on(id).replayed, 1u);
  EXPECT_EQ(published().size(), 2u);
  EXPECT_EQ(state_of(a), DeadLetterState::replayed);
  EXPECT_EQ(job(id).replayed, 2u);
  EXPECT_EQ(job(id).matched, 2u);
}

TEST_F(ReplayJobs, SendNothingTwiceWhoseAnswerWasLost) {
  const auto a = dead("a"), b = dead("b");
  const auto id = begin();
  const auto cut =
      run_replay(desk, book, id, stop,
                 {.progress = [&](const ReplayReport&) { log.lose_answers_of_next(1); }, .tick = {}});
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().errc, Errc::unavailable);
  ASSERT_EQ(published().size(), 2u);
  EXPECT_EQ(job(id).state, ReplayState::running) << "until it was silent for long enough";
  pass(20'000);
  go_on(id);
  EXPECT_EQ(published().size(), 2u);
  EXPECT_EQ(state_of(a), DeadLetterState::replayed);
  EXPECT_EQ(state_of(b), DeadLetterState::replayed);
  EXPECT_EQ(job(id).replayed, 2u);
}

TEST_F(ReplayJobs, SendNothingTwiceThatOnesBeforeHadNoTimeToMark) {
  const auto a = dead("a");
  const auto id = begin();
  die_running(id);
  publish_without_mark(a, id);
  pass(200'000);
  die_running(id, "run_dead_too");
  pass(20'000);
  EXPECT_EQ(go_on(id).replayed, 0u);
  EXPECT_EQ(published().size(), 1u);
  EXPECT_EQ(state_of(a), DeadLetterState::replayed);
}

TEST_F(ReplayJobs, AreKnownByWhatTheyKeepOnTheLogAndNotByTheAudit) {
  dead("a");
  auto request = of_tenant();
  request.named = ReplayJobId("rpl_named");
  const auto id = begin(request);
  for (Partition partition = 0; partition < 4; ++partition) log.trim(Topic::audit, partition, 1000);
  EXPECT_EQ(begin(request), id);
  EXPECT_EQ(log.all(Topic::replays).size(), 1u) << "it waits already";
  go_on(id);
  auto again = of_tenant();
  again.job = id;
  EXPECT_EQ(run(again).done_before, 1u);
}

TEST_F(ReplayJobs, OfATenantAreTenAtMostAtOnce) {
  auto request = of_tenant();
  request.within = TenantId("acme");
  std::vector<ReplayJobId> ids;
  ids.reserve(kOpenReplaysMax);
  for (std::size_t i = 0; i < kOpenReplaysMax; ++i) ids.push_back(begin(request));
  go_on(ids[0]);
  ids[0] = begin(request);
  const auto told = log.all(Topic::audit).size();
  const auto refused = begin_replay(desk, book, request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "TOO_MANY_REPLAYS");
  EXPECT_EQ(log.all(Topic::audit).size(), told);
  auto others = of_tenant("globex");
  begin(others);
  others.within = TenantId("globex");
  begin(others);
  ASSERT_TRUE(cancel_replay(desk, book, ids[1], {}, {}));
  begin(request);
}

TEST_F(ReplayJobs, ThatSelectByAReasonOfANewerVersionAreLeftToIt) {
  const auto a = dead("a");
  ReplayFact fact;
  fact.job = ReplayJobId("rpl_newer");
  fact.selection.reason = "bored";
  fact.selection.tenant = TenantId("acme");
  ASSERT_TRUE(append_replay(desk, fact));
  const auto refused = run_replay(desk, book, fact.job, stop);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "INVALID_REQUEST");
  EXPECT_EQ(job(fact.job).state, ReplayState::waiting);
  EXPECT_EQ(state_of(a), DeadLetterState::open);
}

TEST_F(ReplayJobs, ThatAreCancelledEndAfterWhatIsUnderWay) {
  for (const auto* id : {"a", "b", "c"}) dead(id);
  auto request = of_tenant();
  request.rate = 0.1;
  const auto id = begin(request);
  const auto report = go_on(id, {.progress =
                                     [&](const ReplayReport&) {
                                       Actor bob;
                                       bob.name = "bob";
                                       const auto told = cancel_replay(desk, book, id, bob, {});
                                       ASSERT_TRUE(told) << told.error().message;
                                       EXPECT_EQ(told->state, ReplayState::cancelling);
                                     },
                                 .tick = {}});
  EXPECT_TRUE(report.cancelled);
  EXPECT_EQ(job(id).state, ReplayState::cancelled);
  EXPECT_EQ(job(id).cancelled_by, "bob");
  EXPECT_EQ(job(id).replayed, 1u);
  EXPECT_EQ(published().size(), 1u);
  EXPECT_EQ(run(of_tenant()).replayed, 2u) << "the rest is still open, and what was sent is not";
  auto again = of_tenant();
  again.job = id;
  const auto refused = replay(desk, again, stop);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "REPLAY_CANCELLED");
  const auto audit = log.all(Topic::audit);
  ASSERT_EQ(audit.size(), 3u);
  EXPECT_EQ(wire::decode_audit(kEnvironment, *audit[1].value)->action, "replay_cancelled");
}

TEST_F(ReplayJobs, ThatAreCancelledAfterACrashMarkWhatWasSent) {
  const auto a = dead("a"), b = dead("b");
  const auto id = begin();
  die_running(id);
  publish_without_mark(a, id);
  pass(20'000);
  const auto told = cancel_replay(desk, book, id, {}, {});
  ASSERT_TRUE(told);
  EXPECT_EQ(told->state, ReplayState::cancelling);
  go_on(id);
  EXPECT_EQ(job(id).state, ReplayState::cancelled);
  EXPECT_EQ(state_of(a), DeadLetterState::replayed);
  EXPECT_EQ(state_of(b), DeadLetterState::open);
  EXPECT_EQ(published().size(), 1u);
}

TEST_F(ReplayJobs, ThatHaveEndedOrAreAnotherTenantsAreNotCancelled) {
  dead("a");
  auto request = of_tenant();
  request.within = TenantId("acme");
  const auto id = begin(request);
  EXPECT_EQ(cancel_replay(desk, book, id, {}, TenantId("globex")).error().errc, Errc::not_found);
  go_on(id);
  EXPECT_EQ(cancel_replay(desk, book, id, {}, TenantId("acme")).error().code, "REPLAY_ENDED");
}

// A delivery that a job made, and that died again, is no delivery for that job to make: under its id it would
// be dropped as a repeat, and counted as replayed.
TEST_F(ReplayJobs, LeaveWhatCameOfThemselvesToOthers) {
  dead("a");
  const auto id = begin();
  die_running(id);
  auto again = delivery("again");
  again.replay_job = id;
  again.id =
      delivery_id(LogIdentity("log_1"), again.position, again.webhook_id, again.target.incarnation, id);
  put(Topic::dead_letters, "acme", letter(again));
  pass(20'000);
  EXPECT_EQ(go_on(id).replayed, 1u);
  EXPECT_EQ(state_of(again), DeadLetterState::open);
  EXPECT_EQ(run(of_tenant()).replayed, 1u) << "another job makes it";
}

TEST_F(ReplayJobs, MeanWhatWasDeadWhenTheyWereAskedFor) {
  dead("a");
  const auto id = begin();
  const auto later = dead("b");
  EXPECT_EQ(go_on(id).replayed, 1u);
  EXPECT_EQ(state_of(later), DeadLetterState::open);
}

// A process that was stopped for longer than another waits must not go on when it wakes.
TEST_F(ReplayJobs, EndOnceTheLeaseIsOver) {
  dead("a");
  dead("b");
  const auto id = begin();
  const auto report =
      go_on(id, {.progress = [&](const ReplayReport&) { clock.steady_ms += 15'000; }, .tick = {}});
  EXPECT_FALSE(report.finished);
  EXPECT_EQ(published().size(), 1u);
  EXPECT_EQ(job(id).state, ReplayState::running) << "until the others take it";
}

}  // namespace
}  // namespace postrider::test
