#include "engine/core/delivery.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <variant>

namespace postrider {
namespace {

DeliveryRef ref() {
  DeliveryRef delivery;
  delivery.id = DeliveryId("dlv_0_a");
  delivery.webhook_id = WebhookId("msg_a");
  return delivery;
}

AttemptFact attempt(Stamp stamp, Verdict::Kind verdict, std::uint32_t number = 1) {
  AttemptFact fact;
  fact.stamp = stamp;
  fact.delivery = ref();
  fact.number = number;
  fact.at = stamp.epoch * 1000 + static_cast<std::int64_t>(stamp.sequence);
  fact.verdict = verdict;
  fact.next_at = fact.at + 5000;
  return fact;
}

CancelledFact cancelled(Stamp stamp, CancelReason reason = CancelReason::endpoint_deleted) {
  CancelledFact fact;
  fact.stamp = stamp;
  fact.delivery = ref();
  fact.reason = reason;
  return fact;
}

DeadLetter dead(Stamp stamp, DeadReason reason = DeadReason::attempts_exhausted) {
  DeadLetter fact;
  fact.stamp = stamp;
  fact.delivery = ref();
  fact.reason = reason;
  return fact;
}

ParkedState parked(Stamp stamp, std::int64_t due = 7) {
  ParkedState state;
  state.stamp = stamp;
  state.delivery = ref();
  state.due = due;
  return state;
}

TEST(Delivery, IsQueuedUntilAFactSaysOtherwise) {
  Delivery delivery;
  EXPECT_EQ(delivery.state(), DeliveryState::queued);
  EXPECT_EQ(delivery.next_at(), std::nullopt);
  EXPECT_FALSE(delivery.ref());
}

TEST(Delivery, AParkedStateWithoutAnAttemptIsParkedUntilItsDueTime) {
  Delivery delivery;
  delivery.apply(parked({1, 1}, 99));
  EXPECT_EQ(delivery.state(), DeliveryState::parked);
  EXPECT_EQ(delivery.next_at(), 99);
  EXPECT_EQ(delivery.ref()->webhook_id, WebhookId("msg_a"));
}

TEST(Delivery, ARetryIsParkedBeforeItsParkedStateIsSeen) {
  Delivery delivery;
  delivery.apply(attempt({1, 1}, Verdict::Kind::retry));
  EXPECT_EQ(delivery.state(), DeliveryState::parked);
  EXPECT_EQ(delivery.next_at(), 1001 + 5000);
}

TEST(Delivery, TheNewestParkedStateSpeaks) {
  Delivery delivery;
  delivery.apply(parked({2, 1}, 20));
  delivery.apply(parked({1, 9}, 10));
  EXPECT_EQ(delivery.next_at(), 20);
  delivery.unparked({1, 10});  // a zombie's tombstone
  EXPECT_EQ(delivery.state(), DeliveryState::parked);
  delivery.unparked({2, 2});
  EXPECT_EQ(delivery.state(), DeliveryState::queued);
  delivery.apply(parked({2, 1}, 20));
  EXPECT_EQ(delivery.state(), DeliveryState::queued);
}

TEST(Delivery, DeliveredBeatsCancelledBeatsDeadBeatsParked) {
  Delivery delivery;
  delivery.apply(parked({9, 9}));
  delivery.apply(dead({1, 2}, DeadReason::expired));
  EXPECT_EQ(delivery.state(), DeliveryState::dead);
  EXPECT_EQ(delivery.dead_reason(), DeadReason::expired);
  delivery.apply(cancelled({1, 3}, CancelReason::by_operator));
  EXPECT_EQ(delivery.state(), DeliveryState::cancelled);
  EXPECT_EQ(delivery.cancel_reason(), CancelReason::by_operator);
  delivery.apply(attempt({1, 1}, Verdict::Kind::success));
  EXPECT_EQ(delivery.state(), DeliveryState::delivered);
  EXPECT_EQ(delivery.next_at(), std::nullopt);
}

TEST(Delivery, AnAttemptThatEndedItIsDeadBeforeItsLetterIsSeen) {
  Delivery delivery;
  delivery.apply(parked({1, 1}));
  delivery.apply(attempt({1, 2}, Verdict::Kind::dead));
  EXPECT_EQ(delivery.state(), DeliveryState::dead);
  delivery.apply(parked({2, 1}));  // a crash came before the letter: it goes on
  EXPECT_EQ(delivery.state(), DeliveryState::parked);
}

TEST(Delivery, ASuccessIsNotDroppedBecauseItsNumberIsTaken) {
  Delivery delivery;
  delivery.apply(attempt({1, 1}, Verdict::Kind::retry, 2));
  delivery.apply(attempt({2, 1}, Verdict::Kind::success, 2));
  EXPECT_EQ(delivery.state(), DeliveryState::delivered);
  EXPECT_EQ(delivery.attempts().size(), 2u);
}

TEST(Delivery, OnlyFactsOfEqualStampAreOne) {
  Delivery delivery;
  delivery.apply(attempt({1, 1}, Verdict::Kind::retry));
  delivery.apply(attempt({1, 1}, Verdict::Kind::retry));
  EXPECT_EQ(delivery.attempts().size(), 1u);
  delivery.apply(attempt({1, 2}, Verdict::Kind::retry));
  delivery.apply(attempt({2, 1}, Verdict::Kind::retry));
  EXPECT_EQ(delivery.attempts().size(), 3u);
}

TEST(Delivery, AttemptAndLetterOfOneStepMayShareAStamp) {
  Delivery delivery;
  delivery.apply(attempt({1, 1}, Verdict::Kind::dead));
  delivery.apply(dead({1, 1}, DeadReason::gone));
  EXPECT_EQ(delivery.dead_reason(), DeadReason::gone);
}

TEST(Delivery, FactsOfAnotherDeliveryAreLeftOut) {
  Delivery delivery;
  delivery.apply(attempt({1, 1}, Verdict::Kind::retry));
  AttemptFact foreign = attempt({1, 2}, Verdict::Kind::success);
  foreign.delivery.id = DeliveryId("dlv_0_b");
  delivery.apply(foreign);
  EXPECT_EQ(delivery.state(), DeliveryState::parked);
  EXPECT_EQ(delivery.attempts().size(), 1u);
}

struct Tombstone {
  Stamp stamp;
};
using AnyFact = std::variant<AttemptFact, CancelledFact, DeadLetter, ParkedState, Tombstone>;

void apply(Delivery& delivery, const AnyFact& fact) {
  if (const auto* tombstone = std::get_if<Tombstone>(&fact)) return delivery.unparked(tombstone->stamp);
  std::visit(
      [&](const auto& one) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(one)>, Tombstone>) delivery.apply(one);
      },
      fact);
}

