#include "engine/daemon/shard_host.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "engine/crypto/random_bytes.h"
#include "engine/crypto/tenant_keys.h"
#include "engine/curl/cares_resolver.h"
#include "engine/curl/connect_guard.h"
#include "engine/curl/curl_transport.h"
#include "engine/daemon/decode_mark_file.h"
#include "engine/daemon/loop.h"
#include "engine/jsonschema/json_schemas.h"

namespace postrider {
namespace {

// What the limit of open files leaves one shard for connections to customers, beside the views' and the log's
// files and the API's clients.
std::size_t connections_within_file_limit(const Config& config) {
  constexpr std::size_t kFiles = 512, kFilesOfShard = 256, kLeast = 64, kMost = 3 * 4096;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return kLeast;
  const auto limit = static_cast<std::size_t>(std::min<rlim_t>(files.rlim_cur, 1 << 20));
  const std::size_t others =
      kFiles + kFilesOfShard * config.shards + std::min<std::size_t>(config.api.connections, limit / 4);
  return std::clamp((limit - std::min(limit, others)) / config.shards, kLeast, kMost);
}

AddressPolicy address_policy(const Config& config) {
  return AddressPolicy({.allow = config.guard.allow,
                        .ports = config.guard.ports,
                        .own = own_addresses(),
                        .development = config.development()});
}

flow::ShardConfig shard_config(const Config& config, const std::string& instance) {
  flow::ShardConfig shard;
  shard.environment = config.environment;
  shard.instance = instance;
  shard.tenant_from_key = config.tenant_from_key;
  shard.retry_client_errors = config.delivery.retry_client_errors;
  shard.attempt_timeout = config.delivery.timeout;
  shard.lifetime = config.delivery.lifetime_max;
  shard.repeat_window = config.delivery.repeat_window;
  shard.history_ttl = config.history.ttl;
  shard.bytes_max = config.limits.memory_bytes / config.shards;
  shard.endpoint_queue_bytes = config.limits.endpoint_queue_bytes;
  shard.window_max = config.limits.window;
  shard.addresses = address_policy(config);
  shard.endpoints_per_host = config.guard.endpoints_per_host;
  shard.rotate_keys_after = config.rotation.rotate_after;
  shard.endpoints_per_tenant = config.guard.endpoints_per_tenant;
  shard.challenge_tenants = config.guard.challenge_tenants;
  return shard;
}

// A record that kills whoever decodes it is set aside after the third time.
std::unique_ptr<DecodeMarkFile> open_decode_mark(const std::string& path, const LogIdentity& log,
                                                 telemetry::Telemetry& telemetry) {
  auto mark = DecodeMarkFile::open(path, log);
  if (!mark) {
    telemetry.log("warn", "decode_mark_off", mark.error());
    return nullptr;
  }
  if ((*mark)->was_garbled())
    telemetry.log("warn", "decode_mark_garbled", path + " was torn: written anew, its count is lost");
  if (const auto& death = (*mark)->last_death()) {
    telemetry.log("error", "died_decoding",
                  "the last process died by signal " + std::to_string(death->signal) +
                      " while it decoded offset " + std::to_string(death->position.offset) +
                      " of partition " + std::to_string(death->position.partition) + ": " +
                      std::to_string(death->deaths) + " of " + std::to_string(DecodeMarkFile::kDeathsMax) +
                      " times, after which the record is set aside");
  }
  return *std::move(mark);
}

Result<std::unique_ptr<CurlTransport>> open_transport(const Config& config, flow::ShardConfig& shard,
                                                      std::size_t number, telemetry::Telemetry& telemetry) {
  const std::size_t connections = connections_within_file_limit(config);
  if (connections / 3 < shard.in_flight_max && number == 0) {
    telemetry.log("warn", "few_files",
                  "the limit of open files allows " + std::to_string(connections / 3) +
                      " attempts at once: raise it to 32768 or more (LimitNOFILE, ulimit -Hn)");
  }
  shard.in_flight_max = std::min(shard.in_flight_max, connections / 3);
  // As many connections as attempts: none waits inside the transport, behind somebody who hangs.
  return CurlTransport::create({.policy = shard.addresses,
                                .proxy = config.guard.proxy,
                                .ca_file = config.delivery.ca_file,
                                .connections_max = shard.in_flight_max,
                                .connections_kept_max = connections * 2 / 3});
}

}  // namespace

// In the order in which they need each other: destroyed from the last to the first.
struct ShardHost::Parts {
  std::string view;
  std::unique_ptr<Log> log;
  std::unique_ptr<Store> store;
  std::unique_ptr<CurlTransport> transport;
  std::unique_ptr<CaresResolver> resolver;
  crypto::SystemRandom random;
  std::unique_ptr<crypto::TenantKeys> keys;
  std::unique_ptr<DecodeMarkFile> decode_mark;
  JsonSchemas schemas;
  Mailbox mailbox;
  std::optional<flow::Ports> ports;
  std::optional<flow::Shard> shard;
  std::optional<Loop> loop;
};

ShardHost::ShardHost(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ShardHost::~ShardHost() = default;

Result<std::unique_ptr<ShardHost>> ShardHost::open(const Shared& shared, std::size_t number) {
  const Config& config = shared.config;
  auto parts = std::make_unique<Parts>();
  parts->view = shared.data.view(number);
  const std::string instance = shared.data.instance(number);
  auto log = open_shard_log(config, shared.log, instance, number, shared.telemetry);
  if (!log) return fail(log.error());
  parts->log = *std::move(log);
  auto store = open_store(config, parts->view, shared.log.identity, shared.telemetry);
  if (!store) return fail(store.error());
  parts->store = *std::move(store);
  flow::ShardConfig settings = shard_config(config, instance);
  auto transport = open_transport(config, settings, number, shared.telemetry);
  if (!transport) return fail(transport.error());
  parts->transport = *std::move(transport);
  auto resolver = CaresResolver::create();
  if (!resolver) return fail(resolver.error());
  parts->resolver = *std::move(resolver);
  parts->keys = std::make_unique<crypto::TenantKeys>(config.environment, shared.keys, shared.clock);
  parts->decode_mark =
      open_decode_mark(shared.data.decode_mark(number), shared.log.identity, shared.telemetry);
  parts->ports.emplace(flow::Ports{*parts->log, *parts->transport, *parts->resolver, *parts->store,
                                   shared.clock, parts->random, *parts->keys,
                                   shared.telemetry.observer(static_cast<int>(number)),
                                   parts->decode_mark.get(), &parts->schemas});
  parts->shard.emplace(*parts->ports, settings);
  parts->loop.emplace(*parts->shard, *parts->ports, parts->mailbox, config.drain.timeout);
  return std::unique_ptr<ShardHost>(new ShardHost(std::move(parts)));
}

void ShardHost::run(int signals, const std::function<void(int signal)>& on_signal) {
  if (parts_->decode_mark) parts_->decode_mark->watch_signals();
  parts_->loop->run(signals, on_signal);
}

void ShardHost::ask_to_end() {
  parts_->loop->ask_to_end();
}

bool ShardHost::view_damaged() const {
  return parts_->shard->view_damaged();
}

const std::string& ShardHost::view_directory() const {
  return parts_->view;
}

flow::Shard& ShardHost::shard() {
  return *parts_->shard;
}

Mailbox& ShardHost::mailbox() {
  return parts_->mailbox;
}

}  // namespace postrider
