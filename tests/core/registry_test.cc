#include "engine/core/registry.h"

#include <gtest/gtest.h>

#include "tests/core/registry_facts.h"

namespace postrider {
namespace {

using Applied = Registry::Applied;

const TenantId kTenant("acme");
const EndpointId kHook("hook");

const Endpoint* hook(const Registry& registry) {
  return registry.find(kTenant, kHook);
}

// The one record that must be appended again.
std::pair<std::string, std::string> to_mend(const Registry& registry) {
  const auto wanted = registry.mending();
  return wanted.size() == 1 ? wanted.front() : std::make_pair(std::string("not one"), std::string());
}

TEST(Registry, ADefThatReplacesTheCurrentRevisionIsApplied) {
  Registry registry;
  EXPECT_EQ(registry.apply(def(1, 0, "inc_a"), "one"), Applied::yes);
  EXPECT_EQ(registry.apply(def(2, 1, "inc_a"), "two"), Applied::yes);
  EXPECT_EQ(hook(registry)->def.revision, 2u);
  EXPECT_TRUE(registry.mending().empty());
}

TEST(Registry, OfTwoWritersAtOnceTheFirstOnTheLogWins) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  EXPECT_EQ(registry.apply(def(2, 1, "inc_a", "https://first"), "first"), Applied::yes);
  EXPECT_EQ(registry.apply(def(2, 1, "inc_a", "https://second"), "second"), Applied::ignored);
  EXPECT_EQ(hook(registry)->def.url, "https://first");
}

TEST(Registry, OfTwoCreatorsAtOnceTheFirstOnTheLogWins) {
  Registry registry;
  EXPECT_EQ(registry.apply(def(1, 0, "inc_a"), "a"), Applied::yes);
  EXPECT_EQ(registry.apply(def(1, 0, "inc_b"), "b"), Applied::ignored);
  EXPECT_EQ(hook(registry)->def.incarnation, Incarnation("inc_a"));
}

TEST(Registry, AnIgnoredRecordAsksForMendingUntilTheCurrentOneIsSeenAgain) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(def(1, 0, "inc_b"), "late");
  EXPECT_EQ(to_mend(registry), std::make_pair(std::string("acme/hook/def"), std::string("one")));
  EXPECT_EQ(registry.apply(def(1, 0, "inc_a"), "one", true), Applied::same);
  EXPECT_TRUE(registry.mending().empty());
}

TEST(Registry, ANewRevisionMendsToo) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(def(1, 0, "inc_b"), "late");
  registry.apply(def(2, 1, "inc_a"), "two");
  EXPECT_TRUE(registry.mending().empty());
}

TEST(Registry, TheCurrentOneAgainChangesNothing) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  const std::uint64_t version = hook(registry)->version;
  EXPECT_EQ(registry.apply(def(1, 0, "inc_a"), "one"), Applied::same);
  EXPECT_EQ(hook(registry)->version, version);
}

TEST(Registry, WhatCompactionTookIsNotMissed) {
  Registry registry;
  EXPECT_EQ(registry.apply(def(7, 6, "inc_a"), "seven"), Applied::yes);
  EXPECT_EQ(registry.apply(def(9, 8, "inc_a"), "nine"), Applied::yes);  // 8 went while we were reading
  EXPECT_EQ(registry.apply(def(8, 7, "inc_a"), "eight"), Applied::ignored);
}

TEST(Registry, AfterCompactionARestatedDefWinsOverTheRivalThatWasMetFirst) {
  Registry registry;
  registry.apply(def(2, 1, "inc_a", "https://lost"), "lost");
  EXPECT_EQ(registry.apply(def(2, 1, "inc_a", "https://won"), "won", true), Applied::yes);
  EXPECT_EQ(hook(registry)->def.url, "https://won");
  EXPECT_TRUE(registry.mending().empty());
}

TEST(Registry, ARestatedDefOfAnOlderRevisionIsIgnored) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(def(2, 1, "inc_a"), "two");
  EXPECT_EQ(registry.apply(def(1, 0, "inc_a"), "one", true), Applied::ignored);
  EXPECT_EQ(to_mend(registry).second, "two");
}

