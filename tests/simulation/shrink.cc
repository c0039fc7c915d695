#include "tests/simulation/shrink.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace postrider::simulation {

Scenario Cuts::applied_to(Scenario scenario) const {
  for (const std::string& word : without) {
    const auto found = std::find_if(kKinds.begin(), kKinds.end(),
                                    [&](const Scenario::Kind& kind) { return word == kind.word; });
    if (found == kKinds.end()) {
      std::fprintf(stderr, "there is no kind of fault or work called %s\n", word.c_str());
      std::abort();
    }
    scenario.*found->is_on = false;
  }
  if (events > 0) scenario.events = events;
  if (tenants > 0) scenario.tenants = tenants;
  if (endpoints > 0) scenario.endpoints = endpoints;
  if (processes > 0) scenario.processes = processes;
  return scenario;
}

std::string Cuts::options() const {
  std::string text;
  for (const std::string& word : without) text += (text.empty() ? " --without " : ",") + word;
  const auto number = [&text](const char* name, int value) {
    if (value > 0) text += std::string(" --") + name + " " + std::to_string(value);
  };
  number("events", events);
  number("tenants", tenants);
  number("endpoints", endpoints);
  number("processes", processes);
  return text;
}

Shrunk shrink(const Report& report, int runs_max) {
  const Scenario drawn = Scenario::draw(report.scenario.seed);
  Shrunk least{{}, report};
  const auto still_breaks = [&](Cuts cuts) {
    if (runs_max-- <= 0) return false;
    Report tried = Run(cuts.applied_to(drawn), false).finish();
    if (!tried.broken) return false;
    least = {std::move(cuts), std::move(tried)};
    return true;
  };
  for (const Scenario::Kind& kind : kKinds) {
    if (!(drawn.*kind.is_on)) continue;
    Cuts cuts = least.cuts;
    cuts.without.emplace_back(kind.word);
    still_breaks(std::move(cuts));
  }
  using Number = std::pair<int Cuts::*, int Scenario::*>;
  for (const auto& [cut, number] : {Number{&Cuts::events, &Scenario::events},
                                    {&Cuts::tenants, &Scenario::tenants},
                                    {&Cuts::endpoints, &Scenario::endpoints},
                                    {&Cuts::processes, &Scenario::processes}}) {
    for (int now = drawn.*number / 2; now > 0; now /= 2) {
      Cuts cuts = least.cuts;
      cuts.*cut = now;
      if (!still_breaks(std::move(cuts))) break;
    }
  }
  return least;
}

}  // namespace postrider::simulation
