#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/flow/shard.h"

// A small world for one or several whole shards: every port replaced by something that behaves, virtual time,
// one thread. A log that acknowledges when it is told to, receivers that answer what they are told to.
namespace postrider::world {

struct Clocks {
  std::int64_t steady_ms = 1'000'000;
  std::int64_t wall_ms = 1'700'000'000'000;
  void advance(Millis span) {
    steady_ms += span.count();
    wall_ms += span.count();
  }
};

class TestClock : public Clock {
 public:
  explicit TestClock(Clocks& clocks) : clocks_(clocks) {}
  WallTime wall() const override { return from_ms<WallTime>(clocks_.wall_ms + skew_ms); }
  SteadyTime steady() const override { return from_ms<SteadyTime>(clocks_.steady_ms); }
  std::int64_t skew_ms = 0;  // of this host's wall clock

 private:
  Clocks& clocks_;
};

class TestRandom : public Random {
 public:
  explicit TestRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override;

 private:
  std::uint64_t state_;
};

// The cluster's topics: what is on them is acknowledged. Several TestLogs share one.
class Cluster {
 public:
  explicit Cluster(Clocks& clocks, Partition partitions = 1);
  struct Commit {
    Offset offset = 0;
    std::string metadata;
  };
  using Key = std::pair<Topic, Partition>;
  Appended append(const NewRecord& record);
  Offset end(Topic topic, Partition partition) const;
  // Keeps the newest record of each key of a compacted topic, as a legal compaction may.
  void compact(Topic topic, Partition partition);

  Clocks& clocks;
  Partition partitions;
  std::map<Key, std::map<Offset, Record>> records;
  std::map<Key, Offset> ends;
  std::map<Partition, Commit> commits;
  // Events that no memory holds: made when they are read, up to ends[{events, partition}].
  std::function<Record(Partition, Offset)> backlog;
  std::function<Appended::Status(const NewRecord&)> fate = [](const NewRecord&) {
    return Appended::Status::acknowledged;
  };
};

// One instance's hold on the cluster.
class TestLog : public Log {
 public:
  explicit TestLog(Cluster& cluster) : cluster_(cluster) {}

  std::size_t poll(LogListener& listener, std::size_t max_records) override;
  int wake_fd() const override { return -1; }
  void join() override { joined = true; }
  void begin(Partition partition, Offset from) override { positions_[partition] = from; }
  std::optional<Offset> position(Partition partition) const override {
    const auto at = positions_.find(partition);
    return at == positions_.end() ? std::nullopt : std::optional(at->second);
  }
  void hold(bool held) override { held_ = held; }
  void release(std::span<const Partition> partitions) override;
  bool can_append(std::size_t) const override { return pending_.size() < append_max; }
  void append(NewRecord record, std::uint64_t token) override;
  void commit(Partition partition, Offset next, std::string metadata) override;
  void tail(Topic topic, Partition partition, Offset from) override {
    tails_[{topic, partition}] = from;
    tailed[topic].push_back(from);
  }
  void untail(Topic topic, Partition partition) override { tails_.erase({topic, partition}); }
  void ask_end(Topic topic, Partition partition) override;
  void fetch(Position position, std::uint64_t token) override;
  Partition partitions() const override { return cluster_.partitions; }
  Millis session_timeout() const override { return session; }

  // What the group does with this member.
  void assign(std::vector<Partition> partitions);
  void revoke(std::vector<Partition> partitions, bool lost = false);

  // Nothing would come of a poll().
  bool quiet() const;

  bool joined = false;
  std::vector<Partition> released;
  // Acknowledgements wait while false; appends land all the same.
  bool acknowledge = true;
  bool commits_succeed = true;
  bool ends_answered = true;
  bool events_stand_still = false;              // nothing is read of them
  bool events_away = false;                     // their leader: nothing is read of them, nor where they end
  bool fetches_answered = true;                 // false: `events` has no leader
  bool fetches_lost = false;                    // and nobody says so
  std::map<Topic, std::vector<Offset>> tailed;  // where each tail began
  std::size_t append_max = 100000;
  Millis session{15'000};

 private:
  using Answer = std::function<void(LogListener&)>;
  Cluster& cluster_;
  bool held_ = false;
  std::map<Partition, Offset> positions_;
  std::map<Cluster::Key, Offset> tails_;
  std::deque<Answer> answers_;
  std::deque<Answer> pending_;  // acknowledgements of appends
};

class TestStore : public Store {
 public:
  Result<std::optional<std::string>> get(Family family, std::string_view key) override;
  Result<void> write(const StoreBatch& batch, bool sync) override;
  Result<void> write_behind(StoreBatch batch) override;
  Result<void> scan(Family family, std::string_view from, std::string_view to,
                    const std::function<bool(std::string_view, std::string_view)>& each) override;
  Result<void> erase_range(Family family, std::string_view from, std::string_view to) override;
  void set_log_time(LogTime now) override { log_time_ = now; }

