#include "engine/flow/registry_view.h"

#include <algorithm>
#include <utility>

#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::size_t kJudgedMax = 4096;
constexpr Millis kLookAtKeysEvery{20};
constexpr Millis kTellKeysEvery{1000};
constexpr Millis kRotateEvery = std::chrono::minutes(10);
constexpr std::size_t kRotatedAtOnce = 100;

}  // namespace

void RegistryView::start() {
  for (Topic topic : {Topic::endpoints, Topic::health, Topic::keys}) {
    follows_[topic] = Follow{};
    context_.ports.log.tail(topic, 0, 0);
    context_.ports.log.ask_end(topic, 0);
  }
}

bool RegistryView::read_once() const {
  if (follows_.empty()) return false;
  return std::all_of(follows_.begin(), follows_.end(),
                     [](const auto& follow) { return follow.second.read(); });
}

bool RegistryView::fresh(SteadyTime now) const {
  return fresh_as_of_ && now - *fresh_as_of_ < kFreshFor && read_once();
}

void RegistryView::on_end(Topic topic, Offset end, SteadyTime asked_at) {
  Follow& follow = follows_[topic];
  if (!follow.first_end) follow.first_end = end;
  if (topic != Topic::endpoints) return;
  if (applied_ >= end) {
    fresh_as_of_ = std::max(fresh_as_of_.value_or(asked_at), asked_at);
  } else {
    ends_.push_back({end, asked_at});
  }
}

void RegistryView::on_tail(const Record& record) {
  Follow& follow = follows_[record.topic];
  follow.applied = record.offset + 1;
  const Environment& environment = context_.config.environment;
  if (record.topic == Topic::endpoints) {
    apply_endpoints(record);
  } else if (!record.value) {
    return;
  } else if (record.topic == Topic::health) {
    if (auto fact = wire::decode_health(environment, *record.value)) {
      registry_.apply(*fact);
    } else {
      context_.ports.observer.note("error", "health_record_refused", fact.error().message, &fact.error());
    }
  } else if (record.topic == Topic::keys) {
    if (auto fact = wire::decode_key(environment, *record.value)) {
      context_.ports.keys.apply(*fact);
      key_under_way_.erase(fact->tenant);
      if (!key_waits_.empty()) look_at_keys(context_.steady());
    } else {
      context_.ports.observer.note("error", "key_record_refused", fact.error().message, &fact.error());
    }
  }
  if (changed_) changed_();
}

void RegistryView::apply_endpoints(const Record& record) {
  bool applied = false;
  if (record.value) {
    auto fact = wire::decode_registry(context_.config.environment, *record.value);
    if (!fact) {
      context_.ports.observer.note("error", "registry_record_refused", fact.error().message, &fact.error());
    } else {
      applied = std::visit(
          [&](const auto& value) {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::monostate>) {
              return false;
            } else {
              return registry_.apply(value, *record.value, wire::is_restated(record.headers)) !=
                     Registry::Applied::ignored;
            }
          },
          *fact);
    }
  }
  applied_ = record.offset + 1;
  judged_[record.offset] = applied;
  if (judged_.size() > kJudgedMax) judged_.erase(judged_.begin());
  std::erase_if(ends_, [&](const Asked& asked) {
    if (asked.end > applied_) return false;
    fresh_as_of_ = std::max(fresh_as_of_.value_or(asked.asked_at), asked.asked_at);
    return true;
  });
  if (auto own = own_.find(record.offset); own != own_.end()) {
    Written written = std::move(own->second);
    own_.erase(own);
    written(applied);
  }
}

void RegistryView::tick(SteadyTime now) {
  if (now >= next_ask_) {
    next_ask_ = now + kAskEvery;
    context_.ports.log.ask_end(Topic::endpoints, 0);
    // The others' are asked for once, yet a partition without a leader answers nothing.
    for (const auto& [topic, follow] : follows_) {
      if (topic != Topic::endpoints && !follow.first_end) context_.ports.log.ask_end(topic, 0);
    }
  }
  if (!key_waits_.empty() && now >= next_key_look_) look_at_keys(now);
  if (now >= next_told_) {
    next_told_ = now + kTellKeysEvery;
    tell_what_keys_did();
    rotate_old_keys(now);
  }
  // Everybody who sees an ignored record last would append; the later ones are harmless.
  if (now >= next_mend_) {
    next_mend_ = now + std::chrono::seconds(5);
    mend(now);
  }
}

void RegistryView::mend(SteadyTime now) {
  if (!fresh(now)) return;
  for (auto& [key, raw] : registry_.mending()) {
    NewRecord record{.topic = Topic::endpoints,
                     .partition = 0,
                     .key = key,
                     .value = raw,
                     .headers = wire::restated_headers()};
    appender_.append(std::move(record), [](const Appended&) {});
  }
}

void RegistryView::write(std::string key, std::string value, Written written) {
  NewRecord record{.topic = Topic::endpoints,
                   .partition = 0,
                   .key = std::move(key),
                   .value = std::move(value),
                   .headers = {}};
  appender_.append(std::move(record), [this, written = std::move(written)](const Appended& appended) {
    if (appended.status != Appended::Status::acknowledged) {
      written(fail(Errc::unavailable, "SERVICE_UNAVAILABLE",
                   "the log did not acknowledge the change: it may or may not be in force",
                   "ask for the endpoint again before you repeat the command"));
      return;
    }
    if (appended.offset < applied_) {
      const auto judged = judged_.find(appended.offset);
      written(judged != judged_.end() && judged->second);
      return;
    }
    own_[appended.offset] = written;
  });
}

