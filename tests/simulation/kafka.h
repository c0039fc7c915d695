#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/ports/log.h"
#include "tests/simulation/draw.h"
#include "tests/simulation/timeline.h"

// A Kafka that misbehaves as a real one may, and no worse: appends get lost, land twice, land after their
// producer gave them up; acknowledgements get lost; partitions are away for a while; a new leader has not
// what was not acknowledged by all; a deposed one answers for a moment longer; compaction removes what it
// may.
namespace postrider::simulation {

inline constexpr std::int64_t kSessionMs = 15000;
inline constexpr std::int64_t kMessageTimeoutMs = 2250;  // 0.15 of the session, as engine/kafka sets it
inline constexpr std::int64_t kDeposedFor = 900;         // metadata is asked for each second

// How often things go wrong, per batch of appends or per request.
struct LogFaults {
  double vanishes = 0, loses_ack = 0, lands_late = 0, commit_fails = 0, stale_end = 0;
  std::int64_t late_ms_max = 0;  // 0: 20 s
  double doubles = 0;            // of what vanished: lands long after what was sent in its place
};

class Oracle;

// One process as the log sees it: what it is told waits here until it is run.
struct Process {
  int number = 0;
  std::uint64_t life = 0;  // rises with each start: what an earlier one was promised is void
  bool alive = false;
  bool stopped = false;              // SIGSTOP, or its machine stands still
  std::int64_t cut_until = 0;        // from the brokers
  std::int64_t unheard_until = 0;    // by the group's coordinator alone
  std::int64_t clock_jumped_at = 0;  // its wall clock
  std::int64_t stopped_at = -kSessionMs;
  std::deque<std::function<void(LogListener&)>> inbox;
};

class Kafka {
 public:
  Kafka(Timeline& time, Draw& draw, Partition partitions);

  using Key = std::pair<Topic, Partition>;
  struct Slot {
    Record record;
    std::uint64_t id = 0;   // of this very landing
    int origin = -1;        // process; -1: from outside
    bool late = false;      // its producer had given it up, or was gone
    std::uint64_t tag = 0;  // the caller's
    bool gone = false;      // compacted
  };
  struct Part {
    std::vector<Slot> slots;  // by offset - base
    Offset base = 0;          // of slots.front()
    Offset begin = 0;         // what retention left
    Offset high = 0;          // one above what all have acknowledged: what readers see
    std::int64_t away_until = 0;
    std::int64_t replicated_at = 0;
    std::deque<std::pair<std::int64_t, Offset>> past_ends;  // for a deposed leader
    Offset end() const { return base + static_cast<Offset>(slots.size()); }
    const Slot* at(Offset offset) const;  // nullptr: not there, or not for readers
  };
  Part& part(Topic topic, Partition partition) { return parts_[{topic, partition}]; }
  Part& part(Key key) { return parts_[key]; }
  std::map<Key, Part>& parts() { return parts_; }

  // From outside (producers, operators): lands, sooner or later.
  void produce(NewRecord record, std::uint64_t tag);
  // From a process. `answer` is put into its inbox.
  void append(Process& process, NewRecord record, std::function<void(LogListener&, const Appended&)> answer);

  // Faults.
  void go_away(Key key, std::int64_t ms);  // no leader
  void elect(Key key);                     // a new leader, which has not all that was not acknowledged
  void compact(Key key, std::int64_t lag_ms, std::int64_t tombstones_ms);
  void truncate(Key key, Offset begin);        // retention, or somebody's mistake
  void expire(Key key, std::int64_t kept_ms);  // retention by age
  // `topics grow`: the twins first, then `events`, of which producers hear at once.
  void grow(Partition to);

  // Called for every record that readers can see, in order.
  std::function<void(const Slot&)> on_visible = [](const Slot&) {};
  // Called when an append's fate became unknown to its process.
  std::function<void(const std::string&)> on_excuse = [](const std::string&) {};

  LogFaults faults;
  std::optional<LogFaults> parked_faults;  // of that topic, where they differ
  Partition partitions;                    // of `events`, as producers know it

 private:
  struct Sent {
    NewRecord record;
    std::int64_t deadline = 0;
    bool answered = false;
    std::uint64_t tag = 0;
    std::function<void(const Appended&)> answer;
  };
  using Batch = std::vector<std::shared_ptr<Sent>>;
  // One at a time on its way, as max.in.flight = 1 has it.
  struct Line {
    Process* process = nullptr;
    std::uint64_t life = 0;
    Key key;
    std::deque<std::shared_ptr<Sent>> waiting;
    bool busy = false;
  };
  using LineKey = std::pair<std::pair<int, std::uint64_t>, Key>;
  void pump(const std::shared_ptr<Line>& line);
  void arrive(const std::shared_ptr<Line>& line, const Batch& batch, int tries);
  void next_batch(const std::shared_ptr<Line>& line);
  Slot& land(Key key, const NewRecord& record, int origin, bool late, std::uint64_t tag);
  void replicate(Key key, Offset offset, std::uint64_t id, std::function<void(const Slot&)> then);
  void see(Key key, Offset high);
  void land_late(Key key, const Batch& batch, int origin);
  Partition place(const NewRecord& record) const;

