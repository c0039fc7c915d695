// The engine's single steps, each by the number that might make it dearer: does what is right at a hundred
// stay right at ten million?
//
//   bench_micro [--max=N] [Google Benchmark's words, e.g. --benchmark_filter=router --benchmark_format=json]
//
// Sizes are 100, 1,000, … up to N (1,000,000 when not said). Of the signer and the decoders a size is the
// event's bytes; of the router, endpoints registered; of the watermark, offsets unsettled; of the due index,
// deliveries parked; of the round, endpoints that have a delivery waiting. What is built for a size is built
// once.
#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/registry.h"
#include "engine/core/watermark.h"
#include "engine/crypto/fresh_secrets.h"
#include "engine/crypto/signer.h"
#include "engine/flow/view.h"
#include "engine/rocks/rocks_store.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "tests/flow/world.h"

namespace postrider {
namespace {

template <class T>
T must(Result<T> result) {
  if (result) return *std::move(result);
  std::fprintf(stderr, "bench_micro: %s\n", result.error().message.c_str());
  std::abort();
}

void must(const Result<void>& result) {
  if (result) return;
  std::fprintf(stderr, "bench_micro: %s\n", result.error().message.c_str());
  std::abort();
}

std::function<void()> drop_fixture = [] {};

// What stands while one size is measured: Google Benchmark calls a function several times for each. One at a
// time; dropped before main() ends, since RocksDB must not outlive its own statics.
template <class Fixture>
Fixture& fixture_of(std::int64_t size) {
  static std::unique_ptr<Fixture> kept;
  static std::int64_t kept_size = 0;
  if (!kept || kept_size != size) {
    drop_fixture();
    kept = std::make_unique<Fixture>(size);
    kept_size = size;
    drop_fixture = [] { kept.reset(); };
  }
  return *kept;
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

Event event_of(std::size_t bytes) {
  Event event;
  event.id = "1b1f3c6e-6a0f-4d8b-9f57-3a1f0c6e2d11";
  event.source = "/shop/eu";
  event.type = "order.created";
  event.time = "2026-01-01T00:00:00Z";
  event.datacontenttype = "application/json";
  event.tenant = TenantId("acme");
  event.extensions = {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
  event.data = "{\"padding\":\"" + std::string(bytes < 14 ? 0 : bytes - 14, 'x') + "\"}";
  return event;
}

// --- signer and decoders, by bytes

void signer(benchmark::State& state) {
  std::vector<SigningSecret> secrets;
  secrets.push_back(crypto::fresh_signing_secret());
  const auto one = must(crypto::make_signer(secrets));
  const std::string body(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(one->sign("msg_0000000000000000000000.1760000000.", body));
}

void decoder_binary(benchmark::State& state) {
  const auto message = wire::encode_kafka(event_of(static_cast<std::size_t>(state.range(0))));
  for (auto _ : state)
    benchmark::DoNotOptimize(wire::decode_kafka(message.key, message.headers, message.value, false));
}

void decoder_json(benchmark::State& state) {
  const Event event = event_of(static_cast<std::size_t>(state.range(0)));
  const std::string text = R"({"specversion":"1.0","id":")" + event.id + R"(","source":")" + event.source +
                           R"(","type":")" + event.type + R"(","tenant":"acme","data":)" + event.data + "}";
  const Headers headers{{"content-type", std::string(wire::kStructuredJson)}};
  for (auto _ : state) benchmark::DoNotOptimize(wire::decode_kafka("acme", headers, text, false));
}

// --- router, by endpoints

constexpr std::int64_t kPerTenant = 10;

// Endpoints as the registry holds them: ten a tenant, of which three take the type that is asked for.
class RegisteredEndpoints {
 public:
  explicit RegisteredEndpoints(std::int64_t count) : tenants_(std::max<std::int64_t>(1, count / kPerTenant)) {
    const double before = resident_bytes();
    for (std::int64_t i = 0; i < count; ++i) declare(i);
    bytes_each = (resident_bytes() - before) / static_cast<double>(count);
    event_ = event_of(1024);
  }

  std::size_t route() {
    event_.tenant = tenant(static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(tenants_)));
    return registry_.route(event_).size();
  }

  double bytes_each = 0;

 private:
  static TenantId tenant(std::int64_t number) { return TenantId("tenant-" + std::to_string(number)); }

