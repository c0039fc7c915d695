#pragma once
#include <array>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/fact.h"
#include "tests/simulation/kafka.h"
#include "tests/simulation/ports.h"

namespace postrider::simulation {

inline const Environment kEnvironment("production");
inline const LogIdentity kIdentity("log_sim");
// Of every endpoint; each ± 20 %.
inline constexpr std::array<Millis, 4> kRetryDelays{Millis(1000), Millis(3000), Millis(10'000),
                                                    Millis(20'000)};

// An invariant of DESIGN §14 that did not hold.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string at(Position position);  // "1@40"

// What was published, as its producer meant it.
struct Publication {
  TenantId tenant;
  std::string source, id, type;
  bool bad = false;              // no event of ours: to be set aside
  std::optional<Target> target;  // a replay
  ReplayJobId job;
  WebhookId webhook;
};

// One command about an endpoint, as its caller knows it. What is not answered may be in force or not.
struct Change {
  std::int64_t asked = 0;
  std::optional<std::int64_t> answered;
  bool refused = false;  // somebody else was first: it is in force nowhere
  bool exists = true;
  std::string types;              // one pattern
  std::string host;               // of its URL: each change of it takes a new one
  std::vector<std::string> keys;  // that sign
  int life = 0;                   // a creation begins one
  std::uint32_t concurrency = 0;
};
struct EndpointHistory {
  TenantId tenant;
  EndpointId id;
  std::vector<Change> changes;
  bool uncertain = false;  // a command's answer was lost, or two wrote at once: nothing is asked of it
  bool contested = false;  // uncertain, until it is known which of the two was first
  // The last command that was not refused; nullptr: there was none.
  const Change* last() const {
    for (auto at = changes.rbegin(); at != changes.rend(); ++at)
      if (!at->refused) return &*at;
    return nullptr;
  }
};

// One command that suspends a tenant, or lifts that. What is not answered may be in force or not.
struct Suspension {
  bool suspended = false;
  std::optional<std::int64_t> answered;
};

// Knows what callers, producers and customers know, and judges the engine by it: what stands on the log, what
// is committed, what arrives. It asks the engine nothing.
class Oracle {
 public:
  Oracle(Timeline& time, Kafka& kafka, Group& group) : time_(time), kafka_(kafka), group_(group) {}

  std::vector<Publication> publications;  // a record's tag is its index + 1
  std::map<std::pair<TenantId, EndpointId>, EndpointHistory> endpoints;
  std::map<TenantId, std::vector<Suspension>> suspensions;  // in the order in which they were asked for
  Millis lifetime{0}, repeat_window{0};
  bool names_lie = false;             // of hosts: then `target_denied` is right
  std::set<Position> lost_at_source;  // removed from `events` by the run
  bool offsets_were_lost =
      false;  // what had settled may be read again, by a process that knows nothing of it
  bool payloads_may_be_lost = false;  // removed from `events`, and a view was lost
  bool faultless = true;              // nothing has happened that excuses a repeat

  void excuse(const std::string& what);
  void on_visible(const Kafka::Slot& slot);
  void on_commit(const Process& process, Partition partition, Offset from, Offset to, SteadyTime sent_at);
  // A partition begins anew with that offset of the group's.
  void on_assigned(const Process& process, const Assignment& assignment);
  // What the engine says of itself: a partition is refused by name, and for a reason only.
  void on_complaint(const Process& process, const std::string& complaint);
  // An operator has told the group where to go on, and what has settled above that.
  void on_rebuilt(Partition partition, Offset to);
  bool is_refused() const { return !refused_.empty(); }
  void on_arrival(const Arrival& arrival);
  void on_in_flight(const Process& process, const std::string& host, int count);
  void on_hasty(const Process& process, const std::string& host, std::int64_t early_ms);
  // What a process says of its indexes of first positions: whoever says that one is whole delivers no repeat.
  void on_repeat_index(const Process& process, const std::vector<RepeatIndexGauge>& index);
  // All faults are healed: nothing may be owed. nullopt: it is so; else what is.
  std::optional<std::string> owed();

  // What stands last on `parked`, by delivery.
  std::map<std::string, Offset> parked_now(Partition partition) const;
  struct Counts {
    std::uint64_t events = 0, deliveries = 0, arrivals = 0, repeats = 0, dead = 0, cancelled = 0, commits = 0;
  };
  Counts counts() const;
  // Some deliveries of which two facts name the same attempt, and one was a success.
  std::vector<std::string> numbered_twice() const;

 private:
  struct Parked {
    Offset at = 0;
    std::int64_t due = 0;
    std::int64_t epoch = 0;
    bool late = false;
  };
  struct DeliverySeen {
    std::string id;
    Position position;
    Incarnation incarnation;
    bool success = false, dead = false, cancelled = false;
    std::optional<Parked> parked;
    std::set<Stamp> attempts;
    std::set<std::uint32_t> numbers;
    bool twice = false;              // one of them
    std::uint32_t charged = 0;       // attempts, as their facts say
    bool taken_off_by_owner = true;  // by no late word
  };
  struct EventSeen {
    std::uint64_t tag = 0;
    LogTime appended{};
    std::int64_t landed = 0;
    bool no_match = false, set_aside = false, repeat = false, lost = false, dead_letter = false;
    std::int64_t settled_at = 0;    // when the commit passed it
    bool again = false;             // that commit was lost, and nothing told so: it may be read again
    std::int64_t delivered_at = 0;  // when a success was told in time
    Offset repeat_of = -1;
    std::set<std::string> deliveries;
  };
  struct Life {
    const EndpointHistory* endpoint = nullptr;
    int number = 0;
    Incarnation incarnation;
  };
  struct Arrived {
    int count = 0;
    std::vector<std::int64_t> accepted;  // when
  };

  [[noreturn]] void broken(const std::string& what) const;
  const Publication* publication(Position position) const;
  EventSeen* event(Position position);
  DeliverySeen& delivery(const DeliveryRef& ref);
  const Life* life_of(const Incarnation& incarnation) const;
  bool matches(const Change& change, const Publication& published) const;
  bool must(const EndpointHistory& endpoint, const EventSeen& event, const Publication& published,
            std::int64_t until, int& life) const;
  void see_def(const Record& record);
  void see_attempts(const Kafka::Slot& slot);
  void see_parked(const Kafka::Slot& slot);
  void see_dead_letter(const Record& record);
  void see_seal(const Kafka::Slot& slot);
  void judge_repeat(const Kafka::Slot& slot, const AttemptFact& fact);
  std::string unaccounted(Position position, std::int64_t until, bool at_the_end);
  // By a command that was answered, and by none behind it that may have lifted that.
  bool is_suspended(const TenantId& tenant) const;
  void judge_time(const Arrival& arrival, std::int64_t seconds) const;
  // What has settled comes back only from where it was parked.
  bool comes_only_from_parked(const DeliverySeen& delivery);
  void judge_signature(const Arrival& arrival, const EndpointHistory& endpoint,
                       const std::string& prefix) const;

  Timeline& time_;
  Kafka& kafka_;
  Group& group_;
  std::map<Partition, std::vector<EventSeen>> events_;  // by offset
  std::unordered_map<std::string, DeliverySeen> deliveries_;
  std::map<WebhookId, std::vector<Position>> by_webhook_;
  std::map<Incarnation, Life> lives_;
  std::map<std::string, std::pair<TenantId, EndpointId>> hosts_;
  std::map<std::pair<WebhookId, int>, Arrived> arrived_;  // by life
  std::map<Partition, Offset> epochs_;
  std::map<Partition, std::optional<Offset>> named_;  // by the newest owner mark: what was committed
  std::map<Partition, Offset> committed_;             // the furthest that ever was
  std::set<Partition> refused_;                       // whose owner must ask an operator
  std::map<std::pair<Partition, std::pair<int, std::uint64_t>>, Offset> committed_by_;
  std::map<std::pair<Partition, std::pair<int, std::uint64_t>>, std::int64_t>
      leased_at_;  // newest commit sent
  std::set<std::string> keys_seen_;
  // Since when, by whom: the newest owner's word alone counts.
  struct Whole {
    int process = -1;
    std::int64_t since = 0;
  };
  std::map<Partition, Whole> whole_;
  std::vector<std::int64_t> excuses_;
  std::uint64_t commits_ = 0, arrivals_ = 0, repeats_ = 0;

 public:
  void know_host(const std::string& host, const TenantId& tenant, const EndpointId& id) {
    hosts_[host] = {tenant, id};
  }
};

}  // namespace postrider::simulation
