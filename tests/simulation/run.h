#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/flow/shard.h"
#include "tests/simulation/kafka.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/ports.h"

namespace postrider::simulation {

// Some runs make for a corner that chance alone seldom reaches: two rare things within one moment.
enum class Corner {
  none,
  full_disks,      // a takeover while the new owner's disk is full
  quiet_disk,      // the disk is full when the only thing left to do falls due
  late_words,      // what was given up lands before what was said again, and a crash between the two
  forced_release,  // stopped for longer than a partition may be kept, and given the same again
  late_doubles,    // commands all the time, and what was sent for an earlier one lands behind a later one's
  lost_indexes,    // repeats all the time, and everybody forgets what was first
  late_answers,    // a crash after what was said was read back, and before it was acknowledged
  stale_registry,  // changes all the time, and everybody is behind
};

// What is drawn for a run before it begins.
struct Scenario {
  std::uint64_t seed = 0;
  int processes = 1, tenants = 1, endpoints = 1, events = 50;
  Partition partitions = 1;
  std::int64_t faults_ms = 60'000;  // the first phase
  LogFaults log;
  bool crashes = false, power_cuts = false, stops = false, network_cuts = false, coordinator_cuts = false,
       rebalances = false, outages = false, elections = false, compaction = false, clock_jumps = false,
       disk_full = false, view_corrupt = false, view_lost = false, keys_away = false, names_fail = false,
       names_lie = false, lagging_registry = false, changes = false, repeats = false, poison = false,
       replays = false, tight = false, moods = false, stormy = false, truncation = false, growth = false,
       offsets_lost = false, short_lives = false, eager = false, remade = false, suspensions = false;
  Corner corner = Corner::none;
  static Scenario draw(std::uint64_t seed);
  std::string words() const;
  struct Kind {
    const char* word;
    bool Scenario::*is_on;
  };

 private:
  void without_faults();
  void make_for(Corner where, Draw& draw);
};

// Of faults and of work, each with its word.
inline constexpr std::array kKinds{
    Scenario::Kind{"crashes", &Scenario::crashes},
    Scenario::Kind{"power-cuts", &Scenario::power_cuts},
    Scenario::Kind{"stops", &Scenario::stops},
    Scenario::Kind{"network-cuts", &Scenario::network_cuts},
    Scenario::Kind{"coordinator-cuts", &Scenario::coordinator_cuts},
    Scenario::Kind{"rebalances", &Scenario::rebalances},
    Scenario::Kind{"outages", &Scenario::outages},
    Scenario::Kind{"elections", &Scenario::elections},
    Scenario::Kind{"compaction", &Scenario::compaction},
    Scenario::Kind{"clock-jumps", &Scenario::clock_jumps},
    Scenario::Kind{"disk-full", &Scenario::disk_full},
    Scenario::Kind{"view-corrupt", &Scenario::view_corrupt},
    Scenario::Kind{"view-lost", &Scenario::view_lost},
    Scenario::Kind{"keys-away", &Scenario::keys_away},
    Scenario::Kind{"names-fail", &Scenario::names_fail},
    Scenario::Kind{"names-lie", &Scenario::names_lie},
    Scenario::Kind{"lagging-registry", &Scenario::lagging_registry},
    Scenario::Kind{"changes", &Scenario::changes},
    Scenario::Kind{"repeats", &Scenario::repeats},
    Scenario::Kind{"poison", &Scenario::poison},
    Scenario::Kind{"replays", &Scenario::replays},
    Scenario::Kind{"tight-limits", &Scenario::tight},
    Scenario::Kind{"moods", &Scenario::moods},
    Scenario::Kind{"truncation", &Scenario::truncation},
    Scenario::Kind{"partitions-added", &Scenario::growth},
    Scenario::Kind{"offsets-lost", &Scenario::offsets_lost},
    Scenario::Kind{"short-lives", &Scenario::short_lives},
    Scenario::Kind{"eager-rebalances", &Scenario::eager},
    Scenario::Kind{"stormy", &Scenario::stormy},
    Scenario::Kind{"topics-remade", &Scenario::remade},
    Scenario::Kind{"suspensions", &Scenario::suspensions},
};

struct Report {
  std::optional<std::string> broken;  // nullopt: all invariants held
  Oracle::Counts counts;
  std::int64_t virtual_ms = 0;
  std::vector<std::string> trace;
  Scenario scenario;
};

// One seed, from the first event to the last settled one.
class Run {
 public:
  Run(const Scenario& scenario, bool traced);
  ~Run();
  Report finish();

 private:
  struct Node;

  void start(Node& node);
  void kill(Node& node, bool power);
  void go(
      std::int64_t until, const std::function<bool()>& done = [] { return false; });
  Node* some_running();

  void plan_events();
  void publish(Publication publication, std::size_t bytes);
  void plan_changes();
  void change_something();
  void apply(EndpointHistory& endpoint);
  void outcome(EndpointHistory& endpoint, std::size_t index, const Error* error);
  void remove(EndpointHistory& endpoint);
  void toggle(EndpointHistory& endpoint, bool enable);
  void answered(EndpointHistory& endpoint, std::size_t index, std::int64_t deadline);
  void plan_replays();
  void replay_something();
  void plan_suspensions();
  void suspend_or_resume(const TenantId& tenant, bool suspended);
  void resume_all();
  void look_for_refusals();
  void rebuild_offsets();
  void plan_faults();
  void fault();
  void plan_corner();
  void flap_disks(std::int64_t least, std::int64_t most);
  void flap_hosts(std::int64_t least, std::int64_t most, std::vector<Receiver::Mood> moods,
                  std::int64_t until = INT64_MAX);
  void crash_soon(Node& node);
  void begin_again(Node& node);
  void add_partitions();
  void lose_offsets();
  void heal();
  void every(std::int64_t least, std::int64_t most, std::function<void()> what);
  void calm_moods();
  void compare_rebuilt();
  std::map<std::string, std::string> registry_of(Node& node);
  void enable_stopped();
  std::vector<ParkedState> parked_states();
  void make_topics_again();
  void compare_readers();
  void compare_secrets();
  void reconcile_log(bool at_the_end);
  std::int64_t oldest_told();
  void say_state(Node& node);

  const Scenario scenario_;
  Draw draw_;
  Timeline time_;
  Kafka kafka_;
  Group group_;
  Hosts hosts_;
  Oracle oracle_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::string> types_;
  std::optional<DeadLetter> replayed_;  // last
  int last_host_ = 0, last_life_ = 0, last_key_ = 0;
  bool faults_on_ = true;
  bool held_down_ = false;  // every process, by an operator at work
};

}  // namespace postrider::simulation