TEST(Registry, SecretsMayComeBeforeTheirDef) {
  Registry registry;
  registry.apply(secret("sec_1", SecretState::active, 5, "inc_a"), "s1");
  EXPECT_EQ(hook(registry), nullptr);
  registry.apply(def(1, 0, "inc_a"), "one");
  ASSERT_EQ(hook(registry)->secrets.size(), 1u);
  EXPECT_EQ(hook(registry)->secrets[0].id, "sec_1");
}

TEST(Registry, SecretsStandNewestFirstAndSignWhileTheyMay) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(secret("sec_old", SecretState::expiring, 1, "inc_a", 100), "s1");
  registry.apply(secret("sec_new", SecretState::active, 3, "inc_a"), "s2");
  registry.apply(secret("sec_gone", SecretState::revoked, 2, "inc_a"), "s3");
  const auto ids_at = [&](std::int64_t now) {
    std::vector<std::string> ids;
    for (const auto* one : hook(registry)->signing_secrets(from_ms<LogTime>(now))) ids.push_back(one->id);
    return ids;
  };
  EXPECT_EQ(ids_at(99), (std::vector<std::string>{"sec_new", "sec_old"}));
  EXPECT_EQ(ids_at(100), (std::vector<std::string>{"sec_new"}));
}

TEST(Registry, OnlySecretsThatTheDefNamesSign) {
  Registry registry;
  registry.apply(secret("sec_a", SecretState::active, 1, "inc_a"), "s1");
  registry.apply(secret("sec_b", SecretState::active, 2, "inc_a"), "s2");
  EndpointDef named = def(1, 0, "inc_a");
  named.secret_ids = {"sec_a"};
  registry.apply(named, "one");
  const auto signing = [&] {
    std::vector<std::string> ids;
    for (const auto* one : hook(registry)->signing_secrets(from_ms<LogTime>(9))) ids.push_back(one->id);
    return ids;
  };
  EXPECT_EQ(signing(), (std::vector<std::string>{"sec_a"}));
  // Of two writers at once the second is ignored, and so is what it would have named.
  registry.apply(secret("sec_c", SecretState::active, 3, "inc_a"), "s3");
  EndpointDef late = def(1, 0, "inc_a");
  late.secret_ids = {"sec_c"};
  EXPECT_EQ(registry.apply(late, "late"), Applied::ignored);
  EXPECT_EQ(signing(), (std::vector<std::string>{"sec_a"}));
  // A def of an older version names none: all of them sign.
  registry.apply(def(2, 1, "inc_a"), "two");
  EXPECT_EQ(signing(), (std::vector<std::string>{"sec_c", "sec_b", "sec_a"}));
}

TEST(Registry, SecretsOnlyMoveForward) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  const auto state = [&] { return hook(registry)->secrets.at(0); };
  EXPECT_EQ(registry.apply(secret("s", SecretState::expiring, 1, "inc_a", 500), "e500"), Applied::yes);
  EXPECT_EQ(registry.apply(secret("s", SecretState::active, 1, "inc_a"), "a"), Applied::ignored);
  EXPECT_EQ(to_mend(registry), std::make_pair(std::string("acme/hook/inc_a/secret/s"), std::string("e500")));
  EXPECT_EQ(registry.apply(secret("s", SecretState::expiring, 1, "inc_a", 400), "e400"), Applied::yes);
  EXPECT_EQ(registry.apply(secret("s", SecretState::expiring, 1, "inc_a", 450), "e450"), Applied::ignored);
  EXPECT_EQ(state().expires_at, 400);
  EXPECT_EQ(registry.apply(secret("s", SecretState::revoked, 1, "inc_a"), "r"), Applied::yes);
  EXPECT_EQ(registry.apply(secret("s", SecretState::expiring, 1, "inc_a", 1), "e1"), Applied::ignored);
  EXPECT_EQ(state().state, SecretState::revoked);
}

TEST(Registry, ASecretSealedAnewTakesTheFormerOnesPlace) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(secret("s", SecretState::active, 1, "inc_a"), "a");
  EndpointSecret again = secret("s", SecretState::active, 1, "inc_a");
  again.sealed = "under another key";
  EXPECT_EQ(registry.apply(again, "again"), Applied::yes);
  ASSERT_EQ(hook(registry)->secrets.size(), 1u);
  EXPECT_EQ(hook(registry)->secrets[0].sealed, "under another key");
}