  void declare(std::int64_t number) {
    EndpointDef def;
    def.tenant = tenant(number / kPerTenant);
    def.id = EndpointId("endpoint-" + std::to_string(number % kPerTenant));
    def.incarnation = Incarnation(random_id("inc_", random_(), random_()));
    def.revision = def.enable_revision = 1;
    def.url = "https://hooks-" + std::to_string(number) + ".example.com/postrider";
    def.types = {number % kPerTenant < 3 ? "order.*" : "invoice.paid"};
    EndpointSecret secret;
    secret.tenant = def.tenant;
    secret.endpoint = def.id;
    secret.incarnation = def.incarnation;
    secret.id = random_id("sec_", random_(), random_());
    secret.digest = std::string(64, 'a');
    secret.sealed = std::string(200, 's');  // about what a sealed secret takes
    def.secret_ids = {secret.id};
    registry_.apply(secret, wire::encode(Environment("production"), secret));
    registry_.apply(def, wire::encode(Environment("production"), def));
  }

  const std::int64_t tenants_;
  std::mt19937_64 random_{7};
  Registry registry_;
  Event event_;
};

void router(benchmark::State& state) {
  auto& endpoints = fixture_of<RegisteredEndpoints>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(endpoints.route());
  state.counters["bytes_each"] = endpoints.bytes_each;
}

// --- watermark, by unsettled offsets

// So many offsets are unsettled all the time; which one settles next is chance.
class Window {
 public:
  explicit Window(std::int64_t size) {
    for (std::int64_t i = 0; i < size; ++i) {
      watermark_.received(next_);
      unsettled_.push_back(next_++);
    }
  }
  Offset settle_one() {
    Offset& chosen = unsettled_[random_() % unsettled_.size()];
    watermark_.settled(chosen);
    watermark_.received(next_);
    chosen = next_++;
    return watermark_.next_to_commit();
  }

 private:
  Watermark watermark_;
  Offset next_ = 0;
  std::vector<Offset> unsettled_;
  std::mt19937_64 random_{7};
};

void watermark(benchmark::State& state) {
  auto& window = fixture_of<Window>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(window.settle_one());
}

// --- due index, by parked deliveries

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "bench-micro-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_ + "/view"; }

 private:
  std::string path_;
};

// A view on disk in which a delivery is due each millisecond. What is taken from the front goes to the end.
class ParkedDeliveries {
 public:
  explicit ParkedDeliveries(std::int64_t count) : end_(count) {
    instance_.start();
    store_ =
        must(rocks::RocksStore::open({.directory = directory_.path(), .environment = world::kEnvironment}));
    context_ = std::make_unique<flow::Context>(
        flow::Context{{*instance_.log, *instance_.line, *instance_.resolver, *store_, instance_.clock,
                       instance_.random, *instance_.keys, instance_.observer},
                      instance_.config,
                      {}});
    view_ = std::make_unique<flow::View>(*context_);
    ParkedState state;
    state.delivery = ref(0);
    const std::string bytes = wire::encode(world::kEnvironment, state);
    for (std::int64_t i = 0; i < count; ++i) {
      state.delivery.id = ref(i).id;
      state.due = i;
      view_->put_parked(state, bytes, std::nullopt);
      if (view_->waiting() > 2000) must(view_->flush());
    }
    must(view_->flush());
    must(store_->compact(Family::due));
  }

  // The next one that is due, as Parking asks for it.
  bool look() {
    found_ = view_->due(0, from_, end_, 1);
    return !found_.empty();
  }

  // And parked again.
  void move() {
    if (!look()) std::abort();
    DeliveryRef moved = ref(0);
    moved.id = found_.front().id;
    view_->move_due(moved, found_.front().due, end_++);
    from_ = found_.front();
    if (++moved_ % 100 == 0) must(view_->flush());
  }

 private:
  static DeliveryRef ref(std::int64_t number) {
    DeliveryRef ref;
    ref.event_id = "1b1f3c6e-6a0f-4d8b-9f57-3a1f0c6e2d11";
    ref.event_type = "order.created";
    ref.tenant = TenantId("acme");
    ref.target = {EndpointId("shop"), Incarnation("inc_" + std::string(22, 'a'))};
    ref.position = {0, number};
    ref.webhook_id = WebhookId("msg_" + std::string(22, 'a'));
    ref.id = delivery_id(world::kIdentity, ref.position, ref.webhook_id, ref.target.incarnation, {});
    return ref;
  }

  Directory directory_;
  world::World world_;
  world::Instance instance_{world_.clocks, world_.cluster, world_.transport, "ins_1"};
  std::unique_ptr<rocks::RocksStore> store_;
  std::unique_ptr<flow::Context> context_;
  std::unique_ptr<flow::View> view_;
  flow::View::Due from_;
  std::vector<flow::View::Due> found_;
  std::int64_t end_ = 0, moved_ = 0;
};

