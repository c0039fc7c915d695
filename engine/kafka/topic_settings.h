#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/kafka/topics.h"

// What our topics must be set to, as data; pure.
namespace postrider::kafka {

struct Setting {
  enum class Rule { equals, at_least, at_most };
  std::string name;
  std::string value;  // what `create` sets
  Rule rule;
  std::string bound;  // what `check` compares with; of an unlimited retention, -1 is above all
  TopicDifference::Weight weight;
};

Partition partitions_of(Topic topic, Partition events);

// `replicas`: of the topic as it is, or as it will be (min.insync.replicas follows it; at most 2).
std::vector<Setting> settings_of(Topic topic, const TopicPlan& plan, int replicas);

// "retention.bytes is 1000, must be -1"; nullopt: as it should be.
std::optional<std::string> differs(const Setting& setting, std::string_view actual);

// A record of ours carries an event besides its own fields.
std::string max_message_bytes_for(std::string_view of_events);

}  // namespace postrider::kafka
