#include "engine/kafka/topic_settings.h"

#include <charconv>

namespace postrider::kafka {
namespace {

using Rule = Setting::Rule;
using Weight = TopicDifference::Weight;

constexpr std::int64_t kSecond = 1000, kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;
// A producer's record of 1 MiB with its headers; Kafka's own default is 1 MiB and 12 bytes for the whole
// batch.
constexpr std::int64_t kEventsBytesMax = 1024 * 1024 + 64 * 1024;
constexpr std::int64_t kRoomForOurFields = 64 * 1024;

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? value : 0;
}

Setting exactly(std::string name, std::string value, Weight weight) {
  return {std::move(name), value, Rule::equals, value, weight};
}
Setting at_least(std::string name, std::int64_t value, Weight weight) {
  return {std::move(name), std::to_string(value), Rule::at_least, std::to_string(value), weight};
}
Setting at_most(std::string name, std::int64_t value, Weight weight) {
  return {std::move(name), std::to_string(value), Rule::at_most, std::to_string(value), weight};
}

void add(std::vector<Setting>& all, std::vector<Setting> more) {
  for (Setting& each : more) all.push_back(std::move(each));
}

// Kept until a newer record of the same key stands behind it for `lag`.
std::vector<Setting> compacted(std::int64_t lag) {
  return {exactly("cleanup.policy", "compact", Weight::refuse),
          at_least("min.compaction.lag.ms", lag, Weight::refuse),
          // A view older than half of this is rebuilt: a tombstone that is gone could resurrect (DESIGN §7).
          at_least("delete.retention.ms", kDay, Weight::refuse)};
}

// The active segment is never compacted, so it must end early and be small.
std::vector<Setting> compacted_soon() {
  return {at_most("segment.bytes", 64 * 1024 * 1024, Weight::warn),
          at_most("segment.ms", 10 * kMinute, Weight::warn),
          {"min.cleanable.dirty.ratio", "0.1", Rule::equals, "0.1", Weight::warn}};
}

std::vector<Setting> kept_for(std::int64_t ms, std::int64_t at_least_ms) {
  return {exactly("cleanup.policy", "delete", Weight::refuse),
          {"retention.ms", std::to_string(ms), Rule::at_least, std::to_string(at_least_ms), Weight::refuse}};
}

std::vector<Setting> own_settings(Topic topic, const TopicPlan& plan) {
  switch (topic) {
    case Topic::events:
      return kept_for(plan.events_retention.count(), plan.lifetime_max.count() + kDay);
    case Topic::attempts:
      return kept_for(30 * kDay, 30 * kDay);
    case Topic::dead_letters:
      return kept_for(7 * kDay, 7 * kDay);
    case Topic::audit:
      return kept_for(365 * kDay, 365 * kDay);
    case Topic::requests: {
      // An Idempotency-Key holds for 24 h. Whole segments are deleted, so they must end early.
      auto all = kept_for(25 * kHour, 25 * kHour);
      all.push_back(at_most("segment.ms", kHour, Weight::warn));
      return all;
    }
    case Topic::replays:
      return kept_for(30 * kDay, 30 * kDay);
    case Topic::endpoints:
      // A record that the fold ignored can be mended until the attempts that refer to it are gone (DESIGN
      // §5).
      return compacted(30 * kDay);
    case Topic::health: {
      auto all = compacted(0);
      add(all, compacted_soon());
      return all;
    }
    case Topic::keys: {
      auto all = compacted(0);
      // A destroyed key is unreadable within two hours (DESIGN §11).
      all.push_back(at_most("max.compaction.lag.ms", kHour, Weight::refuse));
      add(all, compacted_soon());
      return all;
    }
    case Topic::parked: {
      auto all = compacted(10 * kMinute);
      add(all, compacted_soon());
      return all;
    }
  }
  return {};
}

}  // namespace

Partition partitions_of(Topic topic, Partition events) {
  switch (topic) {
    case Topic::events:
    case Topic::parked:
    case Topic::attempts:
    case Topic::dead_letters:
      return events;
    default:
      return 1;
  }
}

std::vector<Setting> settings_of(Topic topic, const TopicPlan& plan, int replicas) {
  std::vector<Setting> all = own_settings(topic, plan);
  all.push_back(exactly("message.timestamp.type", "LogAppendTime", Weight::refuse));
  all.push_back(exactly("retention.bytes", "-1", Weight::refuse));
  all.push_back(exactly("unclean.leader.election.enable", "false", Weight::refuse_in_production));
  const std::int64_t bytes = kEventsBytesMax + (topic == Topic::events ? 0 : kRoomForOurFields);
  // Of events the producers may choose; ours are compared with it by max_message_bytes_for().
  all.push_back({"max.message.bytes", std::to_string(bytes), Rule::at_least,
                 std::to_string(topic == Topic::events ? 256 * 1024 : bytes), Weight::refuse});
  const std::string insync = replicas >= 3 ? "2" : "1";
  all.push_back({"min.insync.replicas", insync, Rule::at_least, "2", Weight::refuse_in_production});
  for (auto& [name, value] :
       plan.overrides.contains(topic) ? plan.overrides.at(topic) : std::map<std::string, std::string>{}) {
    std::erase_if(all, [&](const Setting& each) { return each.name == name; });
    all.push_back(exactly(name, value, Weight::warn));
  }
  return all;
}

std::optional<std::string> differs(const Setting& setting, std::string_view actual) {
  const bool limitless = actual == "-1";
  switch (setting.rule) {
    case Rule::equals:
      if (actual == setting.bound) return std::nullopt;
      return setting.name + " is " + std::string(actual) + ", must be " + setting.bound;
    case Rule::at_least:
      if (limitless || number(actual) >= number(setting.bound)) return std::nullopt;
      return setting.name + " is " + std::string(actual) + ", must be at least " + setting.bound;
    case Rule::at_most:
      if (!limitless && number(actual) <= number(setting.bound)) return std::nullopt;
      return setting.name + " is " + std::string(actual) + ", must be at most " + setting.bound;
  }
  return std::nullopt;
}

std::string max_message_bytes_for(std::string_view of_events) {
  return std::to_string(number(of_events) + kRoomForOurFields);
}

}  // namespace postrider::kafka
