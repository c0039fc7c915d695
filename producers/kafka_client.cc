#include "producers/kafka_client.h"

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>

namespace postrider::producers {
namespace {

struct DestroyConf {
  void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};
struct DestroyMetadata {
  void operator()(const struct rd_kafka_metadata* metadata) const { rd_kafka_metadata_destroy(metadata); }
};

// Its words may quote properties, so they reach the user only through KafkaTrouble.
void no_log(const rd_kafka_t*, int, const char*, const char*) {}

// Secrets stand neither on a command line nor in a file of options.
std::optional<std::string> resolved(const std::string& value) {
  if (value.starts_with("env:")) {
    const char* found = std::getenv(value.c_str() + 4);
    if (!found) return std::nullopt;
    return found;
  }
  if (value.starts_with("file:")) {
    std::ifstream file(value.substr(5));
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    return line;
  }
  return value;
}

tl::unexpected<Error> bad_property(const std::string& name, const std::string& why) {
  return fail(Errc::invalid, "KAFKA_PROPERTY_INVALID", "the Kafka property " + name + ": " + why,
              "librdkafka's CONFIGURATION.md lists the properties");
}

Result<void> apply(rd_kafka_conf_t* conf, const KafkaProperties& properties) {
  char why[512];
  for (const auto& [name, given] : properties) {
    const auto value = resolved(given);
    if (!value) return bad_property(name, "nothing can be read from " + given);
    // librdkafka's own message would repeat the value, which may be a secret.
    const auto set = rd_kafka_conf_set(conf, name.c_str(), value->c_str(), why, sizeof why);
    if (set == RD_KAFKA_CONF_UNKNOWN) return bad_property(name, "there is none of that name");
    if (set != RD_KAFKA_CONF_OK) return bad_property(name, "the value is not accepted");
  }
  return {};
}

// Asks in slices: when every broker has refused, 2 s are enough to know. All topics are asked for: a question
// for one could make the broker create it.
rd_kafka_resp_err_t ask_metadata(rd_kafka_t* client, const struct rd_kafka_metadata*& metadata,
                                 const KafkaTrouble& trouble, Millis timeout) {
  constexpr Millis kSlice{1'000};
  Millis asked{0};
  while (true) {
    const auto error = rd_kafka_metadata(client, 1, nullptr, &metadata, static_cast<int>(kSlice.count()));
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return error;
    rd_kafka_poll(client, 0);  // hands over the reason
    asked += kSlice;
    if (asked >= timeout || (trouble.all_brokers_down() && asked >= 2 * kSlice)) return error;
  }
}

}  // namespace

struct KafkaTrouble::State {
  mutable std::mutex mutex;
  std::string text;
  bool all_down = false;
};
KafkaTrouble::KafkaTrouble() : state_(std::make_unique<State>()) {}
KafkaTrouble::~KafkaTrouble() = default;
void KafkaTrouble::note(rd_kafka_resp_err_t error, std::string text) {
  const std::lock_guard lock(state_->mutex);
  if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    state_->all_down = true;  // its text only counts them: keep the one that says why
  } else {
    state_->text = std::move(text);
  }
}
bool KafkaTrouble::all_brokers_down() const {
  const std::lock_guard lock(state_->mutex);
  return state_->all_down;
}
std::string KafkaTrouble::text() const {
  const std::lock_guard lock(state_->mutex);
  return state_->text;
}

Result<KafkaHandle> make_kafka(rd_kafka_type_t type, const PublisherOptions& options,
                               const KafkaProperties& ours, KafkaCallbacks callbacks) {
  std::unique_ptr<rd_kafka_conf_t, DestroyConf> conf(rd_kafka_conf_new());
  const auto brokers = options.to.substr(std::string_view("kafka://").size());
  if (brokers.empty()) {
    return fail(Errc::invalid, "DESTINATION_INVALID", "kafka:// names no broker", "give kafka://host:port");
  }
  if (auto applied = apply(conf.get(), {{"bootstrap.servers", brokers}, {"client.id", "postrider-publish"}});
      !applied) {
    return fail(applied.error());
  }
  if (auto applied = apply(conf.get(), ours); !applied) return fail(applied.error());
  if (auto applied = apply(conf.get(), options.kafka_properties); !applied) return fail(applied.error());
  rd_kafka_conf_set_log_cb(conf.get(), no_log);
  rd_kafka_conf_set_opaque(conf.get(), callbacks.trouble);
  rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int error, const char* reason, void* opaque) {
    static_cast<KafkaTrouble*>(opaque)->note(static_cast<rd_kafka_resp_err_t>(error), reason);
  });
  if (callbacks.delivered) rd_kafka_conf_set_dr_msg_cb(conf.get(), callbacks.delivered);
  char why[512];
  KafkaHandle handle(rd_kafka_new(type, conf.get(), why, sizeof why));
  if (!handle) {
    return fail(Errc::invalid, "KAFKA_PROPERTY_INVALID", std::string("the Kafka client: ") + why,
                "look at the Kafka properties (-X)");
  }
  (void)conf.release();  // now the handle's
  return handle;
}

Result<Partition> kafka_partitions(rd_kafka_t* client, const std::string& topic, const KafkaTrouble& trouble,
                                   Millis timeout) {
  const struct rd_kafka_metadata* raw = nullptr;
  const auto error = ask_metadata(client, raw, trouble, timeout);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const auto reason = trouble.text();
    return fail(Errc::unavailable, "LOG_UNREACHABLE",
                "no Kafka broker answers: " + (reason.empty() ? rd_kafka_err2str(error) : reason),
                "check the address, and the brokers' listeners and credentials");
  }
  const std::unique_ptr<const struct rd_kafka_metadata, DestroyMetadata> metadata(raw);
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const auto& found = metadata->topics[i];
    if (found.topic == topic && found.partition_cnt > 0) return found.partition_cnt;
  }
  return fail(Errc::not_found, "TOPIC_MISSING", "there is no topic " + topic,
              "check the environment's name, or make its topics: postrider-ops topics create");
}

}  // namespace postrider::producers
