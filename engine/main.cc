// postriderd: puts the rooms together and runs them. The only file, with engine/daemon, that names adapters.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/api/api.h"
#include "engine/config/config.h"
#include "engine/crypto/random_bytes.h"
#include "engine/crypto/secure_heap.h"
#include "engine/crypto/unwrapped_keys.h"
#include "engine/daemon/assembly.h"
#include "engine/daemon/error_text.h"
#include "engine/daemon/first_start.h"
#include "engine/daemon/hidden_memory.h"
#include "engine/daemon/shard_host.h"
#include "engine/daemon/shards_hop.h"
#include "engine/daemon/system_clock.h"
#include "engine/flow/shard.h"
#include "engine/oidc/issuer_tokens.h"
#include "engine/rocks/rocks_store.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

constexpr int kDone = 0, kFailed = 1, kRefused = 2;
constexpr std::size_t kDamagedMax = 5;
constexpr std::size_t kProbeConnections = 64;
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

RequestLimiter::Limits request_limits(const Config& config) {
  const auto& api = config.api;
  const double failures = api.failed_authentications;
  return {.tenant_token = {.per_second = static_cast<double>(api.tenant_token_rate)},
          .platform_token = {.per_second = static_cast<double>(api.platform_token_rate)},
          .address = {.per_second = static_cast<double>(api.address_rate)},
          .failures = {.per_second = failures / 60, .least = failures}};
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

using Shards = std::vector<std::unique_ptr<ShardHost>>;

Result<Shards> open_shards(const ShardHost::Shared& shared) {
  Shards shards;
  shards.reserve(shared.config.shards);
  for (std::size_t number = 0; number < shared.config.shards; ++number) {
    auto shard = ShardHost::open(shared, number);
    if (!shard) return fail(shard.error());
    shards.push_back(*std::move(shard));
  }
  return shards;
}

// Runs the first on this thread and each other on one of its own, until all have drained: when a signal asks
// for it, or one of them cannot go on. Returns whether it was a signal.
bool run_shards(Shards& shards, int signals, telemetry::Telemetry& telemetry) {
  const auto end_others = [&shards](std::size_t but) {
    for (std::size_t i = 0; i < shards.size(); ++i) {
      if (i != but) shards[i]->ask_to_end();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(shards.size() - 1);
  std::atomic<bool> ending = false;
  for (std::size_t i = 1; i < shards.size(); ++i) {
    threads.emplace_back([&, i] {
      shards[i]->run(-1, [](int) {});
      if (!ending.exchange(true)) end_others(i);
    });
  }
  bool asked = false;
  shards[0]->run(signals, [&](int) {
    asked = true;
    ending = true;
    telemetry.log("info", "draining", "taking nothing more, bringing home what is in flight");
    end_others(0);
  });
  if (!ending.exchange(true)) end_others(0);
  for (std::thread& thread : threads) thread.join();
  return asked;
}

// A renewed certificate is in force without a restart; a broken one leaves the old one in force.
void tell_certificates(const Result<void>& read, telemetry::Telemetry& telemetry) {
  if (read) return telemetry.log("info", "certificates_read", "the API's certificates have changed");
  telemetry.log("error", "certificates_unusable", read.error());
}

Api::Options api_options(const Config& config, telemetry::Telemetry& telemetry, OutsideTokens* outside) {
  Api::Options options;
  options.outside = outside;
  options.environment = config.environment;
  options.server.host = config.listen.host;
  options.server.port = config.listen.port;
  options.server.tls_cert = config.tls.cert;
  options.server.tls_key = config.tls.key;
  options.server.tls_client_ca = config.tls.client_ca;
  options.server.on_certificates = [&telemetry](const Result<void>& read) {
    tell_certificates(read, telemetry);
  };
  options.server.connections = config.api.connections;
  options.server.request_timeout = config.api.request_timeout;
  options.server.idle_timeout = config.api.idle_timeout;
  options.default_retry = config.retry.standard;
  options.limits = request_limits(config);
  if (config.api.probes) {
    options.probes.emplace();
    options.probes->host = config.api.probes->host;
    options.probes->port = config.api.probes->port;
    options.probes->connections = kProbeConnections;
  }
  return options;
}

std::unique_ptr<oidc::IssuerTokens> outside_tokens(const Config& config, const Clock& clock,
                                                   telemetry::Telemetry& telemetry,
                                                   oidc::IssuerTokens::Post post) {
  if (config.oidc.issuer.empty()) return nullptr;
  oidc::IssuerTokens::Options options;
  options.issuer = {config.oidc.issuer, config.oidc.ca_file, config.development()};
  options.rules = {config.oidc.issuer, config.oidc.audience, config.oidc.roles_claim, config.oidc.roles,
                   config.oidc.tenant_claim};
  options.keys_kept = config.oidc.keys_kept;
  options.refresh_every = std::min(options.refresh_every, options.keys_kept / 2);
  return std::make_unique<oidc::IssuerTokens>(
      std::move(options), clock, std::move(post), [&telemetry](const Result<void>& asked) {
        if (asked) return telemetry.log("info", "issuer_keys_read", "the issuer's keys are at hand");
        telemetry.log("error", "issuer_unavailable", asked.error());
      });
}

// From open views to drained shards. Returns nothing when a view was damaged meanwhile: it is wiped, and the
// next life builds it again.
std::optional<int> live(Config& config, const rocks::DataDir& data, int signals) {
  const SystemClock clock;
  telemetry::Telemetry telemetry({.environment = config.environment, .level = config.log_level}, clock);
  for (const std::string& warning : config.warnings) telemetry.log("warn", "configuration", warning);

  crypto::SystemRandom desk_random;
  auto keys_service = open_keys(config, telemetry);
  if (!keys_service) return refuse(keys_service.error());
  auto log = open_log(config, *keys_service->services, telemetry);
  if (!log) return refuse(log.error());
  tell_idle_shards(config, *log->client, telemetry);
  crypto::UnwrappedKeys keys(*keys_service->services, clock);
  auto shards = open_shards({config, data, *log, keys, clock, telemetry});
  if (!shards) return refuse(shards.error());
  if (auto removed = data.remove_views_from(config.shards); !removed) return refuse(removed.error());

  std::unique_ptr<Api> api;
  std::vector<ShardsHop::Shard> services;
  services.reserve(shards->size());
  for (const auto& shard : *shards) services.push_back({shard->shard().service(), shard->mailbox()});
  ShardsHop hop(services, [&api](std::function<void()> work) { api->post(std::move(work)); });
  Desk desk{*log->client, config.environment, desk_random, clock};
  const auto outside =  // ends before the API does, which has stopped by then
      outside_tokens(config, clock, telemetry,
                     [&api](std::function<void()> work) { api->post(std::move(work)); });
  api = std::make_unique<Api>(
      hop, desk, [&telemetry] { return telemetry.metrics_text(); },
      api_options(config, telemetry, outside.get()));
  if (auto started = api->start(); !started) return refuse(started.error());
  config.listen.port = api->port();  // a next life keeps the one that was found free
  if (config.api.probes) config.api.probes->port = api->probes_port();
  telemetry.log("info", "started", "listening on " + config.listen.host + ":" + std::to_string(api->port()),
                {{"instance", data.instance()},
                 {"log", format_log_place(config.log)},
                 {"probes", static_cast<std::int64_t>(api->probes_port())},
                 {"shards", static_cast<std::int64_t>(shards->size())}});

  flow::Shard& first = shards->front()->shard();
  first.on_joined = [&] { make_first_token(first.service(), first.registry(), config.data, telemetry); };
  const auto topic_watch = watch_topics(config, telemetry);
  const bool asked = run_shards(*shards, signals, telemetry);
  // What still waits for a shard gets no answer any more.
  api->stop(Millis(1000));
  if (asked) {
    telemetry.log("info", "stopped", "drained");
    telemetry.flush();
    return kDone;
  }
  std::vector<std::string> damaged;
  for (const auto& shard : *shards) {
    if (shard->view_damaged()) damaged.push_back(shard->view_directory());
  }
  shards->clear();  // lets go of the views' files
  for (const std::string& directory : damaged) {
    telemetry.log("error", "view_wiped",
                  "the view was damaged on the disk: it is wiped, and built again from the log",
                  {{"data", directory}});
    if (auto wiped = rocks::wipe(directory); !wiped) return refuse(wiped.error());
  }
  telemetry.flush();
  return std::nullopt;
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
  const crypto::SecureHeap secure = crypto::make_secure_heap();
  leave_heap_out_of_cores();
  auto config = load(file, variables_of(environ));
  if (!config) return refuse(config.error());
  forget_variables(config->secret_variables);
  if (!secure.locked) {
    config->warnings.emplace_back(
        "the system locks no memory for us, so signing secrets may be swapped out: raise the limit of locked "
        "memory (LimitMEMLOCK=infinity, ulimit -l), or use no swap");
  }
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
