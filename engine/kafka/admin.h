#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/kafka/client.h"

// librdkafka's admin calls as blocking functions. Each gives up after `timeout`.
namespace postrider::kafka {

using Entries = std::map<std::string, std::string>;  // setting → value

struct TopicToMake {
  std::string name;
  Partition partitions;
  int replication;  // -1: the broker's default
  Entries settings;
};
// True: made; false: it was there.
Result<bool> make_topic(const Client& client, const TopicToMake& topic, Millis timeout);

Result<void> set_partitions(const Client& client, const std::string& topic, Partition total, Millis timeout);

struct Described {
  Entries all;        // defaults included
  Entries explicit_;  // set on the topic itself
};
Result<Described> describe_topic(const Client& client, const std::string& topic, Millis timeout);
Result<Entries> describe_broker(const Client& client, int broker, Millis timeout);

// Replaces *all* settings of the topic by these: what was set before must be among them.
Result<void> set_settings(const Client& client, const std::string& topic, const Entries& settings,
                          Millis timeout);

}  // namespace postrider::kafka
