// Registers endpoints by the hundred thousand: lays on the log what the API would have written, one record
// after the other: a tenant's key, an endpoint's sealed secret, its def. An embedded log must not be in use
// meanwhile.
//
//   bench_register --log L --environment E --keys file:F --prefix P --count N --per-tenant N --port PORT
//                  [--first-host N] [--retry 1h]… → {"registered":1000,"seconds":0.4}
//
// Endpoint i is <P>e<i> of tenant <P>t<i / per tenant>, at http://H:PORT/hook, H = 127.1.0.0 + first host +
// i.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/bytes.h"
#include "engine/core/registry.h"
#include "engine/crypto/file_key_service.h"
#include "engine/crypto/fresh_secrets.h"
#include "engine/crypto/random_bytes.h"
#include "engine/crypto/tenant_keys.h"
#include "engine/daemon/system_clock.h"
#include "engine/wire/codec.h"
#include "ops/log_access.h"

namespace {

using namespace postrider;

struct Wanted {
  ops::CommandLine line;  // which log, and whose keys
  std::string prefix = "e";
  std::uint32_t count = 1000, per_tenant = 8, first_host = 0;
  std::uint16_t port = 0;
  std::vector<std::string> retry{"standard"};
};

template <class T>
T must(Result<T> result) {
  if (result) return *std::move(result);
  std::fprintf(stderr, "bench_register: %s\n", result.error().message.c_str());
  std::exit(1);
}

// Makes the records; seals with one set of keys, so one thread at a time.
class Registrar {
 public:
  Registrar(const Wanted& wanted, const Environment& environment, KeyService& service)
      : wanted_(wanted),
        environment_(environment),
        retry_(must(parse_retry_policy(wanted.retry))),
        keys_(environment, service, clock_) {}

  NewRecord key_of(std::uint32_t tenant) {
    const std::scoped_lock lock(mutex_);
    const WrappedKeyFact fact = must(keys_.make_key(tenant_id(tenant)));
    keys_.apply(fact);
    return record(Topic::keys, fact.tenant.str() + "/" + fact.key_id, wire::encode(environment_, fact));
  }

  // The secret, then the def, as commands.cc has it.
  std::vector<NewRecord> endpoint(std::uint32_t number) {
    const std::scoped_lock lock(mutex_);
    EndpointDef def = def_of(number);
    const EndpointSecret secret = secret_of(def);
    def.secret_ids = {secret.id};
    return {record(Topic::endpoints, secret_key(secret), wire::encode(environment_, secret)),
            record(Topic::endpoints, def_key(def.tenant, def.id), wire::encode(environment_, def))};
  }

 private:
  TenantId tenant_id(std::uint32_t tenant) const {
    return TenantId(wanted_.prefix + "t" + std::to_string(tenant));
  }

  std::string random_name(std::string_view prefix) {
    const std::uint64_t high = random_.next();
    return random_id(prefix, high, random_.next());
  }

  EndpointDef def_of(std::uint32_t number) {
    EndpointDef def;
    def.tenant = tenant_id(number / wanted_.per_tenant);
    def.id = EndpointId(wanted_.prefix + "e" + std::to_string(number));
    def.incarnation = Incarnation(random_name("inc_"));
    def.revision = def.enable_revision = 1;
    def.url = url_of(number);
    def.types = {"*"};
    def.retry = retry_;
    def.changed_by = "benchmark";
    def.changed_at = to_ms(clock_.wall());
    return def;
  }

  std::string url_of(std::uint32_t number) const {
    const std::uint32_t host = (127u << 24 | 1u << 16) + wanted_.first_host + number;
    std::string text = "http://";
    for (int shift = 24; shift >= 0; shift -= 8)
      text += std::to_string(host >> shift & 255u) + (shift == 0 ? ":" : ".");
    return text + std::to_string(wanted_.port) + "/hook";
  }

  EndpointSecret secret_of(const EndpointDef& def) {
    const SigningSecret secret = crypto::fresh_signing_secret();
    EndpointSecret fact;
    fact.tenant = def.tenant;
    fact.endpoint = def.id;
    fact.incarnation = def.incarnation;
    fact.id = random_name("sec_");
    fact.created_at = def.changed_at;
    const Digest digest = sha256(def.incarnation.str() + "." + std::string(secret.key.reveal()));
    fact.digest = hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
    fact.sealed =
        must(keys_.seal({environment_, def.tenant, format_target({def.id, def.incarnation}), "secret"},
                        format_signing_secret(secret).reveal()));
    return fact;
  }

  static NewRecord record(Topic topic, std::string key, std::string value) {
    NewRecord made;
    made.topic = topic;
    made.partition = 0;
    made.key = std::move(key);
    made.value = std::move(value);
    return made;
  }

  const Wanted& wanted_;
  const Environment environment_;
  const RetryPolicy retry_;
  SystemClock clock_;
  std::mutex mutex_;
  crypto::SystemRandom random_;
  crypto::TenantKeys keys_;
};

// An append answers when it is durable: those of many threads share a sync.
void each_of(std::uint32_t count, const std::function<void(std::uint32_t)>& one) {
  constexpr std::size_t kThreads = 128;
  std::atomic<std::uint32_t> next{0};
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (std::uint32_t number = next++; number < count; number = next++) one(number);
    });
  }
}

void run(const Wanted& wanted) {
  auto log = must(ops::open_log(wanted.line, ops::Events::untouched));
  auto service = must(crypto::open_file_key_service(must(ops::key_file_of(wanted.line))));
  Registrar registrar(wanted, must(ops::environment_of(wanted.line)), *service);
  const auto begin = std::chrono::steady_clock::now();
  each_of((wanted.count + wanted.per_tenant - 1) / wanted.per_tenant,
          [&](std::uint32_t tenant) { must(log.client->append(registrar.key_of(tenant))); });
  each_of(wanted.count, [&](std::uint32_t number) {
    for (NewRecord& record : registrar.endpoint(number)) must(log.client->append(std::move(record)));
  });
  std::printf("{\"registered\":%u,\"seconds\":%.2f}\n", wanted.count,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

}  // namespace

int main(int count, char** words) {
  Wanted wanted;
  CLI::App app("Registers endpoints for a benchmark.");
  app.add_option("--log", wanted.line.log)->required();
  app.add_option("--environment", wanted.line.environment)->required();
  app.add_option("--keys", wanted.line.keys)->required();
  app.add_option("--prefix", wanted.prefix);
  app.add_option("--count", wanted.count);
  app.add_option("--per-tenant", wanted.per_tenant)->check(CLI::PositiveNumber);
  app.add_option("--port", wanted.port)->required();
  app.add_option("--first-host", wanted.first_host);
  app.add_option("--retry", wanted.retry, "a policy's name, or its delays");
  CLI11_PARSE(app, count, words);
  run(wanted);
  return 0;
}