void RegistryView::write_health(const HealthFact& fact) {
  NewRecord record{.topic = Topic::health,
                   .partition = 0,
                   .key = health_key(fact),
                   .value = wire::encode(context_.config.environment, fact),
                   .headers = {}};
  const std::string key = record.key;
  const std::uint64_t serial = ++health_serial_;
  newest_health_[key] = serial;
  // Said again unless something newer was said meanwhile, behind which it would land.
  appender_.append(std::move(record), [this, fact, key, serial](const Appended& appended) {
    const auto newest = newest_health_.find(key);
    if (newest == newest_health_.end() || newest->second != serial) return;
    if (appended.status == Appended::Status::unknown) {
      write_health(fact);
    } else {
      newest_health_.erase(newest);
    }
  });
}

// --- keys

void RegistryView::ensure_key(const TenantId& tenant, std::function<void(Result<void>)> done) {
  if (context_.ports.keys.ready(tenant)) return done({});
  key_waits_.push_back({tenant, std::move(done)});
  look_at_keys(context_.steady());
}

// Answers whoever waits for a key that can be used by now, or cannot be had.
void RegistryView::look_at_keys(SteadyTime now) {
  next_key_look_ = now + kLookAtKeysEvery;
  std::set<TenantId> tenants;
  for (const KeyWait& wait : key_waits_) tenants.insert(wait.tenant);
  for (const TenantId& tenant : tenants) {
    if (auto answer = key_for(tenant)) answer_key_waits(tenant, *answer);
  }
}

// nullopt: not known yet.
std::optional<Result<void>> RegistryView::key_for(const TenantId& tenant) {
  Keys& keys = context_.ports.keys;
  if (keys.has_key(tenant)) {
    key_under_way_.erase(tenant);
    auto ready = keys.ready(tenant);
    if (!ready && is_pending(ready.error())) return std::nullopt;
    return ready;
  }
  if (key_under_way_.contains(tenant)) return std::nullopt;
  auto made = keys.make_key(tenant);
  if (made) {
    append_key(*made);
    return std::nullopt;
  }
  if (is_pending(made.error())) return std::nullopt;
  return Result<void>(fail(made.error()));
}

void RegistryView::append_key(const WrappedKeyFact& key) {
  key_under_way_[key.tenant] = true;
  NewRecord record{.topic = Topic::keys,
                   .partition = 0,
                   .key = key_record_key(key),
                   .value = wire::encode(context_.config.environment, key),
                   .headers = {}};
  appender_.append(std::move(record), [this, tenant = key.tenant](const Appended& appended) {
    if (appended.status == Appended::Status::acknowledged) return;  // apply() answers
    key_under_way_.erase(tenant);
    answer_key_waits(tenant, fail(appended.error));
  });
}

void RegistryView::answer_key_waits(const TenantId& tenant, const Result<void>& answer) {
  std::vector<KeyWait> answered;
  std::erase_if(key_waits_, [&](KeyWait& wait) {
    if (wait.tenant != tenant) return false;
    answered.push_back(std::move(wait));
    return true;
  });
  for (KeyWait& wait : answered) wait.done(answer);
}

// Each instance does so: should two make a successor at once, the one made first seals, and both open.
void RegistryView::rotate_old_keys(SteadyTime now) {
  const Millis after = context_.config.rotate_keys_after;
  if (after <= Millis(0) || !fresh(now)) return;
  if (now >= next_rotation_) {
    const bool first = next_rotation_ == SteadyTime();
    // Apart from one another: who comes later finds it done.
    const auto apart = context_.ports.random.next() % static_cast<std::uint64_t>(kRotateEvery.count());
    next_rotation_ = now + (first ? Millis(0) : kRotateEvery) + Millis(static_cast<std::int64_t>(apart));
    const std::int64_t before = to_ms(context_.ports.clock.wall() - after);
    for (TenantId& tenant : context_.ports.keys.sealed_by_keys_before(before)) {
      if (!first && rotating_.size() < kRotatedAtOnce) rotating_.insert(std::move(tenant));
    }
  }
  std::erase_if(rotating_, [this](const TenantId& tenant) {
    auto made = context_.ports.keys.make_key(tenant);
    if (made) append_key(*made);
    return made || !is_pending(made.error());  // what failed has its turn again
  });
}

// Wraps, unwraps and rotations: for the tenants to read. What the log does not take is lost with its line in
// the log of the process as the only trace: nothing may wait for it.
void RegistryView::tell_what_keys_did() {
  for (AuditFact& fact : context_.ports.keys.tick()) {
    fact.environment = context_.config.environment.str();
    fact.actor = context_.config.instance;
    fact.at = to_ms(context_.ports.clock.wall());
    NewRecord record;
    record.topic = Topic::audit;
    record.key = fact.tenant.str();
    record.value = wire::encode(context_.config.environment, fact);
    appender_.append(std::move(record), [](const Appended&) {});
  }
}

}  // namespace postrider::flow
