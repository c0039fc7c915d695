#include "engine/kafka/topics.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <thread>

#include "engine/core/registry.h"
#include "engine/kafka/admin.h"
#include "engine/kafka/kafka_client.h"
#include "engine/kafka/topic_settings.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace kafka {
namespace {

using Weight = TopicDifference::Weight;
constexpr Millis kAdminPatience{30'000};
constexpr std::string_view kGroupOffsets = "__consumer_offsets";

struct Cluster {
  std::unique_ptr<Client> client;
  TopicShapes shapes;
  TopicShape offsets;  // __consumer_offsets; 0 partitions: not there yet
  std::vector<int> brokers;
};

Result<Cluster> look_at(const KafkaConfig& config) {
  if (auto done = check(config); !done) return fail(done.error());
  // A consumer: a producer's question for a topic may make it.
  auto client = Client::open(config, RD_KAFKA_CONSUMER, {});
  if (!client) return fail(client.error());
  Cluster cluster;
  cluster.client = std::move(*client);
  auto shapes = topic_shapes(*cluster.client, config, config.reach_timeout);
  if (!shapes) return fail(shapes.error());
  cluster.shapes = *shapes;

  const TopicHandle offsets(rd_kafka_topic_new(cluster.client->get(), kGroupOffsets.data(), nullptr));
  const rd_kafka_metadata_t* raw = nullptr;
  const auto err = rd_kafka_metadata(cluster.client->get(), 0, offsets.get(), &raw,
                                     static_cast<int>(config.reach_timeout.count()));
  if (err) return fail(to_error(err, "asking for the brokers"));
  const Metadata metadata(raw);
  for (int i = 0; i < metadata->broker_cnt; ++i) cluster.brokers.push_back(metadata->brokers[i].id);
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const auto& topic = metadata->topics[i];
    if (topic.err || topic.partition_cnt == 0 || topic.topic != kGroupOffsets) continue;
    cluster.offsets = {topic.partition_cnt, topic.partitions[0].replica_cnt};
    for (int p = 0; p < topic.partition_cnt; ++p)
      cluster.offsets.replicas = std::min(cluster.offsets.replicas, topic.partitions[p].replica_cnt);
  }
  return cluster;
}

const TopicShape& of(const Cluster& cluster, Topic topic) {
  return cluster.shapes[static_cast<std::size_t>(topic)];
}

int replicas_to_be(const Cluster& cluster, const TopicPlan& plan) {
  if (plan.replication > 0) return plan.replication;
  if (cluster.brokers.empty()) return 1;
  auto settings = describe_broker(*cluster.client, cluster.brokers.front(), kAdminPatience);
  if (!settings) return 1;
  return std::max(1, std::atoi((*settings)["default.replication.factor"].c_str()));
}

// Waits until every broker that we may be asked to write to tells of all topics.
Result<void> await_all(const Client& client, const KafkaConfig& config) {
  for (const auto deadline = steady_now() + kAdminPatience; steady_now() < deadline;) {
    auto shapes = topic_shapes(client, config, config.reach_timeout);
    if (!shapes) return fail(shapes.error());
    if (std::all_of(shapes->begin(), shapes->end(), [](const auto& each) { return each.partitions > 0; }))
      return {};
    std::this_thread::sleep_for(Millis(50));
  }
  return fail(Errc::unavailable, "KAFKA_UNREACHABLE",
              "the topics were made, but the brokers do not show them yet", "run the command again");
}

LogIdentity fresh_identity() {
  std::array<std::uint64_t, 2> random{};
  if (getrandom(random.data(), sizeof random, 0) != sizeof random) std::abort();
  return LogIdentity(random_id("log_", random[0], random[1]));
}

struct Identities {
  std::optional<IdentityFact> first, last;
};
Result<Identities> read_identities(LogClient& client, const Environment& environment) {
  auto extent = client.extent(Topic::endpoints, 0);
  if (!extent) return fail(extent.error());
  Identities found;
  std::optional<Error> wrong;
  auto done = client.scan(Topic::endpoints, 0, extent->begin, extent->end, [&](const Record& record) {
    if (record.key != kIdentityKey || !record.value) return true;
    auto fact = wire::decode_registry(environment, *record.value);
    if (!fact) {
      wrong = fact.error();
      return false;
    }
    if (const auto* identity = std::get_if<IdentityFact>(&*fact)) {
      if (!found.first) found.first = *identity;
      found.last = *identity;
    }
    return true;
  });
  if (!done) return fail(done.error());
  if (wrong) return fail(std::move(*wrong));
  return found;
}

Result<void> append_identity(LogClient& client, const IdentityFact& fact) {
  auto appended = client.append(
      {Topic::endpoints, 0, std::string(kIdentityKey), wire::encode(fact.environment, fact), {}});
  if (!appended) return fail(appended.error());
  return {};
}

// The first one on the log counts. Compaction keeps the last: so where two creates raced, the first is
// appended once more.
Result<void> settle_identity(const KafkaConfig& config, TopicsMade& made) {
  auto client = open_kafka_client(config);
  if (!client) return fail(client.error());
  auto found = read_identities(**client, config.environment);
  if (!found) return fail(found.error());
  if (!found->first) {
    IdentityFact fact;
    fact.identity = fresh_identity();
    fact.environment = config.environment;
    if (auto done = append_identity(**client, fact); !done) return done;
    found = read_identities(**client, config.environment);
    if (!found) return fail(found.error());
    if (!found->first)
      return fail(Errc::unavailable, "IDENTITY_NOT_WRITTEN",
                  "the log's identity was written and is not there", "run: postrider-ops topics create");
    made.identity_written = found->first->identity == fact.identity;
  }
  made.identity = found->first->identity;
  if (found->last->identity != found->first->identity) return append_identity(**client, *found->first);
  return {};
}

void check_settings(std::vector<TopicDifference>& differences, const std::string& name,
                    const std::vector<Setting>& settings, const Entries& actual) {
  for (const Setting& setting : settings) {
    const auto found = actual.find(setting.name);
    if (found == actual.end()) continue;
    if (auto sentence = differs(setting, found->second))
      differences.push_back({setting.weight, name, *sentence});
  }
}

void check_shape(std::vector<TopicDifference>& differences, const Cluster& cluster, const std::string& name,
                 Topic topic) {
  const TopicShape& shape = of(cluster, topic);
  if (shape.replicas < 3)
    differences.push_back(
        {Weight::refuse_in_production, name,
         "a partition has " + std::to_string(shape.replicas) + " replica(s), must be at least 3"});
  const Partition events = of(cluster, Topic::events).partitions;
  if ((topic == Topic::parked || topic == Topic::attempts) && shape.partitions != events)
    differences.push_back({shape.partitions < events ? Weight::refuse : Weight::warn, name,
                           "has " + std::to_string(shape.partitions) + " partitions, and events has " +
                               std::to_string(events) + ": run postrider-ops topics grow"});
  const bool one = topic == Topic::endpoints || topic == Topic::keys || topic == Topic::requests ||
                   topic == Topic::replays;
  if (one && shape.partitions != 1)
    differences.push_back(
        {Weight::refuse, name, "has " + std::to_string(shape.partitions) + " partitions, must have 1"});
}

// The group's offsets are as dear as our own records.
Result<void> check_group_offsets(std::vector<TopicDifference>& differences, const Cluster& cluster) {
  const std::string name(kGroupOffsets);
  if (cluster.brokers.empty()) return {};
  int replicas = cluster.offsets.replicas;
  std::string insync;
  if (cluster.offsets.partitions > 0) {
    auto described = describe_topic(*cluster.client, name, kAdminPatience);
    if (!described) return fail(described.error());
    insync = described->all["min.insync.replicas"];
  } else {  // made by the first group, as the broker is set
    auto settings = describe_broker(*cluster.client, cluster.brokers.front(), kAdminPatience);
    if (!settings) return fail(settings.error());
    replicas = std::atoi((*settings)["offsets.topic.replication.factor"].c_str());
    insync = (*settings)["min.insync.replicas"];
  }
  if (replicas < 3)
    differences.push_back({Weight::refuse_in_production, name,
                           "has " + std::to_string(replicas) + " replica(s), must have at least 3"});
  if (std::atoi(insync.c_str()) < 2)
    differences.push_back(
        {Weight::refuse_in_production, name, "min.insync.replicas is " + insync + ", must be at least 2"});
  return {};
}

}  // namespace
}  // namespace kafka

