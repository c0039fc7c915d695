#include <algorithm>
#include <utility>

#include "tests/simulation/run.h"

namespace postrider::simulation {

Scenario Scenario::draw(std::uint64_t seed) {
  Draw draw(seed * 0x9e3779b97f4a7c15ull + 1);
  Scenario drawn;
  drawn.seed = seed;
  drawn.processes = static_cast<int>(draw.between(1, 3));
  drawn.partitions = static_cast<Partition>(draw.between(1, 4));
  drawn.tenants = static_cast<int>(draw.between(1, 4));
  drawn.endpoints = static_cast<int>(draw.between(1, draw.chance(0.1) ? 20 : 6));  // of a tenant
  drawn.events = static_cast<int>(draw.between(10, draw.chance(0.1) ? 400 : 120));
  drawn.faults_ms = draw.between(20'000, 120'000);
  const auto rate = [&] { return draw.chance(0.4) ? static_cast<double>(draw.between(1, 60)) / 1000 : 0.0; };
  drawn.log = {rate(), rate(), rate(), rate(), draw.chance(0.3) ? 0.3 : 0.0};
  drawn.log.doubles = drawn.log.lands_late * 5;
  // Swarm: each kind is on in some runs and off in others, so that they do not always hide each other.
  for (bool* kind : {&drawn.crashes,          &drawn.power_cuts,       &drawn.stops,
                     &drawn.network_cuts,     &drawn.coordinator_cuts, &drawn.rebalances,
                     &drawn.outages,          &drawn.elections,        &drawn.compaction,
                     &drawn.clock_jumps,      &drawn.disk_full,        &drawn.view_corrupt,
                     &drawn.view_lost,        &drawn.keys_away,        &drawn.names_fail,
                     &drawn.lagging_registry, &drawn.changes,          &drawn.repeats,
                     &drawn.poison,           &drawn.replays,          &drawn.moods}) {
    *kind = draw.chance(0.4);
  }
  drawn.tight = draw.chance(0.2);
  if (draw.chance(0.2)) {  // one thing after another
    drawn.stormy = true;
    drawn.processes = static_cast<int>(draw.between(1, 2));
    drawn.partitions = 1;
    for (double* often : {&drawn.log.vanishes, &drawn.log.loses_ack, &drawn.log.lands_late}) {
      *often = static_cast<double>(draw.between(0, 300)) / 1000;
    }
    drawn.log.doubles = drawn.log.lands_late;
    drawn.moods = drawn.coordinator_cuts = true;
    drawn.disk_full = draw.chance(0.7);
    drawn.changes = draw.chance(0.6);
    drawn.replays = draw.chance(0.6);
  }
  drawn.names_lie = draw.chance(0.05);
  drawn.truncation = draw.chance(0.05);
  drawn.growth = draw.chance(0.15);
  drawn.offsets_lost = draw.chance(0.15);
  drawn.short_lives = draw.chance(0.2);
  drawn.eager = draw.chance(0.5);
  if (draw.chance(0.1)) drawn.without_faults();
  if (draw.chance(0.35)) drawn.make_for(static_cast<Corner>(draw.between(1, 8)), draw);
  drawn.remade = draw.chance(0.15);
  // Drawn last: of a seed of old all else stays as it was (`--without suspensions`).
  drawn.suspensions = draw.chance(0.3) && drawn.corner == Corner::none;
  return drawn;
}

// Then nothing may be repeated.
void Scenario::without_faults() {
  log = {};
  for (bool* kind :
       {&crashes, &power_cuts, &stops, &network_cuts, &coordinator_cuts, &rebalances, &outages, &elections,
        &disk_full, &view_corrupt, &view_lost, &names_lie, &truncation, &growth, &offsets_lost}) {
    *kind = false;
  }
}

void Scenario::make_for(Corner where, Draw& draw) {
  const auto quiet = [this] {
    without_faults();
    for (bool* kind : {&compaction, &clock_jumps, &keys_away, &names_fail, &lagging_registry, &changes,
                       &repeats, &poison, &replays, &tight, &moods, &stormy, &short_lives}) {
      *kind = false;
    }
  };
  corner = where;
  partitions = 1;
  switch (where) {
    case Corner::none:
      break;
    case Corner::full_disks:
      quiet();
      processes = 2;
      endpoints = static_cast<int>(draw.between(1, 4));
      faults_ms = draw.between(40'000, 120'000);
      break;
    case Corner::quiet_disk:
      quiet();
      processes = 1;
      tenants = endpoints = 1;
      events = static_cast<int>(draw.between(3, 6));
      faults_ms = draw.between(60'000, 120'000);
      break;
    case Corner::late_words:
      quiet();
      processes = 1;
      tenants = 1;
      endpoints = static_cast<int>(draw.between(1, 3));
      log.loses_ack = 0.1;
      break;
    case Corner::forced_release:
      quiet();
      processes = static_cast<int>(draw.between(1, 2));
      compaction = draw.chance(0.5);
      eager = true;
      break;
    case Corner::late_doubles:
      quiet();
      changes = true;
      compaction = draw.chance(0.3);
      endpoints = static_cast<int>(draw.between(1, 3));
      log.vanishes = 0.3;
      log.doubles = 0.6;
      break;
    case Corner::lost_indexes:
      quiet();
      processes = static_cast<int>(draw.between(1, 2));
      tenants = static_cast<int>(draw.between(1, 2));
      endpoints = static_cast<int>(draw.between(1, 2));
      events = static_cast<int>(draw.between(60, 200));
      repeats = crashes = rebalances = view_lost = true;
      power_cuts = draw.chance(0.5);
      log.stale_end = draw.chance(0.5) ? 0.6 : 0;
      break;
    case Corner::late_answers:
      quiet();
      processes = static_cast<int>(draw.between(1, 2));
      tenants = 1;
      endpoints = static_cast<int>(draw.between(1, 3));
      crashes = true;
      break;
    case Corner::stale_registry:
      quiet();
      changes = lagging_registry = true;
      processes = 3;
      partitions = static_cast<Partition>(draw.between(1, 4));
      log.stale_end = draw.chance(0.5) ? 0.3 : 0;
      break;
  }
}

std::string Scenario::words() const {
  std::string text = std::to_string(processes) + " processes, " + std::to_string(partitions) +
                     " partitions, " + std::to_string(tenants) + " tenants of " + std::to_string(endpoints) +
                     " endpoints, " + std::to_string(events) + " events;";
  const auto say = [&](bool on, const char* what) {
    if (on) text += std::string(" ") + what;
  };
  say(log.vanishes > 0, "requests-vanish");
  say(log.loses_ack > 0, "acks-lost");
  say(log.lands_late > 0, "late-landings");
  say(log.commit_fails > 0, "commits-unanswered");
  say(log.stale_end > 0, "deposed-leader");
  for (const Kind& kind : kKinds) say(this->*kind.is_on, kind.word);
  say(corner == Corner::full_disks, "corner:full-disks");
  say(corner == Corner::quiet_disk, "corner:quiet-disk");
  say(corner == Corner::late_words, "corner:late-words");
  say(corner == Corner::forced_release, "corner:forced-release");
  say(corner == Corner::late_doubles, "corner:late-doubles");
  say(corner == Corner::lost_indexes, "corner:lost-indexes");
  say(corner == Corner::late_answers, "corner:late-answers");
  say(corner == Corner::stale_registry, "corner:stale-registry");
  return text;
}

}  // namespace postrider::simulation