TEST(Registry, ADeletedEndpointIsNoLongerFound) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(deleted(2, 1, "inc_a"), "two");
  EXPECT_EQ(hook(registry), nullptr);
  ASSERT_NE(registry.find_deleted(kTenant, kHook), nullptr);
  EXPECT_EQ(registry.find_deleted(kTenant, kHook)->def.revision, 2u);
  EXPECT_TRUE(registry.endpoints_of(kTenant).empty());
  EXPECT_TRUE(registry.all().empty());
  EXPECT_EQ(registry.find(kTenant, Target{kHook, Incarnation("inc_a")}), nullptr);
}

TEST(Registry, NothingOfTheFormerLifeReachesItsNamesake) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(secret("sec_a", SecretState::active, 1, "inc_a"), "sa");
  registry.apply(health("inc_a", 0, 0, Stop::disabled));
  registry.apply(deleted(2, 1, "inc_a"), "two");
  EXPECT_EQ(registry.apply(def(3, 2, "inc_b"), "three"), Applied::yes);
  registry.apply(secret("sec_late", SecretState::active, 9, "inc_a"), "sl");
  registry.apply(health("inc_a", 1, 0, Stop::quarantined));

  ASSERT_NE(hook(registry), nullptr);
  EXPECT_TRUE(hook(registry)->secrets.empty());
  EXPECT_TRUE(hook(registry)->health.empty());
  EXPECT_EQ(hook(registry)->stopped().stop, Stop::none);
  EXPECT_EQ(registry.find(kTenant, Target{kHook, Incarnation("inc_a")}), nullptr);
  EXPECT_EQ(registry.find(kTenant, Target{kHook, Incarnation("inc_b")}), hook(registry));
}

TEST(Registry, ALateEchoOfADeletedLifeDoesNotBringItBack) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(deleted(2, 1, "inc_a"), "two");
  EXPECT_EQ(registry.apply(def(1, 0, "inc_a"), "one", true), Applied::ignored);
  EXPECT_EQ(registry.apply(def(2, 1, "inc_a"), "update"), Applied::ignored);
  EXPECT_EQ(hook(registry), nullptr);
}

TEST(Registry, HealthFromBeforeTheLastEnableIsVoid) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(health("inc_a", 0, 0, Stop::disabled));
  EXPECT_EQ(hook(registry)->stopped().stop, Stop::disabled);
  EndpointDef enabled = def(2, 1, "inc_a");
  enabled.enable_revision = 2;
  registry.apply(enabled, "two");
  EXPECT_EQ(hook(registry)->stopped().stop, Stop::none);
  registry.apply(health("inc_a", 0, 0, Stop::disabled));
  EXPECT_EQ(hook(registry)->stopped().stop, Stop::none);
  registry.apply(health("inc_a", 0, 2, Stop::quarantined));
  EXPECT_EQ(hook(registry)->stopped().stop, Stop::quarantined);
}

TEST(Registry, AnEndpointIsAsWellAsTheWorstOfItsPartitions) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  registry.apply(health("inc_a", 0, 0, Stop::none));
  registry.apply(health("inc_a", 1, 0, Stop::quarantined, 300, "unauthorized_5_in_a_row"));
  EXPECT_EQ(hook(registry)->stopped().stop, Stop::quarantined);
  registry.apply(health("inc_a", 2, 0, Stop::disabled, 500, "gone_410"));
  registry.apply(health("inc_a", 3, 0, Stop::disabled, 400, "failing_24h"));
  const Endpoint::Stopped stopped = hook(registry)->stopped();
  EXPECT_EQ(stopped.stop, Stop::disabled);
  EXPECT_EQ(stopped.why, "failing_24h");
  EXPECT_EQ(stopped.since, 400);
  registry.apply(health("inc_a", 2, 0, Stop::none));
  registry.apply(health("inc_a", 3, 0, Stop::none));
  EXPECT_EQ(hook(registry)->stopped().stop, Stop::quarantined);
}

