// The producers of a benchmark: N events of 1 KiB, as fast as the log takes them or at a steady rate, through
// the publisher library.
//
//   bench_load --to kafka://…|http://… --environment E --count N [--tenants N] [--prefix P] [--bytes N]
//   [--rate N] [--token-file F] → {"published":1000,"seconds":0.31}
//
// Event i goes to tenant <prefix><i % tenants>. Its attribute `sentat` is a wall clock in microseconds: of
// the moment before it is handed to the library; at a steady rate, of the moment at which it was to be, so
// that a log that keeps its producer waiting is not spared.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "producers/publisher.h"

namespace {

using postrider::Event;
using postrider::producers::PublisherOptions;
using Clock = std::chrono::steady_clock;

struct Load {
  std::string to, environment, token_file, prefix = "t";
  unsigned count = 1000, tenants = 1, bytes = 1024, rate = 0;
};

using WallClock = std::chrono::system_clock;

Event event_of(const Load& load, unsigned number, const std::string& run, const std::string& data,
               WallClock::time_point sent) {
  Event event;
  event.id = run + "-" + std::to_string(number);
  event.source = "/benchmark";
  event.type = "order.created";
  event.tenant = postrider::TenantId(load.prefix + std::to_string(number % load.tenants));
  event.datacontenttype = "application/json";
  event.data = data;
  const auto at = std::chrono::duration_cast<std::chrono::microseconds>(sent.time_since_epoch());
  event.extensions.emplace_back("sentat", std::to_string(at.count()));
  return event;
}

std::string first_line(const std::string& file) {
  std::string line;
  std::ifstream in(file);
  std::getline(in, line);
  return line;
}

void warm_up(postrider::producers::Publisher& publisher, const Load& load, const std::string& run) {
  Event event;
  event.id = run + "-warm-up";
  event.source = "/benchmark";
  event.type = "order.created";
  event.tenant = postrider::TenantId(load.prefix + "-warm-up");
  event.datacontenttype = "application/json";
  event.data = "{}";
  publisher.publish(event, [](const auto&) {});
  publisher.flush(std::chrono::minutes(2));
}

int run(const Load& load) {
  PublisherOptions options;
  options.to = load.to;
  options.environment = postrider::Environment(load.environment);
  if (!load.token_file.empty()) options.token = first_line(load.token_file);
  auto publisher = postrider::producers::open_publisher(options);
  if (!publisher) {
    std::fprintf(stderr, "bench_load: %s\n", publisher.error().message.c_str());
    return 1;
  }
  const std::string run = postrider::producers::random_event_id();
  const std::string data = "{\"padding\":\"" + std::string(load.bytes - 14, 'x') + "\"}";
  if (load.rate != 0) warm_up(**publisher, load, run);
  std::atomic<unsigned> published{0};
  std::atomic<bool> failed{false};
  const auto begin = Clock::now();
  const auto wall_begin = WallClock::now();
  for (unsigned i = 0; i < load.count; ++i) {
    auto sent = WallClock::now();
    if (load.rate != 0) {
      const auto after = std::chrono::microseconds(1'000'000ull * i / load.rate);
      std::this_thread::sleep_until(begin + after);
      sent = wall_begin + after;
    }
    (*publisher)->publish(event_of(load, i, run, data, sent), [&](auto answer) {
      if (answer)
        ++published;
      else if (!failed.exchange(true))
        std::fprintf(stderr, "bench_load: %s\n", answer.error().message.c_str());
    });
  }
  (*publisher)->flush(std::chrono::minutes(2));
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf("{\"published\":%u,\"seconds\":%.3f}\n", published.load(), seconds);
  return published == load.count ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  Load load;
  CLI::App app("Publishes events for a benchmark.");
  app.add_option("--to", load.to)->required();
  app.add_option("--environment", load.environment)->required();
  app.add_option("--token-file", load.token_file);
  app.add_option("--count", load.count);
  app.add_option("--tenants", load.tenants)->check(CLI::PositiveNumber);
  app.add_option("--prefix", load.prefix, "of the tenants' ids");
  app.add_option("--bytes", load.bytes)->check(CLI::Range(16, 262144));
  app.add_option("--rate", load.rate);
  CLI11_PARSE(app, count, words);
  return run(load);
}
