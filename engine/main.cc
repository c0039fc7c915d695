// postriderd: puts the rooms together and runs them. The only file, with engine/daemon, that names adapters.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/api/api.h"
#include "engine/config/config.h"
#include "engine/crypto/random_bytes.h"
#include "engine/crypto/tenant_keys.h"
#include "engine/curl/cares_resolver.h"
#include "engine/curl/connect_guard.h"
#include "engine/curl/curl_transport.h"
#include "engine/daemon/assembly.h"
#include "engine/daemon/decode_mark_file.h"
#include "engine/daemon/error_text.h"
#include "engine/daemon/first_start.h"
#include "engine/daemon/loop.h"
#include "engine/daemon/service_hop.h"
#include "engine/daemon/system_clock.h"
#include "engine/embedded/embedded_log.h"
#include "engine/flow/shard.h"
#include "engine/rocks/rocks_store.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

constexpr int kDone = 0, kFailed = 1, kRefused = 2;
constexpr std::size_t kDamagedMax = 5;
constexpr Millis kDamagedWithin = std::chrono::hours(1);

int refuse(const Error& error) {
  std::fputs((error_json(error) + "\n").c_str(), stderr);
  return kRefused;
}

// Every connection is a file: the soft limit of 1,024 would be our first bound.
void raise_file_limit() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

// What the limit leaves for connections to customers, beside the view's and the log's files and the API's
// clients.
std::size_t connections_within_file_limit(const Config& config) {
  constexpr std::size_t kFiles = 768, kLeast = 64, kMost = 3 * 4096;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return kLeast;
  const auto limit = static_cast<std::size_t>(std::min<rlim_t>(files.rlim_cur, 1 << 20));
  const std::size_t others = kFiles + std::min<std::size_t>(config.api.connections, limit / 4);
  return std::clamp(limit - std::min(limit, others), kLeast, kMost);
}

// SIGTERM and SIGINT arrive as reads of the loop; a client or broker that goes away must not end us.
int take_signals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
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
  shard.bytes_max = config.limits.memory_bytes;
  shard.window_max = config.limits.window;
  shard.addresses = address_policy(config);
  shard.endpoints_per_host = config.guard.endpoints_per_host;
  return shard;
}

// The first start in an environment makes an administrator's token: its hash is a fact on the log, the token
// itself stands once in a file.
void make_first_token(Service& service, const flow::RegistryView& registry, const std::string& data,
                      telemetry::Telemetry& telemetry) {
  if (registry.registry().has_tokens()) return;
  service.rotate_admin_token([data, &telemetry](Result<Secret> token) {
    auto path = token ? write_admin_token(data, *token) : Result<std::string>(fail(token.error()));
    if (path) {
      telemetry.log("info", "admin_token_made", "the administrator's token stands in " + *path);
    } else {
      telemetry.log("error", "admin_token_failed", path.error());
    }
  });
}

// A record that kills whoever decodes it is set aside after the third time.
std::unique_ptr<DecodeMarkFile> open_decode_mark(const std::string& data, const LogIdentity& log,
                                                 telemetry::Telemetry& telemetry) {
  auto mark = DecodeMarkFile::open(data + "/decoding", log);
  if (!mark) {
    telemetry.log("warn", "decode_mark_off", mark.error());
    return nullptr;
  }
  if ((*mark)->was_garbled())
    telemetry.log("warn", "decode_mark_garbled",
                  data + "/decoding was torn: written anew, its count is lost");
  if (const auto& death = (*mark)->last_death()) {
    telemetry.log("error", "died_decoding",
                  "the last process died by signal " + std::to_string(death->signal) +
                      " while it decoded offset " + std::to_string(death->position.offset) +
                      " of partition " + std::to_string(death->position.partition) + ": " +
                      std::to_string(death->deaths) + " of " + std::to_string(DecodeMarkFile::kDeathsMax) +
                      " times, after which the record is set aside");
  }
  (*mark)->watch_signals();
  return *std::move(mark);
}

