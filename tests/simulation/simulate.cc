// Runs the whole engine in virtual time, with everything around it failing as it may, and judges it.
//
//   simulate                         one run, of a new seed
//   simulate --seed N [--trace]      that run again, exactly; --trace tells its history
//   simulate --seed N --shrink       and, if it breaks an invariant, the least of it that still breaks one
//   simulate --seed N --without outages,moods --events 7   what the latter has found
//   simulate --seeds N [--from S]    N runs from seed S on
//   simulate --seconds T [--from S]  as many as fit into T seconds
// Exit: 0 every invariant held, 1 one did not (the seed, what was broken, and the command that repeats it).
#include <sys/personality.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include "tests/simulation/run.h"
#include "tests/simulation/shrink.h"

namespace {

using postrider::simulation::Cuts;
using postrider::simulation::Report;
using postrider::simulation::Run;
using postrider::simulation::Scenario;
using postrider::simulation::shrink;

constexpr int kRunsToShrink = 60;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The order in which hash tables are walked hangs on addresses: without this the same seed might not be the
// same run.
void fix_addresses(char** words) {
  const int now = personality(0xffffffff);
  if (now == -1 || (now & ADDR_NO_RANDOMIZE) != 0) return;
  if (personality(static_cast<unsigned long>(now) | ADDR_NO_RANDOMIZE) != -1) execv("/proc/self/exe", words);
}

void tell(const Report& report, const std::string& program, bool trace, const Cuts& cuts = {}) {
  if (trace) {
    for (const std::string& line : report.trace) std::puts(line.c_str());
  }
  std::printf("seed %llu: %s\n  %s\n  again: %s --seed %llu%s --trace\n",
              static_cast<unsigned long long>(report.scenario.seed), report.broken->c_str(),
              report.scenario.words().c_str(), program.c_str(),
              static_cast<unsigned long long>(report.scenario.seed), cuts.options().c_str());
}

void tell_the_least(const Report& report, const std::string& program) {
  const auto least = shrink(report, kRunsToShrink);
  std::puts("shrunk:");
  tell(least.report, program, false, least.cuts);
}

}  // namespace

int main(int count, char** words) {
  fix_addresses(words);
  std::uint64_t seed = 0, seeds = 0, from = 0;
  double seconds = 0;
  bool trace = false, keep_going = false, least = false;
  Cuts cuts;
  CLI::App app(
      "Runs the engine in virtual time, with everything around it failing as it may, and judges it.");
  app.add_option("--seed", seed, "that run");
  app.add_option("--seeds", seeds, "so many runs");
  app.add_option("--seconds", seconds, "as many runs as fit");
  app.add_option("--from", from, "the first seed; otherwise by the clock");
  app.add_flag("--trace", trace, "tells what happened");
  app.add_flag("--shrink", least, "makes a broken run smaller");
  app.add_option("--without", cuts.without, "kinds of faults and of work to leave out")->delimiter(',');
  app.add_option("--events", cuts.events, "no more than these");
  app.add_option("--tenants", cuts.tenants);
  app.add_option("--endpoints", cuts.endpoints, "of a tenant");
  app.add_option("--processes", cuts.processes);
  app.add_flag("--keep-going", keep_going, "beyond the first broken invariant");
  CLI11_PARSE(app, count, words);

  if (app.count("--seed") > 0) {
    const Report report = Run(cuts.applied_to(Scenario::draw(seed)), trace).finish();
    if (report.broken) {
      tell(report, words[0], trace, cuts);
      if (least) tell_the_least(report, words[0]);
      return 1;
    }
    for (const std::string& line : report.trace) std::puts(line.c_str());
    std::printf("seed %llu: every invariant held; %s\n", static_cast<unsigned long long>(seed),
                report.scenario.words().c_str());
    return 0;
  }
  if (app.count("--from") == 0) {
    from =
        static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count() / 1'000'000);
  }
  if (seeds == 0 && seconds <= 0) seeds = 1;
  std::printf("first seed %llu\n", static_cast<unsigned long long>(from));
  std::fflush(stdout);
  const double begin = now();
  std::uint64_t done = 0, broken = 0, events = 0, deliveries = 0, arrivals = 0, repeats = 0, dead = 0;
  double hours = 0;
  while (seeds > 0 ? done < seeds : now() - begin < seconds) {
    const Report report = Run(Scenario::draw(from + done), false).finish();
    ++done;
    events += report.counts.events;
    deliveries += report.counts.deliveries;
    arrivals += report.counts.arrivals;
    repeats += report.counts.repeats;
    dead += report.counts.dead;
    hours += static_cast<double>(report.virtual_ms) / 3'600'000;
    if (!report.broken) continue;
    ++broken;
    tell(report, words[0], false);
    tell_the_least(report, words[0]);
    std::fflush(stdout);
    if (!keep_going) break;
  }
  const double took = now() - begin;
  std::printf(
      "%llu seeds in %.1f s (%.0f a minute), %.1f h of virtual time: %llu events, %llu deliveries, %llu "
      "arrivals, %llu repeats, %llu dead letters; broken: %llu\n",
      static_cast<unsigned long long>(done), took, static_cast<double>(done) * 60 / took, hours,
      static_cast<unsigned long long>(events), static_cast<unsigned long long>(deliveries),
      static_cast<unsigned long long>(arrivals), static_cast<unsigned long long>(repeats),
      static_cast<unsigned long long>(dead), static_cast<unsigned long long>(broken));
  return broken == 0 ? 0 : 1;
}
