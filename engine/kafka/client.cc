#include "engine/kafka/client.h"

#include <time.h>

#include <array>
#include <cstring>
#include <set>

namespace postrider::kafka {
namespace {

// Promises hang on these; a value of the operator's own would break one of them unnoticed.
const std::set<std::string, std::less<>> kReserved = {"bootstrap.servers",
                                                      "metadata.broker.list",
                                                      "group.id",
                                                      "group.instance.id",
                                                      "enable.auto.commit",
                                                      "enable.auto.offset.store",
                                                      "auto.commit.enable",
                                                      "auto.offset.reset",
                                                      "partition.assignment.strategy",
                                                      "acks",
                                                      "request.required.acks",
                                                      "enable.idempotence",
                                                      "transactional.id",
                                                      "message.timeout.ms",
                                                      "delivery.timeout.ms",
                                                      "isolation.level",
                                                      "enable.partition.eof",
                                                      "allow.auto.create.topics",
                                                      "max.poll.interval.ms",
                                                      "enabled_events",
                                                      "partitioner",
                                                      "group.protocol.type",
                                                      "check.crcs",
                                                      "enable.gapless.guarantee",
                                                      "default_topic_conf",
                                                      "opaque"};

struct Conf {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  ~Conf() {
    if (conf) rd_kafka_conf_destroy(conf);
  }
  Result<void> set(const std::string& name, const std::string& value) {
    char why[512];
    switch (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof why)) {
      case RD_KAFKA_CONF_OK:
        return {};
      case RD_KAFKA_CONF_UNKNOWN:
        return fail(Errc::invalid, "INVALID_CONFIGURATION",
                    "[kafka] \"" + name + "\" is no property of librdkafka",
                    "correct its spelling, or take it out");
      default:
        // librdkafka's text names the property and what it takes; it repeats the value only of enumerations.
        return fail(Errc::invalid, "INVALID_CONFIGURATION",
                    "[kafka] \"" + name + "\" has a value that librdkafka does not take: " + why,
                    "correct the value");
    }
  }
};

// Ours, which the operator may set otherwise.
const std::pair<const char*, const char*> kDefaults[] = {
    {"client.id", "postrider"},
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"socket.connection.setup.timeout.ms", "5000"},
    {"reconnect.backoff.max.ms", "1000"},
    {"topic.metadata.refresh.interval.ms", "1000"},  // a deposed leader hides a change that long (DESIGN §5)
    {"log.connection.close", "false"},
};

Result<void> fill(Conf& conf, const KafkaConfig& config) {
  for (const auto& [name, value] : kDefaults)
    if (auto done = conf.set(name, value); !done) return done;
  for (const auto& [name, value] : config.properties) {
    if (kReserved.contains(name))
      return fail(Errc::invalid, "INVALID_CONFIGURATION",
                  "[kafka] \"" + name + "\" is set by Postrider itself", "take it out of [kafka]");
    if (auto done = conf.set(name, value); !done) return done;
  }
  return conf.set("bootstrap.servers", config.brokers);
}

}  // namespace

Result<std::unique_ptr<Client>> Client::open(const KafkaConfig& config, rd_kafka_type_t type,
                                             Settings settings) {
  Conf conf;
  if (auto done = fill(conf, config); !done) return fail(done.error());
  for (const auto& [name, value] : settings)
    if (auto done = conf.set(name, value); !done) return fail(done.error());

  std::unique_ptr<Client> client(new Client(config.on_line));
  rd_kafka_conf_set_log_cb(conf.conf, &Client::log_line);
  rd_kafka_conf_set_opaque(conf.conf, client.get());
  rd_kafka_conf_set_events(conf.conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_REBALANCE |
                                          RD_KAFKA_EVENT_OFFSET_COMMIT);
  char why[512] = "";
  client->rk_ = rd_kafka_new(type, conf.conf, why, sizeof why);
  if (!client->rk_)
    return fail(Errc::invalid, "INVALID_CONFIGURATION",
                std::string("librdkafka refuses the configuration: ") + why,
                "correct [kafka] in the configuration");
  conf.conf = nullptr;  // librdkafka's now
  return client;
}

Client::~Client() {
  if (rk_) rd_kafka_destroy_flags(rk_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void Client::log_line(const rd_kafka_t* rk, int level, const char* facility, const char* text) {
  const auto* client = static_cast<const Client*>(rd_kafka_opaque(rk));
  if (!client || !client->on_line_) return;
  // One [kafka] table serves producers and consumers: each would warn of the other's properties.
  if (std::strcmp(facility, "CONFWARN") == 0) return;
  client->on_line_(level, std::string(facility) + ": " + text);
}

TopicHandle Client::topic(const Environment& environment, Topic topic) const {
  rd_kafka_topic_conf_t* conf = rd_kafka_default_topic_conf_dup(rk_);
  rd_kafka_topic_conf_set_opaque(conf, reinterpret_cast<void*>(static_cast<std::uintptr_t>(topic)));
  return TopicHandle(rd_kafka_topic_new(rk_, full_name(environment, topic).c_str(), conf));
}

Topic topic_of(const rd_kafka_message_t& message) {
  return static_cast<Topic>(reinterpret_cast<std::uintptr_t>(rd_kafka_topic_opaque(message.rkt)));
}

Record to_record(const rd_kafka_message_t& message, Topic topic) {
  Record record;
  record.topic = topic;
  record.partition = message.partition;
  record.offset = message.offset;
  rd_kafka_timestamp_type_t type{};
  record.appended = from_ms<LogTime>(rd_kafka_message_timestamp(&message, &type));
  if (message.key) record.key.assign(static_cast<const char*>(message.key), message.key_len);
  if (message.payload) record.value.emplace(static_cast<const char*>(message.payload), message.len);
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    record.headers.reserve(rd_kafka_header_cnt(headers));
    for (std::size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i)
      record.headers.push_back(
          {name, value ? std::string(static_cast<const char*>(value), size) : std::string()});
  }
  return record;
}

SteadyTime steady_now() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return from_ms<SteadyTime>(static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000);
}

}  // namespace postrider::kafka

namespace postrider {

Millis KafkaConfig::effective_session_timeout() const {
  const auto found = properties.find("session.timeout.ms");
  if (found == properties.end()) return session_timeout;
  const long long ms = std::atoll(found->second.c_str());
  return ms > 0 ? Millis(ms) : session_timeout;
}

Result<void> check(const KafkaConfig& config) {
  if (config.brokers.empty())
    return fail(Errc::invalid, "INVALID_CONFIGURATION", "no Kafka broker is named", "say kafka://HOST:PORT");
  kafka::Conf conf;
  return kafka::fill(conf, config);
}

}  // namespace postrider