void due_lookup(benchmark::State& state) {
  auto& parked = fixture_of<ParkedDeliveries>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(parked.look());
}

void due_move(benchmark::State& state) {
  auto& parked = fixture_of<ParkedDeliveries>(state.range(0));
  for (auto _ : state) parked.move();
}

// --- the round, by endpoints that wait in it

// A whole shard over fakes (tests/flow/world.h), so the figure holds theirs too: what tells is how it grows.
class WaitingEndpoints {
 public:
  explicit WaitingEndpoints(std::int64_t count) {
    world_.transport.answer = [](const std::string&, int) { return world::answered(200); };
    world_.begin();
    world_.declare("first");
    for (std::int64_t i = 1; i < count; ++i) declare_like_the_first(i);
    world_.run(std::chrono::seconds(5));
  }

  // One event to all of them.
  void deliver(std::size_t count) {
    auto& attempts = world_.one().observer.attempts;
    attempts.clear();
    world_.transport.arrivals.clear();
    world_.publish("event-" + std::to_string(++events_));
    if (!world_.run_until([&] { return attempts.size() >= count; })) std::abort();
  }

 private:
  void declare_like_the_first(std::int64_t number) {
    if (first_.tenant.empty()) read_first();
    EndpointDef def = first_;
    def.id = EndpointId("endpoint-" + std::to_string(number));
    def.incarnation = Incarnation(random_id("inc_", 1, static_cast<std::uint64_t>(number)));
    EndpointSecret secret = secret_;
    secret.endpoint = def.id;
    secret.incarnation = def.incarnation;
    secret.sealed = must(world_.one().keys->seal(
        {world::kEnvironment, def.tenant, format_target({def.id, def.incarnation}), "secret"},
        format_signing_secret(crypto::fresh_signing_secret()).reveal()));
    append(secret_key(secret), wire::encode(world::kEnvironment, secret));
    append(def_key(def.tenant, def.id), wire::encode(world::kEnvironment, def));
  }

  void read_first() {
    for (const auto& [offset, record] : world_.cluster.records[{Topic::endpoints, 0}]) {
      const auto fact = must(wire::decode_registry(world::kEnvironment, *record.value));
      if (const auto* def = std::get_if<EndpointDef>(&fact)) first_ = *def;
      if (const auto* secret = std::get_if<EndpointSecret>(&fact)) secret_ = *secret;
    }
  }

  void append(std::string key, std::string value) {
    world_.cluster.append({.topic = Topic::endpoints,
                           .partition = 0,
                           .key = std::move(key),
                           .value = std::move(value),
                           .headers = {}});
  }

  world::World world_;
  EndpointDef first_;
  EndpointSecret secret_;
  int events_ = 0;
};

void fair_round(benchmark::State& state) {
  auto& waiting = fixture_of<WaitingEndpoints>(state.range(0));
  for (auto _ : state) waiting.deliver(static_cast<std::size_t>(state.range(0)));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void add(const char* name, void (*step)(benchmark::State&), std::int64_t most) {
  benchmark::RegisterBenchmark(name, step)
      ->RangeMultiplier(10)
      ->Range(100, std::max<std::int64_t>(100, most));
}

// What a size would need of memory, and there is not, is left out.
std::int64_t within_memory(std::int64_t most, std::int64_t bytes_each) {
  const std::int64_t memory = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  while (most > 100 && most * bytes_each > memory / 2) most /= 10;
  return most;
}

int run(int count, char** words) {
  std::int64_t most = 1'000'000;
  std::vector<char*> others;
  for (int i = 0; i < count; ++i) {
    if (std::string_view(words[i]).starts_with("--max="))
      most = std::atoll(words[i] + 6);
    else
      others.push_back(words[i]);
  }
  add("signer", signer, most);
  add("decoder_binary", decoder_binary, most);
  add("decoder_json", decoder_json, most);
  add("router", router, within_memory(most, 2048));
  add("watermark", watermark, most);
  for (std::int64_t size = 100; size <= most; size *= 10) {  // one fixture for both
    benchmark::RegisterBenchmark("due_lookup", due_lookup)->Arg(size);
    benchmark::RegisterBenchmark("due_move", due_move)->Arg(size);
  }
  add("fair_round", fair_round, std::min<std::int64_t>(most, 10'000));
  int left = static_cast<int>(others.size());
  benchmark::Initialize(&left, others.data());
  if (benchmark::ReportUnrecognizedArguments(left, others.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  drop_fixture();
  return 0;
}

}  // namespace
}  // namespace postrider

int main(int count, char** words) {
  return postrider::run(count, words);
}