TEST(Registry, AnOperatorsDisableComesFirst) {
  Registry registry;
  EndpointDef disabled = def(1, 0, "inc_a");
  disabled.disabled = true;
  disabled.disabled_why = "asked for by the customer";
  disabled.changed_by = "ann";
  disabled.changed_at = 77;
  registry.apply(disabled, "one");
  registry.apply(health("inc_a", 0, 0, Stop::disabled));
  const Endpoint::Stopped stopped = hook(registry)->stopped();
  EXPECT_EQ(stopped.why, "asked for by the customer");
  EXPECT_EQ(stopped.by, "ann");
  EXPECT_EQ(stopped.since, 77);
}

TEST(Registry, EachChangeRaisesTheVersion) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  std::uint64_t version = hook(registry)->version;
  const auto raised = [&] { return std::exchange(version, hook(registry)->version) < version; };
  registry.apply(def(2, 1, "inc_a"), "two");
  EXPECT_TRUE(raised());
  registry.apply(secret("s", SecretState::active, 1, "inc_a"), "s");
  EXPECT_TRUE(raised());
  registry.apply(health("inc_a", 0, 0, Stop::quarantined));
  EXPECT_TRUE(raised());
  registry.apply(health("inc_a", 0, 0, Stop::quarantined));
  EXPECT_FALSE(raised());
}

Event event_of(std::string type, std::string tenant = "acme") {
  Event event;
  event.type = std::move(type);
  event.tenant = TenantId(std::move(tenant));
  return event;
}

TEST(Route, GoesToTheTenantsLivingSubscribersStoppedOnesIncluded) {
  Registry registry;
  const auto declare = [&](std::string id, std::vector<std::string> types) {
    EndpointDef one = def(1, 0, "inc_" + id);
    one.id = EndpointId(id);
    one.types = std::move(types);
    one.disabled = id == "c";
    registry.apply(one, "raw " + id);
  };
  declare("a", {"order.created"});
  declare("b", {"user.*", "order.*"});
  declare("c", {"*"});
  declare("d", {"order.cancelled"});
  const auto ids = [&](const Event& event) {
    std::string joined;
    for (const Endpoint* endpoint : registry.route(event)) joined += endpoint->def.id.str();
    return joined;
  };
  EXPECT_EQ(ids(event_of("order.created")), "abc");
  EXPECT_EQ(ids(event_of("order.cancelled")), "bcd");
  EXPECT_EQ(ids(event_of("orders")), "c");
  EXPECT_EQ(ids(event_of("order.created", "other")), "");
}

TEST(Route, AReplayGoesToItsTargetAloneAndOnlyIfThatLives) {
  Registry registry;
  registry.apply(def(1, 0, "inc_a"), "one");
  Event replay = event_of("type.it.never.subscribed.to");
  replay.target = Target{kHook, Incarnation("inc_a")};
  ASSERT_EQ(registry.route(replay).size(), 1u);
  replay.target = Target{kHook, Incarnation("inc_other")};
  EXPECT_TRUE(registry.route(replay).empty());
  registry.apply(deleted(2, 1, "inc_a"), "two");
  replay.target = Target{kHook, Incarnation("inc_a")};
  EXPECT_TRUE(registry.route(replay).empty());
  registry.apply(def(3, 2, "inc_b"), "three");
  EXPECT_TRUE(registry.route(replay).empty());
}

TEST(TypePattern, MatchesExactlyByPrefixOrAll) {
  EXPECT_TRUE(matches_type("*", "anything"));
  EXPECT_TRUE(matches_type("order.created", "order.created"));
  EXPECT_FALSE(matches_type("order.created", "order.created.v2"));
  EXPECT_TRUE(matches_type("order.*", "order.created"));
  EXPECT_TRUE(matches_type("order.*", "order.created.v2"));
  EXPECT_FALSE(matches_type("order.*", "order"));
  EXPECT_FALSE(matches_type("order.*", "order."));
  EXPECT_FALSE(matches_type("order.*", "orders.created"));
}

