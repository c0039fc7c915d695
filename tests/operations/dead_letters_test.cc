#include "engine/operations/dead_letters.h"

#include <gtest/gtest.h>

#include "tests/support/desk_kit.h"

namespace postrider::test {
namespace {

const Actor kAlice{.name = "alice", .token_id = {}, .correlation_id = {}};
constexpr std::int64_t kHour = 3'600'000;

struct DeadLetters : ::testing::Test, DeskKit {
  std::vector<std::string> listed(const DeadLetterFilter& filter = {}, std::size_t limit = 100) {
    const auto list = list_dead_letters(desk, filter, limit);
    EXPECT_TRUE(list) << list.error().message;
    std::vector<std::string> ids;
    for (const auto& each : list->letters) ids.push_back(each.letter.delivery.event_id);
    return ids;
  }
  DeadLetterState state_of(const DeliveryRef& ref) {
    const auto view = show_dead_letter(desk, ref.id);
    EXPECT_TRUE(view);
    return view->state;
  }
};

using Ids = std::vector<std::string>;

TEST_F(DeadLetters, AreListedNewestFirstOverAllPartitionsWithoutPayloads) {
  dead("b", "acme", kNow + 1);
  dead("c", "globex", kNow + 2);
  dead("a", "initech", kNow);
  EXPECT_EQ(listed(), (Ids{"c", "b", "a"}));
  EXPECT_TRUE(list_dead_letters(desk, {})->letters[0].letter.sealed_payload.empty());
}

TEST_F(DeadLetters, AreListedOnceThoughACrashWroteThemTwice) {
  dead("a");
  dead("a");
  EXPECT_EQ(listed(), Ids{"a"});
}

TEST_F(DeadLetters, BeyondTheLimitKeepTheNewestAndSaySo) {
  for (int i = 0; i < 5; ++i) dead("e" + std::to_string(i), "acme", kNow + i);
  EXPECT_EQ(listed({}, 2), (Ids{"e4", "e3"}));
  EXPECT_TRUE(list_dead_letters(desk, {}, 2)->truncated);
  EXPECT_FALSE(list_dead_letters(desk, {}, 5)->truncated);
}

TEST_F(DeadLetters, AreChosenByEachPartOfTheFilter) {
  dead("old", "acme", kNow - kHour);
  dead("acme", "acme");
  dead("globex", "globex");
  auto other = delivery("other", "acme", "warehouse");
  auto letter_ = letter(other);
  letter_.reason = DeadReason::expired;
  letter_.delivery.event_type = "invoice.paid";
  put(Topic::dead_letters, "acme", letter_);

  DeadLetterFilter filter;
  filter.tenant = TenantId("globex");
  EXPECT_EQ(listed(filter), Ids{"globex"});
  filter = {};
  filter.endpoint = EndpointId("warehouse");
  EXPECT_EQ(listed(filter), Ids{"other"});
  filter = {};
  filter.type = "invoice.*";
  EXPECT_EQ(listed(filter), Ids{"other"});
  filter = {};
  filter.reason = DeadReason::expired;
  EXPECT_EQ(listed(filter), Ids{"other"});
  filter = {};
  filter.until = kNow;
  EXPECT_EQ(listed(filter), Ids{"old"});
  filter = {};
  filter.tenant = TenantId("acme");
  filter.since = kNow;
  EXPECT_EQ(listed(filter).size(), 2u);
  filter.ids = {other.id};
  EXPECT_EQ(listed(filter), Ids{"other"});
}

TEST_F(DeadLetters, OfAnotherEnvironmentAreNotShown) {
  NewRecord record;
  record.topic = Topic::dead_letters;
  record.key = "acme";
  record.value = wire::encode(Environment("production"), letter(delivery("foreign")));
  ASSERT_TRUE(log.append(record));
  record.value = "no message at all";
  ASSERT_TRUE(log.append(record));
  EXPECT_TRUE(listed().empty());
}

TEST_F(DeadLetters, AreResolvedOnceWithAMarkAndAnAuditFact) {
  const auto ref = dead("a");
  const auto view = resolve_dead_letter(desk, ref.id, "refunded by hand", kAlice);
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->state, DeadLetterState::resolved);