// Each fact has a stamp of its own, as the log has it; ends are rarer than attempts.
std::vector<AnyFact> drawn_facts() {
  std::vector<AnyFact> facts;
  const auto kinds = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 40));
  Stamp stamp{*rc::gen::inRange<Offset>(0, 5), 0};
  for (const int kind : kinds) {
    if (*rc::gen::inRange(0, 6) == 0) stamp = {stamp.epoch + 1, 0};
    ++stamp.sequence;
    if (kind < 5 || kind > 34) facts.emplace_back(attempt(stamp, Verdict::Kind::retry));
    if (kind == 5) facts.emplace_back(attempt(stamp, Verdict::Kind::dead));
    if (kind == 6) facts.emplace_back(attempt(stamp, Verdict::Kind::success));
    if (kind == 7) facts.emplace_back(cancelled(stamp, static_cast<CancelReason>(stamp.sequence % 4)));
    if (kind == 8) facts.emplace_back(dead(stamp, static_cast<DeadReason>(stamp.sequence % 8)));
    if (kind > 8 && kind < 18) facts.emplace_back(Tombstone{stamp});
    if (kind > 17 && kind < 35) facts.emplace_back(parked(stamp, static_cast<std::int64_t>(stamp.sequence)));
  }
  return facts;
}

RC_GTEST_PROP(Delivery, FoldsTheSameInAnyOrderAndWithRepeats, ()) {
  const std::vector<AnyFact> facts = drawn_facts();
  Delivery straight;
  for (const AnyFact& fact : facts) apply(straight, fact);

  std::vector<std::size_t> order(facts.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const std::size_t repeats = facts.empty() ? 0 : *rc::gen::inRange<std::size_t>(0, 5);
  for (std::size_t i = 0; i < repeats; ++i) order.push_back(*rc::gen::inRange<std::size_t>(0, facts.size()));
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[*rc::gen::inRange<std::size_t>(0, i)]);
  }
  Delivery shuffled;
  for (const std::size_t i : order) apply(shuffled, facts[i]);

  RC_ASSERT(shuffled.state() == straight.state());
  RC_ASSERT(shuffled.next_at() == straight.next_at());
  RC_ASSERT(shuffled.attempts() == straight.attempts());
  RC_ASSERT(shuffled.dead_reason() == straight.dead_reason());
  RC_ASSERT(shuffled.cancel_reason() == straight.cancel_reason());
}

RC_GTEST_PROP(Delivery, ASuccessAnywhereMeansDelivered, ()) {
  std::vector<AnyFact> facts = drawn_facts();
  const std::size_t where = *rc::gen::inRange<std::size_t>(0, facts.size() + 1);
  facts.insert(facts.begin() + static_cast<std::ptrdiff_t>(where), attempt({77, 1}, Verdict::Kind::success));
  Delivery delivery;
  for (const AnyFact& fact : facts) apply(delivery, fact);
  RC_ASSERT(delivery.state() == DeliveryState::delivered);
}

}  // namespace
}  // namespace postrider
