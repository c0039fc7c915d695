#include "engine/operations/reconcile.h"

#include <gtest/gtest.h>

#include "engine/wire/cloud_event.h"
#include "tests/support/desk_kit.h"

namespace postrider::test {
namespace {

using Gap = postrider::Gap;
constexpr Partition kPartition = 1;
constexpr std::int64_t kDay = 24 * 3'600'000;

// A log as an engine leaves it, fact by fact. Two endpoints: `shop` takes everything, `orders` order.*.
struct Reconciling : ::testing::Test, DeskKit {
  const LogIdentity identity{"log_1"};
  const Target shop{EndpointId("shop"), Incarnation("inc_shop")};
  const Target orders{EndpointId("orders"), Incarnation("inc_orders")};
  std::uint64_t sequence = 0;
  std::optional<Offset> committed = 1'000'000;

  Reconciling() {
    IdentityFact fact;
    fact.identity = identity;
    fact.environment = kEnvironment;
    put(Topic::endpoints, std::string(kIdentityKey), fact, 0);
    declare(shop, "*");
    declare(orders, "order.*");
  }

  void declare(const Target& target, const std::string& type, bool deleted = false) {
    EndpointDef def;
    def.tenant = TenantId("acme");
    def.id = target.endpoint;
    def.incarnation = target.incarnation;
    def.revision = ++revisions_[target.endpoint];
    def.replaces = def.revision - 1;
    def.types = {type};
    def.url = "https://example.com";
    def.deleted = deleted;
    put(Topic::endpoints, def_key(def.tenant, def.id), def, 0);
  }
  Offset version() { return log.extent(Topic::endpoints, 0)->end; }

  Offset publish(const std::string& id, const std::string& type = "order.created",
                 const std::string& tenant = "acme") {
    Event event;
    event.id = id;
    event.source = "/shop";
    event.type = type;
    event.tenant = TenantId(tenant);
    auto message = wire::encode_kafka(event);
    NewRecord record;
    record.topic = Topic::events;
    record.partition = kPartition;
    record.key = message.key;
    record.value = message.value;
    record.headers = message.headers;
    return log.append(std::move(record))->offset;
  }

  DeliveryRef ref(Offset offset, const std::string& id, const Target& target) {
    DeliveryRef made;
    made.event_id = id;
    made.tenant = TenantId("acme");
    made.target = target;
    made.position = {kPartition, offset};
    made.webhook_id = webhook_id(made.tenant, "/shop", id);
    made.id = delivery_id(identity, made.position, made.webhook_id, target.incarnation, {});
    return made;
  }
  void attempted(const DeliveryRef& delivery, Verdict::Kind verdict, std::uint32_t fan_out = 2,
                 std::int64_t at = kNow) {
    AttemptFact fact;
    fact.stamp = {1, ++sequence};
    fact.delivery = delivery;
    fact.verdict = verdict;
    fact.at = at;
    fact.registry_version = version();
    fact.fan_out = fan_out;
    put(Topic::attempts, delivery.id.str(), fact, kPartition);
  }
  void parked(const DeliveryRef& delivery, std::uint32_t fan_out = 2) {
    ParkedState state;
    state.stamp = {1, ++sequence};
    state.delivery = delivery;
    state.registry_version = version();
    state.fan_out = fan_out;
    put(Topic::parked, delivery.id.str(), state, kPartition);
  }
  void tombstone(const DeliveryRef& delivery) {
    NewRecord record;
    record.topic = Topic::parked;
    record.partition = kPartition;
    record.key = delivery.id.str();
    record.headers = wire::stamp_headers({1, ++sequence});
    ASSERT_TRUE(log.append(std::move(record)));
  }
  void buried(const DeliveryRef& delivery) { put(Topic::dead_letters, "acme", letter(delivery)); }
  template <class Fact>
  void told(const Fact& fact) {
    put(Topic::attempts, "fact", fact, kPartition);
  }

  // An event to both endpoints, delivered.
  Offset delivered(const std::string& id) {
    const Offset offset = publish(id);
    attempted(ref(offset, id, shop), Verdict::Kind::success);
    attempted(ref(offset, id, orders), Verdict::Kind::success);
    return offset;
  }

