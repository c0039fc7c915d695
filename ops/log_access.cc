#include "ops/log_access.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "engine/config/config.h"
#include "engine/core/key_place.h"
#include "engine/crypto/file_record_cipher.h"
#include "engine/daemon/key_services.h"
#include "engine/embedded/embedded_log.h"
#include "engine/kafka/kafka_client.h"
#include "ops/output.h"
#include "ops/references.h"

namespace postrider::ops {
namespace {

Result<LogPlace> place_of(const CommandLine& line) {
  if (line.log.empty())
    return wrong_use("`" + line.verb + "` works on the log itself",
                     "give --log kafka://host:port --environment NAME");
  auto place = parse_log_place(line.log);
  if (!place) return wrong_use("--log " + place.error().message, place.error().suggestion);
  return place;
}

// Names whose values other users of this machine must not see in its list of processes.
bool is_secret(std::string_view name) {
  static constexpr std::array<std::string_view, 2> kNames = {"ssl.key.pem", "sasl.oauthbearer.config"};
  return name.find("password") != std::string_view::npos || name.find("secret") != std::string_view::npos ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

Result<std::pair<std::string, std::string>> property_of(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos)
    return wrong_use("-X takes KEY=VALUE", "write for example -X security.protocol=SSL");
  auto name = text.substr(0, equals), value = text.substr(equals + 1);
  if (is_reference(value)) {
    auto secret = read_reference(value);
    if (!secret) return fail(secret.error());
    value = std::string(secret->reveal());
  } else if (is_secret(name)) {
    return wrong_use("-X " + name + " is a secret and stands on the command line",
                     "write -X " + name + "=env:NAME or =file:PATH, and change the secret that was written");
  }
  return std::pair{std::move(name), std::move(value)};
}

Result<OpenedLog> open_embedded(const CommandLine& line, const std::string& directory, Events events) {
  auto environment = environment_of(line);
  if (!environment) return fail(environment.error());
  // Opening would make one: then a misspelt path would look like an empty log.
  std::error_code error;
  if (!std::filesystem::exists(directory + "/about", error))
    return fail(Errc::not_found, "LOG_MISSING", directory + " holds no embedded log",
                "check the path: it is what postriderd's `log` names after \"embedded:\"");
  if (events == Events::read_and_written && line.keys.empty())
    return wrong_use("an embedded log seals its events, and there is no key service",
                     "give --keys file:PATH (POSTRIDER_KEYS_SERVICE), as postriderd's `keys.service` has it");
  OpenedLog opened;
  EmbeddedLog::Options options;
  options.directory = directory;
  options.environment = *environment;
  options.cleaning_every = Millis(0);  // a tool takes nothing away
  auto log = EmbeddedLog::open(std::move(options));
  if (!log) return fail(log.error());
  opened.embedded = *std::move(log);
  opened.identity = opened.embedded->identity();
  if (events == Events::read_and_written) {
    auto service = key_service_of(line);
    if (!service) return fail(service.error());
    auto cipher = crypto::FileRecordCipher::open(directory, *environment, **service,
                                                 crypto::FileRecordCipher::IfMissing::refuse);
    if (!cipher) return fail(cipher.error());
    opened.cipher = *std::move(cipher);
    opened.embedded->use_cipher(*opened.cipher);
  }
  opened.client = opened.embedded->client();
  return opened;
}

Result<OpenedLog> open_kafka(const CommandLine& line) {
  auto config = kafka_config_of(line);
  if (!config) return fail(config.error());
  auto client = open_kafka_client(*config);
  if (!client) return fail(client.error());
  OpenedLog opened;
  opened.client = *std::move(client);
  return opened;
}

Result<std::unique_ptr<KeyService>> key_service_named(const CommandLine& line, const std::string& option,
                                                      const std::string& service,
                                                      const std::string& credential) {
  auto environment = environment_of(line);
  if (!environment) return fail(environment.error());
  if (const auto place = parse_key_place(service); !place)
    return wrong_use(option + " " + place.error().message, place.error().suggestion);
  KeyServiceConfig config;
  config.service = service;
  config.credential = credential;
  config.ca_file = line.keys_ca_file;
  if (!credential.empty() && !is_reference(credential))
    return wrong_use("the credential of " + option + " is a secret and stands on the command line",
                     "write env:NAME or file:PATH, and change the secret that was written");
  if (credential.starts_with("env:")) {
    auto value = read_reference(credential);
    if (!value) return fail(value.error());
    config.credential_value = *std::move(value);
  }
  return open_key_service(config, environment->str() == "development");
}

}  // namespace

OpenedLog::OpenedLog() = default;
OpenedLog::OpenedLog(OpenedLog&&) noexcept = default;
OpenedLog::~OpenedLog() {
  client.reset();
  embedded.reset();
}

Result<OpenedLog> open_log(const CommandLine& line, Events events) {
  auto place = place_of(line);
  if (!place) return fail(place.error());
  if (place->kind == LogPlace::Kind::kafka) return open_kafka(line);
  return open_embedded(line, place->directory, events);
}

bool names_kafka(const CommandLine& line) {
  auto place = place_of(line);
  return place && place->kind == LogPlace::Kind::kafka;
}

Result<KafkaConfig> kafka_config_of(const CommandLine& line) {
  auto place = place_of(line);
  if (!place) return fail(place.error());
  auto environment = environment_of(line);
  if (!environment) return fail(environment.error());
  KafkaConfig config;
  config.brokers = place->brokers;
  config.environment = *environment;
  for (const auto& text : line.kafka_properties) {
    auto property = property_of(text);
    if (!property) return fail(property.error());
    config.properties.insert_or_assign(std::move(property->first), std::move(property->second));
  }
  if (auto done = check(config); !done) return fail(done.error());
  return config;
}

Result<Environment> environment_of(const CommandLine& line) {
  if (line.environment.empty())
    return wrong_use("there is no environment", "give --environment NAME: the topics are NAME.postrider.…");
  if (!is_environment_name(line.environment))
    return wrong_use("--environment is no name of an environment",
                     "use a lower-case letter and then up to 31 of a-z, 0-9 and -, as in production");
  return Environment(line.environment);
}

Result<std::string> key_file_of(const CommandLine& line) {
  if (line.keys.empty()) return std::string();
  if (line.keys.starts_with("file:") && line.keys.size() > 5) return line.keys.substr(5);
  return wrong_use("--keys names no key file", "write file:PATH");
}

Result<std::unique_ptr<KeyService>> key_service_of(const CommandLine& line) {
  return key_service_named(line, "--keys", line.keys, line.credential);
}

Result<std::unique_ptr<KeyService>> other_key_service_of(const CommandLine& line) {
  return key_service_named(line, "--under", line.under, line.under_credential);
}

Result<OpenedKeyServices> key_services_of(const CommandLine& line) {
  if (!line.config.empty()) {
    auto config = load(line.config, variables_of(environ));
    if (!config) return fail(config.error());
    return open_key_services(*config);
  }
  auto service = key_service_of(line);
  if (!service) return fail(service.error());
  OpenedKeyServices opened;
  opened.owned.push_back(*std::move(service));
  opened.services = std::make_unique<crypto::KeyServices>(*opened.owned.front());
  return opened;
}

}  // namespace postrider::ops