  std::map<Family, std::map<std::string, std::string, std::less<>>> rows;
  bool full = false;        // writes fail as on a full disk
  bool unreadable = false;  // reads of first positions fail
  bool held_unreadable = false;

 private:
  Result<void> settle();
  std::deque<StoreBatch> owed_;
  LogTime log_time_{};
};

// Receivers by host. What arrives is kept whole.
struct Arrival {
  std::string host;
  HttpRequest request;
  std::int64_t steady_ms = 0;
  std::int64_t log_ms = 0;
  std::string header(std::string_view name) const;
};

class TestTransport {
 public:
  explicit TestTransport(Clocks& clocks) : clocks_(clocks) {}
  // `who` sends: answers go back to it alone.
  void send(const void* who, HttpRequest request, std::uint64_t token);
  void cancel_all(const void* who);
  std::size_t poll(const void* who, TransportListener& listener);

  // What a host answers to its n-th request (from 1); nullopt: it hangs until the attempt's timeout.
  std::function<std::optional<Outcome>(const std::string& host, int n)> answer;
  std::vector<Arrival> arrivals;
  std::uint64_t last_token = 0;
  std::vector<Arrival> at(const std::string& host) const;
  std::size_t hanging() const { return hanging_.size(); }
  bool quiet() const { return done_.empty(); }
  std::int64_t next_timeout() const;

 private:
  struct Hanging {
    std::int64_t until;
    const void* who;
    std::uint64_t token;
  };
  struct Done {
    const void* who;
    std::uint64_t token;
    Outcome outcome;
  };
  Clocks& clocks_;
  std::map<std::string, int> counts_;
  std::vector<Done> done_;
  std::vector<Hanging> hanging_;
};

// One instance's way to the receivers.
class TestLine : public Transport {
 public:
  explicit TestLine(TestTransport& transport) : transport_(transport) {}
  void send(HttpRequest request, std::uint64_t token) override {
    transport_.send(this, std::move(request), token);
  }
  void cancel_all() override { transport_.cancel_all(this); }
  std::size_t poll(TransportListener& listener) override { return transport_.poll(this, listener); }
  void start(TransportListener&) override {}
  int wake_fd() const override { return -1; }

 private:
  TestTransport& transport_;
};

class TestResolver : public Resolver {
 public:
  void resolve(const std::string& host, std::uint64_t token) override;
  std::size_t poll(ResolverListener& listener) override;
  int wake_fd() const override { return -1; }
  bool quiet() const { return done_.empty(); }
  // Hosts that are elsewhere than 203.0.113.7, or nowhere (empty).
  std::map<std::string, std::vector<std::string>> hosts;

 private:
  std::deque<std::pair<std::uint64_t, Result<Resolved>>> done_;
};

// Seals by naming the context in front of the bytes: a value opened elsewhere is refused.
class TestKeys : public Keys {
 public:
  void apply(const WrappedKeyFact& fact) override { keys_[fact.tenant] = fact.key_id; }
  bool has_key(const TenantId& tenant) const override { return keys_.contains(tenant); }
  Result<WrappedKeyFact> make_key(const TenantId& tenant) override;
  Result<std::string> seal(const SealContext& context, std::string_view bytes) override;
  Result<Secret> open(const SealContext& context, std::string_view sealed) override;
  Result<std::unique_ptr<Signer>> signer(const std::vector<SigningSecret>& secrets) override;
  SteadyTime kept_until(const TenantId&) const override { return kept; }
  std::vector<AuditFact> tick() override { return std::exchange(told, {}); }
  std::vector<TenantId> sealed_by_keys_before(std::int64_t) const override { return old; }
  std::vector<AuditFact> told;          // what the key service did
  std::vector<TenantId> old;            // tenants whose key wants a successor
  bool away = false;                    // the key service is down
  bool pending = false;                 // it has not answered yet
  SteadyTime kept = SteadyTime::max();  // what was opened may be used until then
  std::set<TenantId> destroyed;         // tenants that were erased
  int payloads_opened = 0;
  int secrets_opened = 0;