  std::vector<Unaccounted> missing;
  std::vector<Offset> in_progress;
  Result<ReconcileTotals> run(const ReconcileRequest& asked = {}) {
    missing.clear();
    in_progress.clear();
    ReconcileRequest request = asked;
    request.committed = [this](Partition) -> Result<std::optional<Offset>> { return committed; };
    ReconcileWatch watch;
    watch.unaccounted = [this](const Unaccounted& one) { missing.push_back(one); };
    watch.in_progress = [this](Position position) { in_progress.push_back(position.offset); };
    return reconcile(desk, request, watch, stop);
  }
  ReconcileTotals totals(const ReconcileRequest& request = {}) {
    const auto done = run(request);
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : ReconcileTotals();
  }
  void expect_missing(Offset offset, const Target* target, Gap gap) {
    EXPECT_EQ(totals().unaccounted, 1u);
    ASSERT_EQ(missing.size(), 1u);
    EXPECT_EQ(missing[0].position, (Position{kPartition, offset}));
    EXPECT_EQ(missing[0].endpoint, target ? target->endpoint : EndpointId());
    EXPECT_EQ(sentence_of(missing[0].gap), sentence_of(gap));
  }
  std::atomic<bool> stop{false};

 private:
  std::map<EndpointId, std::uint64_t> revisions_;
};

TEST_F(Reconciling, CountsWhatBecameOfEachEventAndEndpoint) {
  delivered("e1");
  const Offset retried = publish("e2");
  attempted(ref(retried, "e2", shop), Verdict::Kind::retry);
  parked(ref(retried, "e2", shop));
  attempted(ref(retried, "e2", shop), Verdict::Kind::success);
  tombstone(ref(retried, "e2", shop));
  attempted(ref(retried, "e2", orders), Verdict::Kind::dead);
  buried(ref(retried, "e2", orders));
  const Offset waits = publish("e3");
  parked(ref(waits, "e3", shop));
  CancelledFact cancelled;
  cancelled.delivery = ref(waits, "e3", orders);
  cancelled.registry_version = version();
  told(cancelled);
  const Offset none = publish("e4", "order.created", "nobody");
  NoMatchFact no_match;
  no_match.partition = kPartition;
  no_match.offsets = {{none, none}};
  no_match.registry_version = version();
  told(no_match);
  RepeatFact repeat;
  repeat.partition = kPartition;
  repeat.repeats = {{publish("e1"), 0, WebhookId()}};
  told(repeat);
  const Offset bad = publish("e5", "order.created", "not a tenant");
  SetAsideFact aside;
  aside.position = {kPartition, bad};
  aside.at = kNow;
  told(aside);
  auto bad_letter = letter(ref(bad, "", {}));
  bad_letter.reason = DeadReason::bad_tenant;
  put(Topic::dead_letters, "", bad_letter);

  const auto counted = totals();
  EXPECT_TRUE(missing.empty());
  ReconcileTotals want;
  want.events = 6;
  want.delivered = 3;
  want.dead = want.parked = want.cancelled = want.no_match = want.repeats = want.set_aside = 1;
  EXPECT_EQ(counted, want);
}

TEST_F(Reconciling, FindsATombstoneThatNobodyShouldHaveWritten) {
  const Offset offset = publish("e1");
  attempted(ref(offset, "e1", shop), Verdict::Kind::success);
  attempted(ref(offset, "e1", orders), Verdict::Kind::retry);
  parked(ref(offset, "e1", orders));
  EXPECT_EQ(totals().unaccounted, 0u);
  tombstone(ref(offset, "e1", orders));
  expect_missing(offset, &orders, Gap::not_parked);
  EXPECT_EQ(missing[0].delivery, ref(offset, "e1", orders).id);
}

TEST_F(Reconciling, FindsAFactThatWasTakenAway) {
  const Offset offset = delivered("e1");
  const auto attempts = log.all(Topic::attempts);
  log.remove(Topic::attempts, kPartition, attempts.back().offset);
  expect_missing(offset, &orders, Gap::no_fact);
  log.remove(Topic::attempts, kPartition, attempts.front().offset);
  expect_missing(offset, nullptr, Gap::no_fact);
}

TEST_F(Reconciling, FindsADeadLetterThatWasNeverWritten) {
  const Offset offset = publish("e1");
  attempted(ref(offset, "e1", shop), Verdict::Kind::success);
  attempted(ref(offset, "e1", orders), Verdict::Kind::dead);
  expect_missing(offset, &orders, Gap::no_dead_letter);
}

TEST_F(Reconciling, FindsAnEndpointThatAFactSaysWasNotThere) {
  const Offset offset = publish("e1", "invoice.paid");
  NoMatchFact fact;
  fact.partition = kPartition;
  fact.offsets = {{offset, offset}};
  fact.registry_version = version();
  told(fact);
  expect_missing(offset, &shop, Gap::matched_after_all);
}

TEST_F(Reconciling, FindsFewerDeliveriesThanTheEventWasRoutedTo) {
  const Offset offset = publish("e1");
  attempted(ref(offset, "e1", shop), Verdict::Kind::success, 3);
  attempted(ref(offset, "e1", orders), Verdict::Kind::success, 3);
  expect_missing(offset, nullptr, Gap::fewer_than_fan_out);
}

TEST_F(Reconciling, FindsAnEventThatIsCalledARepeatOfAnother) {
  delivered("e1");
  RepeatFact fact;
  fact.partition = kPartition;
  const Offset offset = publish("e2");
  fact.repeats = {{offset, 0, WebhookId()}};
  told(fact);
  expect_missing(offset, nullptr, Gap::repeat_of_another);
}

TEST_F(Reconciling, FindsAnEventThatIsCalledARepeatOfItself) {
  const Offset offset = publish("e1");
  RepeatFact fact;
  fact.partition = kPartition;
  fact.repeats = {{offset, offset, WebhookId()}};
  told(fact);
  expect_missing(offset, nullptr, Gap::repeat_of_later);
}

TEST_F(Reconciling, OwesNothingForARepeatThatWasRoutedBeforeItWasKnownAsOne) {
  delivered("e1");
  const Offset again = publish("e1");
  attempted(ref(again, "e1", shop), Verdict::Kind::success);
  EXPECT_EQ(totals().unaccounted, 1u);
  RepeatFact fact;
  fact.partition = kPartition;
  fact.repeats = {{again, 0, WebhookId()}};
  told(fact);
  EXPECT_EQ(totals().unaccounted, 0u);
  EXPECT_EQ(totals().delivered, 3u);
}

TEST_F(Reconciling, FindsWhatWasSetAsideWithoutItsDeadLetter) {
  const Offset offset = publish("e1", "order.created", "not a tenant");
  SetAsideFact fact;
  fact.position = {kPartition, offset};
  fact.at = kNow;
  told(fact);
  expect_missing(offset, nullptr, Gap::aside_without_letter);
}

TEST_F(Reconciling, OwesAnEndpointNothingThatCameLater) {
  const Offset offset = delivered("e1");
  declare({EndpointId("late"), Incarnation("inc_late")}, "*");
  EXPECT_EQ(totals().unaccounted, 0u);
  // Read again after a crash, it was routed to the new one too; of the two routings one is whole.
  attempted(ref(offset, "e1", shop), Verdict::Kind::success, 3);
  EXPECT_EQ(totals().unaccounted, 0u);
}

TEST_F(Reconciling, OwesNothingToAnEndpointThatWasGoneWhenTheEventWasReadAgain) {
  const Offset offset = publish("e1");
  attempted(ref(offset, "e1", shop), Verdict::Kind::success);
  attempted(ref(offset, "e1", orders), Verdict::Kind::retry);
  EXPECT_EQ(totals().unaccounted, 1u);
  declare(orders, "order.*", true);
  EXPECT_EQ(totals().unaccounted, 1u) << "not routed anew";
  NoMatchFact nothing_more;
  nothing_more.partition = kPartition;
  nothing_more.offsets = {{offset, offset}};
  nothing_more.registry_version = version();
  nothing_more.stamp = {2, 1};
  told(nothing_more);
  EXPECT_EQ(totals().unaccounted, 0u);
}

TEST_F(Reconciling, OwesADeletedEndpointWhatItWasRoutedBefore) {
  const Offset offset = publish("e1");
  attempted(ref(offset, "e1", shop), Verdict::Kind::success);
  declare(orders, "order.*", true);
  expect_missing(offset, &orders, Gap::no_fact);
}

TEST_F(Reconciling, CallsNothingMissingThatHasNotSettled) {
  delivered("e1");
  const Offset half = publish("e2");
  attempted(ref(half, "e2", shop), Verdict::Kind::success);
  const Offset unread = publish("e3");
  committed = half;
  const auto counted = totals();
  EXPECT_EQ(counted.unaccounted, 0u);
  EXPECT_EQ(counted.in_progress, 2u);
  EXPECT_EQ(in_progress, (std::vector<Offset>{half, unread}));
  committed = std::nullopt;
  EXPECT_EQ(totals().unaccounted, 0u);
  committed = unread;
  expect_missing(half, &orders, Gap::no_fact);
}

TEST_F(Reconciling, LooksAtTheSpanAndTheTenantThatWereAskedFor) {
  log.set_now(kNow);
  publish("lost");
  log.set_now(kNow + 1000);
  delivered("e1");
  log.set_now(kNow + 2000);
  publish("lost too", "order.created", "globex");
  EXPECT_EQ(totals().unaccounted, 2u);
  ReconcileRequest span;
  span.since = kNow + 1000;
  span.until = kNow + 2000;
  EXPECT_EQ(totals(span).unaccounted, 0u);
  ReconcileRequest tenant;
  tenant.tenant = TenantId("globex");
  EXPECT_EQ(totals(tenant).events, 1u);
  EXPECT_EQ(totals(tenant).unaccounted, 1u);
}

TEST_F(Reconciling, RefusesASpanThatTheLogNoLongerHolds) {
  log.set_now(kNow);
  delivered("e1");
  log.set_now(kNow + 1000);
  delivered("e2");
  ReconcileRequest span;
  span.since = kNow + 500;
  log.trim(Topic::events, kPartition, 1);
  EXPECT_EQ(run(span).error().code, "BEYOND_RETENTION");
  EXPECT_EQ(totals().events, 1u) << "what there is";
  span.since = kNow + 1000;
  EXPECT_TRUE(run(span));
  log.trim(Topic::attempts, kPartition, 3);
  span.since = kNow + 999;
  EXPECT_EQ(run(span).error().code, "BEYOND_RETENTION");
}

TEST_F(Reconciling, WithoutASpanBeginsWhereNoFactCanHaveBeenRemoved) {
  log.set_now(kNow);
  delivered("e1");
  log.set_now(kNow + 1000);
  delivered("e2");
  log.set_now(kNow + 2000);
  delivered("e3");
  EXPECT_EQ(totals().events, 3u);
  log.trim(Topic::attempts, kPartition, 3);  // one of e2's
  EXPECT_EQ(totals().events, 1u);
  EXPECT_EQ(totals().unaccounted, 0u);
  log.trim(Topic::attempts, kPartition, 6);
  EXPECT_EQ(totals().events, 0u);
  // Who commits offsets by it must see that nothing speaks of them.
  ReconcileRequest all;
  all.untold_too = true;
  EXPECT_EQ(totals(all).events, 3u);
  EXPECT_EQ(totals(all).unaccounted, 3u);
}

// Whoever owned the partition had committed past the event: that it is in progress nobody can say.
TEST_F(Reconciling, BelievesAnOwnerMarkWhereTheGroupHasLostItsOffsets) {
  committed.reset();
  publish("e1");
  EXPECT_EQ(totals().in_progress, 1u);
  OwnerMark mark;
  mark.log = identity;
  mark.instance = "ins_1";
  mark.committed = 1;
  mark.events_end = 1;
  put(Topic::parked, std::string(kOwnerKey), mark, kPartition);
  EXPECT_EQ(totals().in_progress, 0u);
  EXPECT_EQ(totals().unaccounted, 1u);
}

TEST_F(Reconciling, KnowsHowLongTheTopicsHoldAtLeast) {
  log.set_now(kNow - 2 * kDay);
  delivered("e1");
  log.set_now(kNow);
  ReconcileRequest span;
  span.since = kNow - kDay / 2;
  log.trim(Topic::events, kPartition, 1);
  log.trim(Topic::attempts, kPartition, 2);
  EXPECT_EQ(run(span).error().code, "BEYOND_RETENTION") << "nothing is left that would tell";
  span.kept_for = std::chrono::hours(24);
  EXPECT_TRUE(run(span)) << "what was removed is older";
  span.since = kNow - 3 * kDay;
  EXPECT_EQ(run(span).error().code, "BEYOND_RETENTION");
}

TEST_F(Reconciling, CallsDeadWhatWasGivenUpLongerAgoThanLettersAreKept) {
  log.set_now(kNow - 8 * kDay);
  const Offset offset = publish("e1");
  attempted(ref(offset, "e1", shop), Verdict::Kind::success);
  attempted(ref(offset, "e1", orders), Verdict::Kind::dead, 2, kNow - 8 * kDay);
  const Offset expired = publish("e2");
  attempted(ref(expired, "e2", shop), Verdict::Kind::success);
  EXPECT_EQ(totals().unaccounted, 2u);
  log.set_now(kNow);
  const auto partition = murmur2_partition("acme", 4);
  buried(ref(99, "other", shop));
  buried(ref(98, "another", shop));
  log.trim(Topic::dead_letters, partition, 1);
  const auto counted = totals();
  EXPECT_EQ(counted.unaccounted, 0u);
  EXPECT_EQ(counted.dead, 1u);
  EXPECT_EQ(counted.beyond_evidence, 1u) << "it may have expired without an attempt";
}

TEST_F(Reconciling, CallsMissingWhatWasGivenUpLatelyWhateverLettersWereRemoved) {
  const Offset offset = publish("e1");
  attempted(ref(offset, "e1", shop), Verdict::Kind::success);
  attempted(ref(offset, "e1", orders), Verdict::Kind::dead);
  buried(ref(99, "other", shop));
  log.trim(Topic::dead_letters, murmur2_partition("acme", 4), 1);
  expect_missing(offset, &orders, Gap::no_dead_letter);
  committed = offset;
  EXPECT_EQ(totals().in_progress, 1u);
}

TEST_F(Reconciling, CountsWhatRetentionTookBeforeItWasReadOnce) {
  SourceLostFact lost;
  lost.partition = kPartition;
  lost.first = 0;
  lost.last = 9;
  told(lost);
  lost.last = 11;  // by the next owner
  told(lost);
  EXPECT_EQ(totals().lost_at_source, 12u);
}

TEST_F(Reconciling, TakesNoRoutingForAnotherBeforeItsEventHasSettled) {
  const Offset offset = publish("e1", "invoice.paid");
  const Offset before = version();
  declare({EndpointId("late"), Incarnation("inc_late")}, "*");
  NoMatchFact none;
  none.stamp = {1, 1};
  none.partition = kPartition;
  none.offsets = {{offset, offset}};
  none.registry_version = 2;  // nobody takes it yet
  told(none);
  attempted(ref(offset, "e1", shop), Verdict::Kind::retry, 2);
  committed = offset;
  EXPECT_GT(totals().in_progress, 0u);
  EXPECT_GT(before, 2);
}

TEST_F(Reconciling, StopsWhenItIsTold) {
  delivered("e1");
  stop = true;
  EXPECT_EQ(run().error().code, "STOPPED");
}

TEST(FactSorter, SortsWhatDoesNotFitInMemory) {
  FactSorter sorter(by_event, 100);
  for (Offset i = 0; i < 1234; ++i) {
    FactRow row;
    row.offset = (i * 7919) % 1234;
    row.at = row.offset * 3;
    ASSERT_TRUE(sorter.add(row));
  }
  ASSERT_TRUE(sorter.sort());
  for (Offset i = 0; i < 1234; ++i) {
    ASSERT_NE(sorter.front(), nullptr);
    EXPECT_EQ(sorter.front()->offset, i);
    EXPECT_EQ(sorter.front()->at, i * 3);
    ASSERT_TRUE(sorter.pop());
  }
  EXPECT_EQ(sorter.front(), nullptr);
}

}  // namespace
}  // namespace postrider::test