  Timeline& time_;
  const LogFaults& faults_of(Topic topic) const;

  Draw& draw_;
  Partition twins_;
  std::map<Key, Part> parts_;
  std::map<LineKey, std::shared_ptr<Line>> lines_;
  std::uint64_t last_id_ = 0;
};

// The consumer group: who owns which partition of `events`, and how far it is committed.
class Group {
 public:
  Group(Timeline& time, Draw& draw, Kafka& kafka);

  struct Commit {
    Offset offset = 0;
    std::string metadata;
  };
  void join(Process& process);
  void release(Process& process, std::span<const Partition> partitions);
  void commit(Process& process, Partition partition, Offset next, std::string metadata);
  void tick();                                                 // every 100 ms
  void rebalance();                                            // hands partitions round, for no good reason
  void grown(Partition to);                                    // it has heard of new partitions
  void lose(Partition partition, std::optional<Offset> left);  // what was committed, or its newest part
  Partition partitions() const { return partitions_; }
  bool eager = false;  // as the range assignor is: everybody gives up all before anybody gets anything
  // What is running now, and may become a member; an expired one comes back by itself.
  const Process* owner(Partition partition) const;
  std::size_t joined() const;  // members
  std::map<Partition, Commit> commits;
  // Accepted: before it is in force.
  std::function<void(const Process&, Partition, Offset from, Offset to, SteadyTime sent_at)> on_commit =
      [](const Process&, Partition, Offset, Offset, SteadyTime) {};
  std::function<void(const Process&, const Assignment&)> on_assigned = [](const Process&, const Assignment&) {
  };
  std::function<void(const std::string&)> on_excuse = [](const std::string&) {};

 private:
  struct Member {
    Process* process = nullptr;
    std::uint64_t life = 0;
    std::int64_t seen = 0;
    std::int64_t last_commit_at = 0;  // when the last one sent takes effect
    bool joined = false;              // in the group
    bool expired = false;             // and to be told so
    // Of the member in the group, and as the process knows it: what an older one asks is refused.
    std::uint64_t generation = 0, known = 0;
  };
  struct Owned {
    int owner = -1;
    bool revoking = false;
    std::int64_t revoked_at = 0;
    bool told = false;         // the owner has heard of it: before that, it commits for its former assignment
    std::uint64_t number = 0;  // of the assignment
  };
  std::uint64_t assignments_ = 0;
  std::set<Partition> owned_once_;
  Partition partitions_;
  void revoke_all();
  bool is_revoking() const;
  void expire(Member& member);
  void assign(Member& member, const std::vector<Partition>& partitions);
  void tell_revoked(Member& member, std::vector<Partition> partitions, bool lost);

  Timeline& time_;
  Draw& draw_;
  Kafka& kafka_;
  std::map<int, Member> members_;
  std::map<Partition, Owned> owned_;
  std::size_t turn_ = 0;
};

// The port, for one life of a process.
class SimLog final : public Log {
 public:
  SimLog(Timeline& time, Draw& draw, Kafka& kafka, Group& group, Process& process)
      : time_(time), draw_(draw), kafka_(kafka), group_(group), process_(process), life_(process.life) {}

  std::size_t poll(LogListener& listener, std::size_t max_records) override;
  int wake_fd() const override { return -1; }
  void join() override { group_.join(process_); }
  void begin(Partition partition, Offset from) override { positions_[partition] = from; }
  std::optional<Offset> position(Partition partition) const override {
    const auto at = positions_.find(partition);
    return at == positions_.end() ? std::nullopt : std::optional(at->second);
  }
  void hold(bool held) override { held_ = held; }
  void release(std::span<const Partition> partitions) override;
  bool can_append(std::size_t) const override { return unanswered_ < append_max; }
  void append(NewRecord record, std::uint64_t token) override;
  void commit(Partition partition, Offset next, std::string metadata) override;
  void tail(Topic topic, Partition partition, Offset from) override { tails_[{topic, partition}] = from; }
  void untail(Topic topic, Partition partition) override { tails_.erase({topic, partition}); }
  void ask_end(Topic topic, Partition partition) override;
  void fetch(Position position, std::uint64_t token) override;
  Partition partitions() const override { return kafka_.partitions; }
  Millis session_timeout() const override { return Millis(kSessionMs); }

  bool has_news() const;
  std::size_t append_max = 100000;
  std::map<Topic, std::int64_t> lagging_until;  // tails that stand still
  int fetches = 0;

 private:
  void later(std::int64_t ms, std::function<void(LogListener&)> what);
  bool reachable() const { return process_.cut_until <= time_.now; }

  Timeline& time_;
  Draw& draw_;
  Kafka& kafka_;
  Group& group_;
  Process& process_;
  const std::uint64_t life_;
  bool held_ = false;
  std::size_t unanswered_ = 0;
  std::map<Partition, Offset> positions_;
  std::map<Kafka::Key, Offset> tails_;
};

}  // namespace postrider::simulation