// From an open view to a drained shard. Returns nothing when the view was damaged meanwhile: it is to be
// wiped, and the next life builds it again.
std::optional<int> live(Config& config, const rocks::DataDir& data, int signals) {
  SystemClock clock;
  telemetry::Telemetry telemetry({.environment = config.environment, .level = config.log_level}, clock);
  for (const std::string& warning : config.warnings) telemetry.log("warn", "configuration", warning);

  crypto::SystemRandom random;
  crypto::SystemRandom desk_random;
  auto keys_service = open_keys(config, telemetry);
  if (!keys_service) return refuse(keys_service.error());
  auto log = open_log(config, data.instance(), **keys_service, telemetry);
  if (!log) return refuse(log.error());
  auto store = open_store(config, data, log->identity, telemetry);
  if (!store) return refuse(store.error());
  flow::ShardConfig shard_settings = shard_config(config, data.instance());
  const std::size_t connections = connections_within_file_limit(config);
  if (connections / 3 < shard_settings.in_flight_max) {
    telemetry.log("warn", "few_files",
                  "the limit of open files allows " + std::to_string(connections / 3) +
                      " attempts at once: raise it to 32768 or more (LimitNOFILE, ulimit -Hn)");
  }
  shard_settings.in_flight_max = std::min(shard_settings.in_flight_max, connections / 3);
  // As many connections as attempts: none waits inside the transport, behind somebody who hangs.
  auto transport = CurlTransport::create({.policy = address_policy(config),
                                          .proxy = config.guard.proxy,
                                          .ca_file = config.delivery.ca_file,
                                          .connections_max = shard_settings.in_flight_max,
                                          .connections_kept_max = connections * 2 / 3});
  if (!transport) return refuse(transport.error());
  auto resolver = CaresResolver::create();
  if (!resolver) return refuse(resolver.error());
  crypto::TenantKeys keys(config.environment, **keys_service, clock);

  const auto decode_mark = open_decode_mark(data.path(), log->identity, telemetry);
  flow::Ports ports{*log->shard, **transport, **resolver,           **store,          clock,
                    random,      keys,        telemetry.observer(), decode_mark.get()};
  flow::Shard shard(ports, shard_settings);

  Mailbox mailbox;
  std::unique_ptr<Api> api;
  ServiceHop hop(shard.service(), mailbox,
                 [&api](std::function<void()> work) { api->post(std::move(work)); });
  Api::Options options;
  options.environment = config.environment;
  options.server.host = config.listen.host;
  options.server.port = config.listen.port;
  options.server.tls_cert = config.tls.cert;
  options.server.tls_key = config.tls.key;
  options.server.connections = config.api.connections;
  options.server.request_timeout = config.api.request_timeout;
  options.server.idle_timeout = config.api.idle_timeout;
  options.default_retry = config.retry.standard;
  Desk desk{*log->client, config.environment, desk_random, clock};
  api = std::make_unique<Api>(
      hop, desk, [&telemetry] { return telemetry.metrics_text(); }, options);
  if (auto started = api->start(); !started) return refuse(started.error());
  config.listen.port = api->port();  // a next life keeps the one that was found free
  telemetry.log("info", "started", "listening on " + config.listen.host + ":" + std::to_string(api->port()),
                {{"instance", data.instance()}, {"log", format_log_place(config.log)}});

  shard.on_joined = [&] { make_first_token(shard.service(), shard.registry(), config.data, telemetry); };
  const auto topic_watch = watch_topics(config, telemetry);
  Loop loop(shard, ports, mailbox);
  const Loop::End end = loop.run(signals, config.drain.timeout, [&telemetry](int) {
    telemetry.log("info", "draining", "taking nothing more, bringing home what is in flight");
  });
  // What still waits for the shard gets no answer any more.
  api->stop(Millis(1000));
  if (end == Loop::End::view_damaged) {
    telemetry.log("error", "view_wiped",
                  "the view was damaged on the disk: it is wiped, and built again from the log",
                  {{"data", data.view()}});
    telemetry.flush();
    return std::nullopt;
  }
  telemetry.log("info", "stopped", "drained");
  telemetry.flush();
  return kDone;
}

int run(Config config) {
  const int signals = take_signals();
  raise_file_limit();
  wire::silence_protobuf();
  crypto::SystemRandom random;
  // Locked from here on: nobody else takes it between two lives.
  const auto data = rocks::DataDir::open(config.data, config.environment, random);
  if (!data) return refuse(data.error());
  for (std::deque<SteadyTime> damaged;;) {
    if (const auto code = live(config, **data, signals)) return *code;
    if (auto wiped = rocks::wipe((*data)->view()); !wiped) return refuse(wiped.error());
    damaged.push_back(SystemClock().steady());
    if (damaged.size() < kDamagedMax) continue;
    if (damaged.back() - damaged.front() < kDamagedWithin) {
      refuse({Errc::corrupt, "VIEW_DAMAGED_AGAIN",
              "the view was damaged " + std::to_string(kDamagedMax) + " times within an hour",
              "look at the disk and the memory of this machine; then start again: the view is built from the "
              "log"});
      return kFailed;
    }
    damaged.pop_front();
  }
}

int start(int argc, char** argv) {
  CLI::App app{"Postrider: delivers events from the log as signed webhooks."};
  app.set_version_flag("--version", "postriderd 0.1.0");
  std::string file;
  bool check_only = false;
  app.add_option("--config", file, "TOML file; POSTRIDER_… variables beat it")->check(CLI::ExistingFile);
  app.add_flag("--check", check_only, "validate, print the effective configuration, exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kDone : kRefused;
  }
  auto config = load(file, variables_of(environ));
  if (!config) return refuse(config.error());
  if (check_only) {
    std::fputs(print(*config).c_str(), stdout);
    return kDone;
  }
  return run(*std::move(config));
}

}  // namespace
}  // namespace postrider

int main(int argc, char** argv) {
  return postrider::start(argc, argv);
}