 private:
  std::map<TenantId, std::string> keys_;
  int made_ = 0;
};

// Remembers what was marked.
class TestDecodeMark : public DecodeMark {
 public:
  void begin(Position position) override {
    begun.push_back(position);
    ++standing;
  }
  void end() override { --standing; }
  bool is_suspect(Position position) const override { return suspects.contains(position); }
  std::vector<Position> begun;
  std::set<Position> suspects;
  int standing = 0;
};

class TestObserver : public Observer {
 public:
  void attempt(const AttemptReport& report) override { attempts.push_back(report.fact); }
  void dead_letter(const DeadLetter& letter) override { dead.push_back(letter); }
  void endpoint_changed(const TenantId&, const EndpointId& endpoint, Stop stop,
                        std::string_view why) override;
  void breaker_changed(const TenantId&, const EndpointId&, bool open) override { breaker_open = open; }
  void event_taken(const TenantId&, std::uint32_t) override { ++events; }
  void no_match(const TenantId&) override { ++no_matches; }
  void repeat(const TenantId&) override { ++repeats; }
  void perhaps_repeat(const TenantId&) override { ++perhaps_repeats; }
  void misplaced(const TenantId&) override { ++misplaced_events; }
  void parked(bool) override { ++parked_unattempted; }
  void cancelled(const CancelledFact& fact) override { cancels.push_back(fact); }
  void note(std::string_view level, std::string_view operation, std::string_view message,
            const Error*) override;
  void gauges(const ShardGauges& gauges) override { last = gauges; }

  std::vector<AttemptFact> attempts;
  std::vector<DeadLetter> dead;
  std::vector<CancelledFact> cancels;
  std::vector<std::string> notes;  // "error partition_stopped …"
  std::vector<std::string> changes;
  bool breaker_open = false;
  int events = 0, no_matches = 0, repeats = 0, perhaps_repeats = 0, parked_unattempted = 0;
  int misplaced_events = 0;
  ShardGauges last;
  bool noted(std::string_view operation) const;
};

// A schema is a text that the data must hold; "none" is none. Counts what is made ready.
class TestSchemas : public SchemaCompiler {
 public:
  Result<std::unique_ptr<const CompiledSchema>> compile(std::string_view schema) override;
  int compiled = 0;
};

// One instance: a shard with its ports. Its store outlives a restart, its memory does not.
struct Instance {
  Instance(Clocks& clocks, Cluster& cluster, TestTransport& transport, std::string name);
  // A crash: nothing is said to anyone, and a new shard starts on what was kept.
  void restart();
  void start();

  Clocks& clocks;
  Cluster& cluster;
  TestTransport& transport;
  flow::ShardConfig config;
  TestClock clock;
  TestRandom random{7};
  TestStore store;
  TestObserver observer;
  TestDecodeMark decode_mark;
  TestSchemas schemas;
  std::unique_ptr<TestResolver> resolver;
  std::unique_ptr<TestKeys> keys;
  std::unique_ptr<TestLine> line;
  std::unique_ptr<TestLog> log;
  std::unique_ptr<flow::Shard> shard;
};

// The whole: one cluster, one or more instances, receivers that answer 200 unless told otherwise.
class World {
 public:
  explicit World(Partition partitions = 1);

  Instance& add_instance();
  Instance& one() { return *instances.front(); }
  // Starts an instance and gives it every partition.
  Instance& begin();

  // Steps all instances, 10 ms of virtual time a round, more while nothing is under way.
  void run(Millis span);
  // Until `done`, at most `span`; whether it came.
  bool run_until(const std::function<bool()>& done, Millis span = std::chrono::minutes(10));

  void declare(
      const std::string& endpoint, const std::function<void(EndpointSpec&)>& edit = [](EndpointSpec&) {});
  // An event type of acme, or of another one ("": the platform's), whose events' data must hold that text.
  void describe(const std::string& type, const std::string& schema, const std::string& tenant = "acme");
  Position publish(
      const std::string& id, const std::string& type = "order.created",
      const std::function<void(Event&)>& edit = [](Event&) {});

  // The first dead letter, appended to `events` as `postrider-ops replay` does. The delivery that it makes.
  DeliveryRef replay_dead_letter();

  // What stands on the log.
  std::vector<AttemptFact> attempts() const;
  std::vector<CancelledFact> cancellations() const;
  std::vector<DeadLetter> dead_letters() const;
  std::vector<SourceLostFact> lost_at_source() const;
  std::map<std::string, std::optional<ParkedState>> parked() const;  // newest by delivery id
  std::size_t parked_now() const;                                    // that are no tombstones
  Offset committed(Partition partition = 0) const;

  Clocks clocks;
  Cluster cluster;
  TestTransport transport;
  std::vector<std::unique_ptr<Instance>> instances;

 private:
  template <typename Fact>
  std::vector<Fact> of_attempts() const;
};

Outcome answered(int status, Headers headers = {});
inline const TenantId kTenant{"acme"};
inline const Environment kEnvironment{"production"};
inline const LogIdentity kIdentity{"log_test"};

}  // namespace postrider::world
