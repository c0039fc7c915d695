// The registry's fold against histories that writers with stale views, late menders and compaction make.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>
#include <map>
#include <optional>
#include <variant>

#include "engine/core/registry.h"
#include "tests/core/registry_facts.h"

namespace postrider {
namespace {

struct Logged {
  std::string key;
  std::variant<EndpointDef, EndpointSecret, IdentityFact> fact;
  std::string raw;
  bool restated = false;
};
using History = std::vector<Logged>;

Registry::Applied apply(Registry& registry, const Logged& record) {
  return std::visit([&](const auto& fact) { return registry.apply(fact, record.raw, record.restated); },
                    record.fact);
}

// What can be observed of one endpoint's name, as text.
std::string look_at(const Registry& registry) {
  const TenantId tenant("acme");
  const EndpointId id("hook");
  const Endpoint* living = registry.find(tenant, id);
  const Endpoint* endpoint = living != nullptr ? living : registry.find_deleted(tenant, id);
  std::string seen = registry.identity() ? registry.identity()->identity.str() : "none";
  if (endpoint == nullptr) return seen;
  seen += living ? " living " : " deleted ";
  seen += endpoint->def.incarnation.str() + " r" + std::to_string(endpoint->def.revision) + " " +
          endpoint->def.url;
  for (const EndpointSecret& one : endpoint->secrets) {
    seen += " " + one.id + ":" + std::to_string(static_cast<int>(one.state)) + "@" +
            std::to_string(one.expires_at);
  }
  return seen;
}

// Writes a history as several instances would: each writer acts on a state that was current once.
class World {
 public:
  void step(int what) {
    switch (what) {
      case 0:
      case 1:
      case 2:
        write_def(false);
        break;
      case 3:
        write_def(true);
        break;
      case 4:
      case 5:
        write_secret();
        break;
      case 6:
        think_of_mending();
        break;
      case 7:
        land_one();
        break;
      default:
        append({std::string(kIdentityKey), IdentityFact{LogIdentity(unique("log_")), Environment("e"), ""},
                unique("identity "), false});
    }
  }
  void heal() {
    while (!mends_.empty()) land_one();
    while (!live_.mending().empty()) {
      think_of_mending();
      while (!mends_.empty()) land_one();
    }
  }
  const History& history() const { return history_; }
  const Registry& live() const { return live_; }

 private:
  std::string unique(std::string prefix) { return prefix + std::to_string(++counter_); }

  void append(Logged record) {
    by_raw_.emplace(record.raw, record);
    if (apply(live_, record) == Registry::Applied::yes) {
      if (const auto* fact = std::get_if<EndpointDef>(&record.fact)) was_current_.push_back(*fact);
    }
    history_.push_back(std::move(record));
  }

  // One of the last three defs that were current: only the newest is not stale.
  std::optional<EndpointDef> remembered() {
    if (was_current_.empty()) return std::nullopt;
    const auto back = *rc::gen::inRange<std::size_t>(0, std::min<std::size_t>(3, was_current_.size()));
    return was_current_[was_current_.size() - 1 - back];
  }

  void write_def(bool deletes) {
    const auto base = remembered();
    const std::uint64_t replaces = base ? base->revision : 0;
    const bool creates = !base || base->deleted;
    if (creates && deletes) return;
    EndpointDef fact = def(replaces + 1, replaces, creates ? unique("inc_") : base->incarnation.str(),
                           unique("https://example.com/"));
    fact.deleted = deletes;
    append({def_key(fact.tenant, fact.id), fact, unique("def "), false});
  }

  void write_secret() {
    const auto base = remembered();
    if (!base) return;
    EndpointSecret fact =
        secret("sec_" + std::to_string(*rc::gen::inRange(0, 2)),
               static_cast<SecretState>(*rc::gen::inRange(0, 3)), 1, base->incarnation.str());
    if (fact.state == SecretState::expiring) fact.expires_at = *rc::gen::inRange(1, 4);
    append({secret_key(fact), fact, unique("secret "), false});
  }

  // A mender's record is made now and lands later: what it restates may be old by then.
  void think_of_mending() {
    for (const auto& [key, raw] : live_.mending()) {
      Logged record = by_raw_.at(raw);
      record.restated = true;
      mends_.push_back(std::move(record));
    }
  }
  void land_one() {
    if (mends_.empty()) return;
    append(std::move(mends_.front()));
    mends_.pop_front();
  }