  const auto shown = show_dead_letter(desk, ref.id);
  ASSERT_TRUE(shown && shown->mark);
  EXPECT_EQ(shown->state, DeadLetterState::resolved);
  EXPECT_EQ(shown->mark->actor, "alice");
  EXPECT_EQ(shown->mark->why, "refunded by hand");

  const auto audit = log.all(Topic::audit);
  ASSERT_EQ(audit.size(), 1u);
  const auto fact = wire::decode_audit(kEnvironment, *audit[0].value);
  ASSERT_TRUE(fact);
  EXPECT_EQ(fact->actor, "alice");
  EXPECT_EQ(fact->action, "resolve");
  EXPECT_EQ(fact->subject_id, ref.id.str());
  EXPECT_EQ(fact->environment, "test");

  const auto again = resolve_dead_letter(desk, ref.id, "twice", kAlice);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().errc, Errc::conflict);
}

TEST_F(DeadLetters, ThatAreUnknownAreNotFound) {
  const auto view = show_dead_letter(desk, DeliveryId("dlv_1_none"));
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().errc, Errc::not_found);
}

TEST_F(DeadLetters, FollowTheirLastMarkThoughItLiesInAnotherPartition) {
  const auto ref = dead("a");
  DeadLetterMark mark;
  mark.delivery = ref.id;
  mark.tenant = ref.tenant;
  mark.state = DeadLetterState::replayed;
  // As after the topic has grown.
  const auto home = log.all(Topic::dead_letters).front().partition;
  put(Topic::dead_letters, "acme", mark, (home + 1) % 4);
  EXPECT_EQ(state_of(ref), DeadLetterState::replayed);
  mark.state = DeadLetterState::open;
  put(Topic::dead_letters, "acme", mark, (home + 1) % 4);
  EXPECT_EQ(state_of(ref), DeadLetterState::open);
}

TEST_F(DeadLetters, AreClosedByASuccessOfTheSameDelivery) {
  const auto ref = dead("a"), other = dead("b");
  attempt(ref, Verdict::Kind::success, kNow + 60'000);
  attempt(other, Verdict::Kind::retry, kNow + 60'000);
  const auto view = show_dead_letter(desk, ref.id);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->state, DeadLetterState::resolved);
  EXPECT_TRUE(view->delivered_after_all);
  EXPECT_EQ(state_of(other), DeadLetterState::open);
  DeadLetterFilter open;
  open.state = DeadLetterState::open;
  EXPECT_EQ(listed(open), Ids{"b"});
}

TEST_F(DeadLetters, AreSummarizedByEndpointAndReason) {
  dead("a", "acme", kNow - kHour);
  dead("b", "acme", kNow);
  const auto resolved = dead("c", "acme", kNow);
  dead("d", "globex", kNow);
  ASSERT_TRUE(resolve_dead_letter(desk, resolved.id, "done", kAlice));
  const auto summary = summarize_dead_letters(desk, {});
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->open, 3u);
  EXPECT_EQ(summary->resolved, 1u);
  ASSERT_EQ(summary->lines.size(), 2u);
  EXPECT_EQ(summary->lines[0].tenant.str(), "acme");
  EXPECT_EQ(summary->lines[0].open, 2u);
  EXPECT_EQ(summary->lines[0].resolved, 1u);
  EXPECT_EQ(summary->lines[0].first, kNow - kHour);
  EXPECT_EQ(summary->lines[0].last, kNow);
}

TEST_F(DeadLetters, SayWhenTheLogIsAway) {
  const auto ref = dead("a");
  log.fail_next(1);
  const auto view = resolve_dead_letter(desk, ref.id, "x", kAlice);
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().errc, Errc::unavailable);
  EXPECT_EQ(state_of(ref), DeadLetterState::open);
}

}  // namespace
}  // namespace postrider::test