using namespace kafka;

bool refuses(const TopicDifference& difference, const Environment& environment) {
  switch (difference.weight) {
    case TopicDifference::Weight::warn:
      return false;
    case TopicDifference::Weight::refuse_in_production:
      return environment.str() == "production";
    case TopicDifference::Weight::refuse:
      return true;
  }
  return true;
}

Result<TopicsMade> create_topics(const KafkaConfig& config, const TopicPlan& plan) {
  auto cluster = look_at(config);
  if (!cluster) return fail(cluster.error());
  const int replicas = replicas_to_be(*cluster, plan);
  // A later create must not give twins another number than events has.
  const Partition existing = of(*cluster, Topic::events).partitions;
  const Partition events = existing > 0 ? existing : plan.partitions;
  TopicsMade made;
  for (int i = kTopicCount; i-- > 0;) {  // events last: nobody publishes before all is there
    const auto topic = static_cast<Topic>(i);
    if (of(*cluster, topic).partitions > 0) continue;
    TopicToMake fresh{
        full_name(config.environment, topic), partitions_of(topic, events), plan.replication, {}};
    for (const Setting& setting : settings_of(topic, plan, replicas))
      fresh.settings[setting.name] = setting.value;
    auto done = make_topic(*cluster->client, fresh, kAdminPatience);
    if (!done) return fail(done.error());
    if (*done) made.created.push_back(fresh.name);
  }
  if (auto done = await_all(*cluster->client, config); !done) return fail(done.error());
  // Brokers learn of fresh topics one after the other: the one we happen to ask may not have.
  for (const auto deadline = steady_now() + kAdminPatience;;) {
    auto done = settle_identity(config, made);
    if (done) return made;
    const bool passes = done.error().errc == Errc::unavailable || done.error().errc == Errc::not_found;
    if (!passes || steady_now() >= deadline) return fail(done.error());
    std::this_thread::sleep_for(Millis(100));
  }
}

