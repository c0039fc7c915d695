#include "engine/operations/delivery_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/desk_kit.h"

namespace postrider::test {
namespace {

struct DeliveryLists : ::testing::Test, DeskKit {
  static DeliveryRef at(const std::string& event_id, Partition partition,
                        const std::string& tenant = "acme") {
    return delivery(event_id, tenant, "shop", {partition, 7});
  }
  void park(const DeliveryRef& ref, std::uint64_t sequence, std::int64_t when = kNow) {
    ParkedState state;
    state.delivery = ref;
    state.stamp = {1, sequence};
    state.attempts = 1;
    state.last_status = 503;
    state.due = when + 1000;
    log.set_now(when);
    put(Topic::parked, ref.id.str(), state, ref.position.partition);
  }
  void unpark(const DeliveryRef& ref) {
    NewRecord record;
    record.topic = Topic::parked;
    record.partition = ref.position.partition;
    record.key = ref.id.str();
    ASSERT_TRUE(log.append(std::move(record)));
  }
  DeliveryPage page(const DeliveryFilter& filter = {}, const LogPlace& from = {}, std::size_t limit = 100) {
    auto answer = list_deliveries(desk, filter, from, limit);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? std::move(*answer) : DeliveryPage{};
  }
  static std::vector<std::string> events_of(const DeliveryPage& page) {
    std::vector<std::string> events;
    events.reserve(page.rows.size());
    for (const auto& row : page.rows) events.push_back(row.delivery.ref()->event_id);
    return events;
  }
  std::vector<std::string> all_pages(const DeliveryFilter& filter, std::size_t limit) {
    std::vector<std::string> events;
    LogPlace from;
    for (int pages = 0; pages < 1000; ++pages) {
      const auto one = page(filter, from, limit);
      EXPECT_LE(one.rows.size(), limit);
      const auto some = events_of(one);
      events.insert(events.end(), some.begin(), some.end());
      if (!one.next) return events;
      EXPECT_NE(*one.next, from) << "it gets on";
      from = *one.next;
    }
    ADD_FAILURE() << "it never ends";
    return events;
  }
};

TEST_F(DeliveryLists, TellTheNewestFirstAcrossPartitions) {
  attempt(at("a", 0), Verdict::Kind::success, kNow);
  attempt(at("b", 3), Verdict::Kind::success, kNow + 1);
  attempt(at("c", 0), Verdict::Kind::success, kNow + 2);
  attempt(at("d", 1), Verdict::Kind::success, kNow + 3);
  const auto all = page();
  EXPECT_EQ(events_of(all), (std::vector<std::string>{"d", "c", "b", "a"}));
  EXPECT_FALSE(all.next);
  EXPECT_EQ(all.looked_back_to, kNow);
  EXPECT_EQ(all_pages({}, 1), events_of(all)) << "the same, page by page";
  EXPECT_EQ(all_pages({}, 3), events_of(all));
}

TEST_F(DeliveryLists, HoldADeliveryOnceWhereItsNewestFactStands) {
  const auto a = at("a", 0);
  attempt(a, Verdict::Kind::retry, kNow);
  park(a, 2, kNow);
  attempt(at("b", 0), Verdict::Kind::success, kNow + 1);
  attempt(a, Verdict::Kind::success, kNow + 2);
  unpark(a);
  const auto all = page();
  EXPECT_EQ(events_of(all), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(all.rows[0].delivery.state(), DeliveryState::delivered);
  // The page that begins behind its success must not call it parked.
  EXPECT_EQ(all_pages({}, 1), (std::vector<std::string>{"a", "b"}));
  DeliveryFilter parked;
  parked.state = DeliveryState::parked;
  EXPECT_TRUE(page(parked).rows.empty());
}

TEST_F(DeliveryLists, HoldWhatIsParkedWithoutAnAttemptAndWhatWasGivenUpWithoutOne) {
  park(at("held", 2), 1);
  dead("expired");
  DeliveryFilter filter;
  filter.state = DeliveryState::parked;
  EXPECT_EQ(events_of(page(filter)), std::vector<std::string>{"held"});
  filter.state = DeliveryState::dead;
  EXPECT_EQ(events_of(page(filter)), std::vector<std::string>{"expired"});
  EXPECT_EQ(page(filter).rows[0].last_status, 404);
  EXPECT_EQ(page().rows.size(), 2u);
}

TEST_F(DeliveryLists, LeaveOutOfALaterPageWhatHasMovedOnSinceTheFirst) {
  const auto a = at("a", 0), b = at("b", 0);
  park(a, 1, kNow);
  park(b, 2, kNow + 1);
  DeliveryFilter parked;
  parked.state = DeliveryState::parked;
  const auto first = page(parked, {}, 1);
  EXPECT_EQ(events_of(first), std::vector<std::string>{"b"});
  ASSERT_TRUE(first.next);
  park(a, 3, kNow + 2);
  EXPECT_TRUE(page(parked, *first.next).rows.empty()) << "it stands nearer to the beginning now";
  EXPECT_EQ(events_of(page(parked)), (std::vector<std::string>{"a", "b"}));
}

TEST_F(DeliveryLists, ListADeadDeliveryOnceThoughAPageEndsBetweenItsAttemptAndItsLetter) {
  const auto ref = at("a", 0);
  attempt(ref, Verdict::Kind::dead, kNow);
  dead("a", "acme", kNow + 1);  // under partition 1's id
  auto letter = DeskKit::letter(ref, kNow + 1);
  put(Topic::dead_letters, "acme", letter);
  DeliveryFilter filter;
  filter.event_id = "a";
  EXPECT_EQ(all_pages(filter, 1).size(), 2u) << "two deliveries, each once";
}

TEST_F(DeliveryLists, FilterAndKeepToTheirTenant) {
  attempt(at("a", 0), Verdict::Kind::success);
  attempt(at("b", 0, "globex"), Verdict::Kind::success, kNow + 5);
  park(at("c", 1, "globex"), 9, kNow + 6);
  DeliveryFilter filter;
  filter.tenant = TenantId("globex");
  EXPECT_EQ(events_of(page(filter)), (std::vector<std::string>{"c", "b"}));
  filter.endpoint = EndpointId("none");
  EXPECT_TRUE(page(filter).rows.empty());
  filter = {};
  filter.since = kNow + 1;
  filter.until = kNow + 6;
  EXPECT_EQ(events_of(page(filter)), std::vector<std::string>{"b"});
  filter = {};
  filter.webhook_id = at("a", 0).webhook_id.str();
  EXPECT_EQ(events_of(page(filter)), std::vector<std::string>{"a"});
}

TEST_F(DeliveryLists, LookAtABoundedNumberOfRecordsAndSayWhereToGoOn) {
  attempt(at("first", 2), Verdict::Kind::success);
  for (std::uint64_t i = 0; i < kDeliveryRecordsMax + 10'000; ++i)
    attempt(at("other", 0, "globex"), Verdict::Kind::success, kNow + 1);
  DeliveryFilter filter;
  filter.tenant = TenantId("acme");
  filter.state = DeliveryState::delivered;
  const auto some = page(filter);
  EXPECT_TRUE(some.rows.empty());
  ASSERT_TRUE(some.next);
  EXPECT_EQ(events_of(page(filter, *some.next)), std::vector<std::string>{"first"});
}

TEST_F(DeliveryLists, TellTheAttemptsOfOneOnAnyInstance) {
  const auto a = at("a", 2);
  for (int i = 0; i < 3; ++i) attempt(a, Verdict::Kind::retry, kNow + i);
  attempt(at("b", 2), Verdict::Kind::success);
  auto whole = list_attempts(desk, a.id, {}, {});
  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->attempts.size(), 3u);
  EXPECT_EQ(whole->attempts[0].at, kNow + 2);
  EXPECT_FALSE(whole->next);
  auto some = list_attempts(desk, a.id, {}, {}, 2);
  ASSERT_TRUE(some && some->next);
  EXPECT_EQ(list_attempts(desk, a.id, {}, *some->next, 2)->attempts.size(), 1u);
  EXPECT_TRUE(list_attempts(desk, a.id, TenantId("globex"), {})->attempts.empty());
  EXPECT_EQ(list_attempts(desk, DeliveryId("x"), {}, {}).error().errc, Errc::invalid);
}

TEST(LogPlaces, AreReadAsTheyWereWritten) {
  const LogPlace place = {{{Topic::attempts, 0}, 0}, {{Topic::parked, 300}, 1LL << 40}};
  EXPECT_EQ(parse_place(format_place(place)), place);
  EXPECT_EQ(parse_place(""), LogPlace());
  const auto bytes = format_place(place);
  for (std::size_t cut = 1; cut < 3; ++cut) EXPECT_FALSE(parse_place(bytes.substr(0, cut)));
  EXPECT_FALSE(parse_place("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
  EXPECT_FALSE(parse_place(std::string({static_cast<char>(kTopicCount), 0, 0}))) << "no such topic";
}

}  // namespace
}  // namespace postrider::test