TEST(TypePattern, AStarStandsAloneOrLastAfterADot) {
  for (const char* good : {"*", "order", "order.created", "order.*", "com.example/order.v1", "a.b.c.*"}) {
    EXPECT_TRUE(is_type_pattern(good)) << good;
  }
  for (const char* bad :
       {"", "**", "*.created", "order*", "order.*.created", ".*", "a b", "caf\xc3\xa9", "x\n"}) {
    EXPECT_FALSE(is_type_pattern(bad)) << bad;
  }
  EXPECT_FALSE(is_type_pattern(std::string(256, 'a')));
}

TEST(Tokens, AreAcceptedUntilRevokedAndStayRevoked) {
  Registry registry;
  EXPECT_FALSE(registry.has_tokens());
  registry.apply(TokenFact{"tok_1", "00aa", "admin", 1, false}, "t1");
  registry.apply(TokenFact{"tok_2", "00bb", "admin", 1, false}, "t2");
  EXPECT_TRUE(registry.grant_of("00aa", 1));
  EXPECT_FALSE(registry.grant_of("00ac", 1));
  EXPECT_FALSE(registry.grant_of("00a", 1));
  EXPECT_FALSE(registry.grant_of("", 1));
  registry.apply(TokenFact{"tok_1", "00aa", "admin", 1, true}, "t1 revoked");
  EXPECT_EQ(registry.apply(TokenFact{"tok_1", "00aa", "admin", 1, false}, "t1"), Applied::ignored);
  EXPECT_FALSE(registry.grant_of("00aa", 1));
  EXPECT_TRUE(registry.has_tokens());
  EXPECT_EQ(to_mend(registry), std::make_pair(std::string("~tokens/tok_1"), std::string("t1 revoked")));
}

TEST(Tokens, GrantWhatTheyHoldUntilTheyExpire) {
  Registry registry;
  TokenFact token{"tok_1", "00aa", "events:publish replays:write galaxies:build", 1, false};
  token.tenant = TenantId("acme");
  token.name = "shop";
  token.expires_at = 100;
  registry.apply(token, "t1");
  const auto grant = registry.grant_of("00aa", 99);
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->token_id, "tok_1");
  EXPECT_EQ(grant->name, "shop");
  EXPECT_EQ(format_scopes(grant->scopes), "events:publish replays:write")
      << "an unknown scope allows nothing";
  EXPECT_TRUE(grant->sees(TenantId("acme")));
  EXPECT_FALSE(grant->sees(TenantId("other")));
  EXPECT_FALSE(registry.grant_of("00aa", 100));
}

TEST(Registry, WantsNothingRestatedForAFirstRecordThatContradictsItself) {
  Registry registry;
  EventTypeDef type;
  type.name = "order.created";
  type.revision = type.replaces = 1;
  EXPECT_EQ(registry.apply(type, "raw"), Applied::ignored);
  EXPECT_TRUE(registry.mending().empty());
}

TEST(Identity, TheFirstOneCountsAndADifferentOneIsRefused) {
  Registry registry;
  EXPECT_FALSE(registry.identity());
  const IdentityFact first{LogIdentity("log_1"), Environment("production"), ""};
  const IdentityFact second{LogIdentity("log_2"), Environment("production"), ""};
  EXPECT_EQ(registry.apply(first, "first"), Applied::yes);
  EXPECT_EQ(registry.apply(second, "second"), Applied::ignored);
  EXPECT_EQ(registry.identity()->identity, LogIdentity("log_1"));
  EXPECT_EQ(to_mend(registry), std::make_pair(std::string("~identity"), std::string("first")));
  EXPECT_EQ(registry.apply(first, "first", true), Applied::same);
  EXPECT_TRUE(registry.mending().empty());
}

TEST(RecordKeys, AreStored) {
  EXPECT_EQ(def_key(kTenant, kHook), "acme/hook/def");
  EXPECT_EQ(secret_key(secret("sec_1", SecretState::active, 1, "inc_a")), "acme/hook/inc_a/secret/sec_1");
  EXPECT_EQ(health_key(health("inc_a", 11, 0, Stop::none)), "acme/hook/inc_a/11");
  EXPECT_EQ(token_key("tok_1"), "~tokens/tok_1");
  EXPECT_EQ(kIdentityKey, "~identity");
}

}  // namespace
}  // namespace postrider
