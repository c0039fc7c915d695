#include "engine/flow/registry_view.h"

#include <algorithm>
#include <utility>

#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::size_t kJudgedMax = 4096;

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
      run_waiting_keys();
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

void RegistryView::ensure_key(const TenantId& tenant, std::function<void(Result<void>)> done) {
  if (context_.ports.keys.has_key(tenant)) {
    done({});
    return;
  }
  key_waits_.push_back({tenant, std::move(done)});
  if (key_under_way_[tenant]) return;
  auto made = context_.ports.keys.make_key(tenant);
  if (!made) {
    auto waiting = std::move(key_waits_.back());
    key_waits_.pop_back();
    waiting.done(fail(made.error()));
    return;
  }
  key_under_way_[tenant] = true;
  NewRecord record{.topic = Topic::keys,
                   .partition = 0,
                   .key = (tenant.empty() ? std::string("~environment") : tenant.str()) + "/" + made->key_id,
                   .value = wire::encode(context_.config.environment, *made),
                   .headers = {}};
  appender_.append(std::move(record), [this, tenant](const Appended& appended) {
    key_under_way_[tenant] = false;
    if (appended.status == Appended::Status::acknowledged) return;  // apply() answers
    std::vector<KeyWait> failed;
    std::erase_if(key_waits_, [&](KeyWait& wait) {
      if (wait.tenant != tenant) return false;
      failed.push_back(std::move(wait));
      return true;
    });
    for (KeyWait& wait : failed) wait.done(fail(appended.error));
  });
}

void RegistryView::run_waiting_keys() {
  std::vector<KeyWait> ready;
  std::erase_if(key_waits_, [&](KeyWait& wait) {
    if (!context_.ports.keys.has_key(wait.tenant)) return false;
    ready.push_back(std::move(wait));
    return true;
  });
  for (KeyWait& wait : ready) wait.done({});
}

}  // namespace postrider::flow
