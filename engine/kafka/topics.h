#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/kafka/kafka_config.h"
#include "engine/ports/log.h"

// The topics of one environment: made, checked and grown (DESIGN §3). Blocking; for tools and for the
// daemon's start. Settings are compared as the broker tells them, its own defaults included.
namespace postrider {

struct TopicPlan {
  Partition partitions = 12;  // of events, parked, attempts and dead-letters; the others have one
  int replication = -1;       // -1: the broker's default
  Millis events_retention = std::chrono::hours(14 * 24);  // at least lifetime_max + 24 h
  Millis lifetime_max = std::chrono::hours(96);
  // Settings by topic that win over ours, e.g. segment.ms in tests.
  std::map<Topic, std::map<std::string, std::string>> overrides;
};

struct TopicDifference {
  // refuse: data could be lost. refuse_in_production: likewise, should one machine be lost; every other
  // environment only warns. warn: works, but not as designed.
  enum class Weight { warn, refuse_in_production, refuse };
  Weight weight = Weight::warn;
  std::string topic;     // full name; empty: of the brokers
  std::string sentence;  // what is, and what should be
};
// Whether a daemon of that environment may start.
bool refuses(const TopicDifference& difference, const Environment& environment);

struct TopicsMade {
  std::vector<std::string> created;  // full names
  LogIdentity identity;              // the log's: written by the first create, read by all later ones
  bool identity_written = false;
};

// Makes what is missing and leaves what is there; writes the log's identity if there is none. Running it
// twice, or twice at once, is fine.
Result<TopicsMade> create_topics(const KafkaConfig& config, const TopicPlan& plan);

// Every difference to what the design asks for, worst first; empty: all is well. Of the plan, lifetime_max
// counts.
Result<std::vector<TopicDifference>> check_topics(const KafkaConfig& config, const TopicPlan& plan);

// Sets what check_topics() found wrong in topics' settings (not partitions, not replication). Returns a
// sentence for each topic it changed.
Result<std::vector<std::string>> mend_topics(const KafkaConfig& config, const TopicPlan& plan);

// parked, attempts and dead-letters first, then events: no moment shows a partition of events without its
// twins. Never shrinks: `invalid`. Keys move to other partitions: a tenant is on two for a while (DESIGN §4).
Result<void> grow_topics(const KafkaConfig& config, Partition partitions);

}  // namespace postrider
