#include "engine/daemon/assembly.h"

#include <algorithm>
#include <map>
#include <utility>

#include "engine/crypto/file_key_service.h"
#include "engine/crypto/file_record_cipher.h"
#include "engine/daemon/first_start.h"
#include "engine/daemon/key_services.h"
#include "engine/embedded/embedded_log.h"
#include "engine/kafka/kafka_client.h"
#include "engine/kafka/kafka_log.h"
#include "engine/kafka/topics.h"
#include "engine/rocks/rocks_store.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

KafkaConfig kafka_config(const Config& config, const std::string& instance, telemetry::Telemetry& telemetry) {
  KafkaConfig kafka;
  kafka.brokers = config.log.brokers;
  for (const KafkaProperty& property : config.kafka)
    kafka.properties[property.name] = property.value.reveal();
  kafka.environment = config.environment;
  kafka.instance = instance;
  kafka.on_line = [&telemetry](int level, std::string_view line) {
    if (level <= 4) telemetry.log(level <= 3 ? "error" : "warn", "librdkafka", line);
  };
  return kafka;
}

constexpr Millis kTopicsLookedAtEvery = std::chrono::hours(1);

Result<std::vector<TopicDifference>> topic_differences(const Config& config, const KafkaConfig& kafka) {
  TopicPlan plan;
  plan.lifetime_max = config.delivery.lifetime_max;
  return check_topics(kafka, plan);
}

std::string sentence_of(const TopicDifference& difference) {
  return (difference.topic.empty() ? "" : difference.topic + ": ") + difference.sentence;
}

Error unsafe(const TopicDifference& difference) {
  return {Errc::invalid, "TOPICS_UNSAFE", sentence_of(difference),
          "`postrider-ops topics create` makes what is missing and `postrider-ops topics check` names every "
          "difference"};
}

void tell_topics(const Config& config, const std::vector<TopicDifference>& differences,
                 telemetry::Telemetry& telemetry) {
  telemetry.set_gauge("topic_differences", "Settings of our topics that are not as they should be.",
                      static_cast<double>(differences.size()));
  for (const TopicDifference& difference : differences) {
    if (refuses(difference, config.environment)) {
      telemetry.log("error", "topics_unsafe", unsafe(difference));
    } else {
      telemetry.log("warn", "topics_differ", sentence_of(difference));
    }
  }
}

Result<void> check_kafka_topics(const Config& config, const KafkaConfig& kafka,
                                telemetry::Telemetry& telemetry) {
  auto differences = topic_differences(config, kafka);
  if (!differences) return fail(differences.error());
  for (const TopicDifference& difference : *differences) {
    if (refuses(difference, config.environment)) return fail(unsafe(difference));
  }
  tell_topics(config, *differences, telemetry);
  return {};
}

Result<LogIdentity> read_identity(LogClient& client, const Environment& environment) {
  auto extent = client.extent(Topic::endpoints, 0);
  if (!extent) return fail(extent.error());
  std::optional<Result<LogIdentity>> found;
  auto scanned = client.scan(Topic::endpoints, 0, extent->begin, extent->end, [&](const Record& record) {
    if (record.key != kIdentityKey || !record.value) return true;
    auto fact = wire::decode_registry(environment, *record.value);
    if (!fact) {
      found = fail(fact.error());
    } else if (const auto* identity = std::get_if<IdentityFact>(&*fact)) {
      found = identity->identity;
    }
    return !found;
  });
  if (!scanned) return fail(scanned.error());
  if (!found) {
    return fail(Errc::not_found, "TOPIC_MISSING", "the log has no identity: its topics were not made by us",
                "run `postrider-ops topics create` once");
  }
  return *found;
}

// What another key wrapped we could neither open nor add to: said before the first event waits for it.
Result<void> check_key_services(LogClient& client, const Environment& environment,
                                const crypto::KeyServices& services) {
  auto extent = client.extent(Topic::keys, 0);
  if (!extent) return fail(extent.error());
  std::map<std::string, std::string> wrapped_by;  // its newest record's, by key
  auto scanned = client.scan(Topic::keys, 0, extent->begin, extent->end, [&](const Record& record) {
    const auto fact = record.value ? wire::decode_key(environment, *record.value)
                                   : Result<WrappedKeyFact>(WrappedKeyFact());
    if (fact) wrapped_by[record.key] = fact->destroyed ? std::string() : fact->service;
    return true;
  });
  if (!scanned) return fail(scanned.error());
  for (const auto& [key, service] : wrapped_by) {
    if (service.empty() || services.named(service) != nullptr) continue;
    return fail(
        Errc::invalid, "KEY_SERVICE_OTHER",
        "keys on the log were wrapped by " + service + ", not by " + services.common().name(),
        "start with the key file that was in use before, or restore it from its backup; name a service "
        "that was given up in [keys.former.NAME]");
  }
  return {};
}

Result<OpenedLog> open_embedded(const Config& config, const crypto::KeyServices& keys) {
  OpenedLog opened;
  const bool fresh = !holds_anything(config.log.directory);
  EmbeddedLog::Options options;
  options.directory = config.log.directory;
  options.environment = config.environment;
  options.partitions = static_cast<Partition>(config.embedded.partitions);
  options.shares = config.shards;
  auto log = EmbeddedLog::open(std::move(options));
  if (!log) return fail(log.error());
  using IfMissing = crypto::FileRecordCipher::IfMissing;
  auto cipher = crypto::FileRecordCipher::open(config.log.directory, config.environment, keys,
                                               fresh ? IfMissing::create : IfMissing::refuse);
  if (!cipher) return fail(cipher.error());
  opened.cipher = *std::move(cipher);
  opened.embedded = *std::move(log);
  opened.embedded->use_cipher(*opened.cipher);
  opened.client = opened.embedded->client();
  opened.identity = opened.embedded->identity();
  return opened;
}

