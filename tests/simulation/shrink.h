#pragma once
#include <string>
#include <vector>

#include "tests/simulation/run.h"

// A broken run made smaller: whatever can be left out of its scenario while some invariant still breaks.
// Another history than the seed's own, and mostly the same mistake.
namespace postrider::simulation {

// What is left out of the scenario that a seed draws. 0: as drawn.
struct Cuts {
  std::vector<std::string> without;  // kinds of faults and of work, by Scenario's words
  int events = 0, tenants = 0, endpoints = 0, processes = 0;

  Scenario applied_to(Scenario scenario) const;  // aborts on a word that there is not
  std::string options() const;                   // for the command line of `simulate`
};

struct Shrunk {
  Cuts cuts;
  Report report;  // broken
};
// `report` is broken. At most `runs_max` runs.
Shrunk shrink(const Report& report, int runs_max);

}  // namespace postrider::simulation