  Registry live_;
  History history_;
  std::map<std::string, Logged> by_raw_;
  std::vector<EndpointDef> was_current_;
  std::deque<Logged> mends_;
  int counter_ = 0;
};

void run(World& world) {
  for (const int what : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 9))) world.step(what);
  world.heal();
}

// What a reader gets that reads [0, `before`) and then the rest of a log whose first `cleaned` records have
// been compacted meanwhile.
History compacted(const History& history, std::size_t before, std::size_t cleaned) {
  std::map<std::string, std::size_t> last;
  for (std::size_t i = 0; i < cleaned; ++i) last[history[i].key] = i;
  History kept;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (i < before || i >= cleaned || last.at(history[i].key) == i) kept.push_back(history[i]);
  }
  return kept;
}

RC_GTEST_PROP(RegistryFold, AnyLegalCompactionOfAMendedHistoryGivesTheSameState, ()) {
  World world;
  run(world);
  const History& history = world.history();
  const auto cleaned = *rc::gen::inRange<std::size_t>(0, history.size() + 1);
  const auto before = *rc::gen::inRange<std::size_t>(0, cleaned + 1);
  Registry again;
  for (const Logged& record : compacted(history, before, cleaned)) apply(again, record);
  RC_ASSERT(look_at(again) == look_at(world.live()));
}

RC_GTEST_PROP(RegistryFold, SecretsAndDefsMayInterleaveAnyhow, ()) {
  World world;
  run(world);
  // Keys are independent: each key's own order is kept, the keys are dealt like cards.
  std::map<std::string, std::deque<Logged>> by_key;
  for (const Logged& record : world.history()) by_key[record.key].push_back(record);
  Registry again;
  while (!by_key.empty()) {
    auto chosen = by_key.begin();
    std::advance(chosen, *rc::gen::inRange<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(by_key.size())));
    apply(again, chosen->second.front());
    chosen->second.pop_front();
    if (chosen->second.empty()) by_key.erase(chosen);
  }
  RC_ASSERT(look_at(again) == look_at(world.live()));
}

RC_GTEST_PROP(RegistryFold, WhatIsIgnoredIsMendedAndThenNothingIsLeftToMend, ()) {
  World world;
  run(world);
  Registry again;
  for (const Logged& record : world.history()) {
    if (apply(again, record) == Registry::Applied::ignored) {
      RC_ASSERT(!again.mending().empty());
    }
  }
  RC_ASSERT(again.mending().empty());
}

RC_GTEST_PROP(RegistryFold, HealthAndDefsMayInterleaveAnyhow, ()) {
  // Enables raise the revision that counts; owners and zombies write under what they have seen.
  std::vector<EndpointDef> defs{def(1, 0, "inc_a")};
  const auto enables = *rc::gen::inRange<std::uint64_t>(0, 4);
  for (std::uint64_t i = 0; i < enables; ++i) {
    EndpointDef next = def(i + 2, i + 1, "inc_a");
    next.enable_revision = i + 2;
    defs.push_back(next);
  }
  std::vector<HealthFact> facts;
  const auto count = *rc::gen::inRange(0, 8);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t seen = defs[*rc::gen::inRange<std::size_t>(0, defs.size())].enable_revision;
    facts.push_back(
        health("inc_a", *rc::gen::inRange(0, 2), seen, static_cast<Stop>(*rc::gen::inRange(0, 3)), i));
  }
  const auto fold = [&](auto&& def_is_next) {
    Registry registry;
    std::size_t d = 0, f = 0;
    while (d < defs.size() || f < facts.size()) {
      if (f == facts.size() || (d < defs.size() && def_is_next())) {
        registry.apply(defs[d], "raw " + std::to_string(d));
        ++d;
      } else {
        registry.apply(facts[f++]);
      }
    }
    return registry.find(TenantId("acme"), EndpointId("hook"))->health;
  };
  const auto defs_first = fold([] { return true; });
  const auto mixed = fold([] { return *rc::gen::arbitrary<bool>(); });
  RC_ASSERT(defs_first == mixed);
}

}  // namespace
}  // namespace postrider