Result<std::vector<TopicDifference>> check_topics(const KafkaConfig& config, const TopicPlan& plan) {
  auto cluster = look_at(config);
  if (!cluster) return fail(cluster.error());
  std::vector<TopicDifference> differences;
  std::string events_bytes;
  for (int i = 0; i < kTopicCount; ++i) {
    const auto topic = static_cast<Topic>(i);
    const std::string name = full_name(config.environment, topic);
    if (of(*cluster, topic).partitions == 0) {
      differences.push_back({Weight::refuse, name, "does not exist: run postrider-ops topics create"});
      continue;
    }
    check_shape(differences, *cluster, name, topic);
    auto described = describe_topic(*cluster->client, name, kAdminPatience);
    if (!described) return fail(described.error());
    auto settings = settings_of(topic, plan, of(*cluster, topic).replicas);
    if (topic == Topic::events) events_bytes = described->all["max.message.bytes"];
    for (Setting& each : settings)
      if (topic != Topic::events && each.name == "max.message.bytes")
        each.bound = max_message_bytes_for(events_bytes);
    check_settings(differences, name, settings, described->all);
  }
  if (auto done = check_group_offsets(differences, *cluster); !done) return fail(done.error());
  std::stable_sort(differences.begin(), differences.end(),
                   [](const auto& a, const auto& b) { return a.weight > b.weight; });
  return differences;
}

Result<std::vector<std::string>> mend_topics(const KafkaConfig& config, const TopicPlan& plan) {
  auto cluster = look_at(config);
  if (!cluster) return fail(cluster.error());
  std::vector<std::string> sentences;
  std::string events_bytes;
  for (int i = 0; i < kTopicCount; ++i) {
    const auto topic = static_cast<Topic>(i);
    const std::string name = full_name(config.environment, topic);
    if (of(*cluster, topic).partitions == 0) continue;
    auto described = describe_topic(*cluster->client, name, kAdminPatience);
    if (!described) return fail(described.error());
    if (topic == Topic::events) events_bytes = described->all["max.message.bytes"];
    Entries wanted = described->explicit_;
    std::string changes;
    const int replicas = of(*cluster, topic).replicas;
    for (Setting setting : settings_of(topic, plan, replicas)) {
      // With fewer than 3 replicas a minimum of 2 would stop all writes at the first failure: that is mended
      // by replicas, not here.
      if (setting.name == "min.insync.replicas" && replicas < 3) continue;
      if (topic != Topic::events && setting.name == "max.message.bytes")
        setting.bound = setting.value = max_message_bytes_for(events_bytes);
      auto sentence = differs(setting, described->all[setting.name]);
      if (!sentence) continue;
      wanted[setting.name] = setting.value;
      changes += (changes.empty() ? "" : "; ") + setting.name + " " + described->all[setting.name] + " → " +
                 setting.value;
    }
    if (changes.empty()) continue;
    if (auto done = set_settings(*cluster->client, name, wanted, kAdminPatience); !done)
      return fail(done.error());
    sentences.push_back(name + ": " + changes);
  }
  return sentences;
}

Result<void> grow_topics(const KafkaConfig& config, Partition partitions) {
  auto cluster = look_at(config);
  if (!cluster) return fail(cluster.error());
  const Topic order[] = {Topic::parked, Topic::attempts, Topic::dead_letters, Topic::events};
  for (Topic topic : order) {
    const Partition now = of(*cluster, topic).partitions;
    if (now == 0)
      return fail(Errc::not_found, "TOPIC_MISSING",
                  "the topic " + full_name(config.environment, topic) + " does not exist",
                  "run: postrider-ops topics create");
    if (topic == Topic::events && now > partitions)
      return fail(Errc::invalid, "INVALID_REQUEST",
                  "events has " + std::to_string(now) + " partitions: topics never shrink",
                  "ask for more than that");
  }
  for (Topic topic : order) {
    if (of(*cluster, topic).partitions >= partitions) continue;
    auto done =
        set_partitions(*cluster->client, full_name(config.environment, topic), partitions, kAdminPatience);
    if (!done) return done;
  }
  // The controller knows; who asks a broker next shall see it too.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto seen = [&] {
    return std::all_of(std::begin(order), std::end(order),
                       [&](Topic topic) { return of(*cluster, topic).partitions >= partitions; });
  };
  while (!seen() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (cluster = look_at(config); !cluster) return fail(cluster.error());
  }
  return {};
}

}  // namespace postrider
