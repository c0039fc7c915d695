#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "engine/config/config.h"
#include "engine/core/registry.h"
#include "engine/core/result.h"
#include "engine/daemon/key_services.h"
#include "engine/daemon/topic_watch.h"
#include "engine/ports/log.h"
#include "engine/ports/log_client.h"
#include "engine/ports/record_cipher.h"
#include "engine/ports/store.h"
#include "engine/telemetry/telemetry.h"

namespace postrider {

class EmbeddedLog;

// The two logs behind one handle, opened as the configuration says.
struct OpenedLog {
  std::unique_ptr<RecordCipher> cipher;
  std::unique_ptr<EmbeddedLog> embedded;  // owns what the shards and `client` use; nullptr: Kafka
  std::unique_ptr<LogClient> client;
  LogIdentity identity;

  OpenedLog();
  OpenedLog(OpenedLog&&) noexcept;
  ~OpenedLog();
};

// Each refuses with one sentence of what is wrong and one of what to do.
Result<OpenedKeyServices> open_keys(const Config& config, telemetry::Telemetry& telemetry);
Result<OpenedLog> open_log(const Config& config, const crypto::KeyServices& keys,
                           telemetry::Telemetry& telemetry);
// One shard's hold on it, as the member `instance` of the group. The opened log outlives it.
Result<std::unique_ptr<Log>> open_shard_log(const Config& config, OpenedLog& log, const std::string& instance,
                                            std::size_t number, telemetry::Telemetry& telemetry);
// A warning when this process has more shards than `events` has partitions: some of them get none.
void tell_idle_shards(const Config& config, LogClient& log, telemetry::Telemetry& telemetry);
// Looks hourly at what open_log() looked at: an ERROR line for each setting by which data could be lost, and
// the gauge `topic_differences`. nullptr: the embedded log, whose topics nobody else sets.
std::unique_ptr<TopicWatch> watch_topics(const Config& config, telemetry::Telemetry& telemetry);
// A corrupt view, or one of another log, is wiped, loudly: it is built again from the log.
Result<std::unique_ptr<Store>> open_store(const Config& config, const std::string& directory,
                                          const LogIdentity& identity, telemetry::Telemetry& telemetry);

}  // namespace postrider
