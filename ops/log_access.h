#pragma once
#include <memory>

#include "engine/core/result.h"
#include "engine/daemon/key_services.h"
#include "engine/kafka/kafka_config.h"
#include "engine/ports/key_service.h"
#include "engine/ports/log_client.h"
#include "engine/ports/record_cipher.h"
#include "ops/command_line.h"

namespace postrider {
class EmbeddedLog;
}

// The log as --log names it, for verbs that work while every daemon is down.
namespace postrider::ops {

struct OpenedLog {
  std::unique_ptr<RecordCipher> cipher;
  std::unique_ptr<EmbeddedLog> embedded;  // nullptr: Kafka
  std::unique_ptr<LogClient> client;
  LogIdentity identity;  // of an embedded log; Kafka's stands in `endpoints`

  OpenedLog();
  OpenedLog(OpenedLog&&) noexcept;
  ~OpenedLog();
};

// What is done with `events`, whose records an embedded log seals.
enum class Events { untouched, read_and_written };

// Errors: WRONG_USE (no --log, no --environment, events of an embedded log without --keys), LOG_MISSING
// (there is no embedded log in that directory: none is made), LOG_LOCKED (a daemon holds it),
// KAFKA_UNREACHABLE, those of the key file.
Result<OpenedLog> open_log(const CommandLine& line, Events events);

bool names_kafka(const CommandLine& line);
// Errc::invalid: --log is absent or no Kafka, a property is refused, or a secret stands on the command line.
Result<KafkaConfig> kafka_config_of(const CommandLine& line);

// --environment, checked.
Result<Environment> environment_of(const CommandLine& line);

// The path of "file:PATH" from --keys; empty: none was given. WRONG_USE: it is no file.
Result<std::string> key_file_of(const CommandLine& line);
// Those that --config names, or --keys alone.
Result<OpenedKeyServices> key_services_of(const CommandLine& line);
// The one that --under names.
Result<std::unique_ptr<KeyService>> other_key_service_of(const CommandLine& line);
// The key service that --keys names, with --credential and --keys-ca. WRONG_USE: it names none.
Result<std::unique_ptr<KeyService>> key_service_of(const CommandLine& line);

}  // namespace postrider::ops