Result<OpenedLog> open_kafka(const Config& config, const crypto::KeyServices& keys,
                             telemetry::Telemetry& telemetry) {
  OpenedLog opened;
  const KafkaConfig kafka = kafka_config(config, "", telemetry);
  if (auto checked = check(kafka); !checked) return fail(checked.error());
  if (auto safe = check_kafka_topics(config, kafka, telemetry); !safe) return fail(safe.error());
  auto client = open_kafka_client(kafka);
  if (!client) return fail(client.error());
  opened.client = *std::move(client);
  auto identity = read_identity(*opened.client, config.environment);
  if (!identity) return fail(identity.error());
  opened.identity = *std::move(identity);
  if (auto same = check_key_services(*opened.client, config.environment, keys); !same)
    return fail(same.error());
  return opened;
}

// A new key must not take the place of a lost one: nothing that the old one sealed could be opened again.
bool anything_sealed(const Config& config, telemetry::Telemetry& telemetry) {
  if (holds_anything(config.data + "/view")) return true;
  if (config.log.kind == LogPlace::Kind::embedded) return holds_anything(config.log.directory);
  auto client = open_kafka_client(kafka_config(config, "", telemetry));
  if (!client) return true;
  auto extent = (*client)->extent(Topic::keys, 0);
  return !extent || extent->end > extent->begin;
}

}  // namespace

OpenedLog::OpenedLog() = default;
OpenedLog::OpenedLog(OpenedLog&&) noexcept = default;
OpenedLog::~OpenedLog() {
  client.reset();
  embedded.reset();
}

Result<OpenedKeyServices> open_keys(const Config& config, telemetry::Telemetry& telemetry) {
  auto opened = open_key_services(config);
  const bool missing = !opened && opened.error().code == "KEY_FILE_MISSING";
  if (!missing || !config.development() || anything_sealed(config, telemetry)) return opened;
  if (auto made = crypto::make_key_file(config.keys.file()); !made) return fail(made.error());
  telemetry.log("warn", "key_file_made",
                "made a new key file for development at " + config.keys.file() +
                    ": back it up, without it every secret and dead letter is gone");
  return open_key_services(config);
}

Result<OpenedLog> open_log(const Config& config, const crypto::KeyServices& keys,
                           telemetry::Telemetry& telemetry) {
  return config.log.kind == LogPlace::Kind::embedded ? open_embedded(config, keys)
                                                     : open_kafka(config, keys, telemetry);
}

Result<std::unique_ptr<Log>> open_shard_log(const Config& config, OpenedLog& log, const std::string& instance,
                                            std::size_t number, telemetry::Telemetry& telemetry) {
  if (log.embedded) return log.embedded->shard(number);
  return open_kafka_log(kafka_config(config, instance, telemetry));
}

void tell_idle_shards(const Config& config, LogClient& log, telemetry::Telemetry& telemetry) {
  const auto partitions = log.partitions(Topic::events);
  if (!partitions) return telemetry.log("warn", "topics_unseen", partitions.error());
  if (static_cast<std::int64_t>(config.shards) <= *partitions) return;
  telemetry.log(
      "warn", "shards_idle",
      "shards = " + std::to_string(config.shards) + ", but `events` has only " + std::to_string(*partitions) +
          " partitions: a partition is of one shard, so the others do nothing; set fewer shards, or "
          "give `events` more partitions");
}

std::unique_ptr<TopicWatch> watch_topics(const Config& config, telemetry::Telemetry& telemetry) {
  if (config.log.kind != LogPlace::Kind::kafka) return nullptr;
  const auto look = [&config, &telemetry] {
    auto differences = topic_differences(config, kafka_config(config, "", telemetry));
    if (differences) return tell_topics(config, *differences, telemetry);
    telemetry.log("warn", "topics_unseen", differences.error());
  };
  return std::make_unique<TopicWatch>(look, kTopicsLookedAtEvery);
}

Result<std::unique_ptr<Store>> open_store(const Config& config, const std::string& directory,
                                          const LogIdentity& identity, telemetry::Telemetry& telemetry) {
  rocks::RocksStoreOptions options;
  options.directory = directory;
  options.memory_bytes = std::max(options.memory_bytes / config.shards, std::size_t{16} << 20);
  options.environment = config.environment;
  std::optional<Error> why;
  for (int round = 0; round < 2; ++round) {
    auto store = rocks::RocksStore::open(options);
    if (store) {
      auto belongs = (*store)->belongs_to(identity);
      if (belongs) return std::unique_ptr<Store>(*std::move(store));
      if (belongs.error().errc != Errc::corrupt) return fail(belongs.error());  // corrupt: of another log
      why = belongs.error();
    } else if (store.error().errc == Errc::corrupt) {
      why = store.error();
    } else {
      return fail(store.error());
    }
    if (round > 0) break;
    telemetry.log("error", "view_wiped", *why, {{"data", directory}});
    store = fail(*why);  // let go of its files first
    if (auto wiped = rocks::wipe(directory); !wiped) return fail(wiped.error());
  }
  return fail(*why);
}

}  // namespace postrider
