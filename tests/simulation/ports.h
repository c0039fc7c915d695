#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/ports/clock.h"
#include "engine/ports/keys.h"
#include "engine/ports/observer.h"
#include "engine/ports/resolver.h"
#include "engine/ports/store.h"
#include "engine/ports/transport.h"
#include "tests/simulation/draw.h"
#include "tests/simulation/kafka.h"
#include "tests/simulation/timeline.h"

// The ports beside the log, each as bad as the real one may be.
namespace postrider::simulation {

class SimClock final : public Clock {
 public:
  explicit SimClock(const Timeline& time) : time_(time) {}
  WallTime wall() const override { return from_ms<WallTime>(time_.now + Timeline::kBorn + skew_ms); }
  SteadyTime steady() const override { return time_.steady(); }
  std::int64_t skew_ms = 0;  // of this host's wall clock; jumps

 private:
  const Timeline& time_;
};

// Ordered bytes. What was written since the last sync may be lost with the machine: always a tail of the
// batches, each whole (a torn one is dropped by its checksum).
class SimStore final : public Store {
 public:
  Result<std::optional<std::string>> get(Family family, std::string_view key) override;
  Result<void> write(const StoreBatch& batch, bool sync) override;
  Result<void> write_behind(StoreBatch batch) override;
  Result<void> scan(Family family, std::string_view from, std::string_view to,
                    const std::function<bool(std::string_view, std::string_view)>& each) override;
  Result<void> erase_range(Family family, std::string_view from, std::string_view to) override;
  void set_log_time(LogTime now) override { log_time_ = now; }

  void process_ends() { owed_.clear(); }
  void lose_tail(Draw& draw);  // power was cut
  void wipe();
  std::map<Family, std::map<std::string, std::string, std::less<>>> rows;
  bool full = false;        // no space left
  bool unreadable = false;  // for a while
  bool corrupt = false;     // a block does not match its checksum

 private:
  Result<void> readable();
  bool hides(Family family, const std::string& value) const;
  Result<void> settle();
  Result<void> put(const StoreBatch& batch, bool sync);
  void note(Family family, const std::string& key);
  using Undo = std::vector<std::tuple<Family, std::string, std::optional<std::string>>>;
  std::deque<Undo> undo_;
  std::deque<StoreBatch> owed_;  // written behind: as late as may be
  LogTime log_time_{};
};

// A host that customers run. `behaves` from time to time.
struct Receiver {
  enum class Mood { healthy, fails, refuses, hangs, limits, gone, forbids, slow };
  Mood mood = Mood::healthy;
  std::int64_t latency_ms = 5;
  int moved = 0;                // how often it has another address than before
  std::int64_t away_until = 0;  // nothing answers there
  std::string address() const { return "93.184.216." + std::to_string(1 + moved % 250); }
};

// What arrived at a host, at the moment of its first byte.
struct Arrival {
  const Process* from = nullptr;
  std::string host;
  HttpRequest request;
  std::int64_t at = 0;
  std::int64_t sender_wall_ms = 0;
  bool answered_2xx = false;
  std::string header(std::string_view name) const;
};

// The internet: every process' requests, every host's answers.
class Hosts {
 public:
  Hosts(Timeline& time, Draw& draw) : time_(time), draw_(draw) {}
  std::map<std::string, Receiver> receivers;
  std::function<void(const Arrival&)> on_arrival = [](const Arrival&) {};
  // Judges what one process has in flight at one host.
  std::function<void(const Process&, const std::string&, int)> on_in_flight = [](const Process&,
                                                                                 const std::string&, int) {};
  // A process sends to a host that told it to wait, so many ms too soon.
  std::function<void(const Process&, const std::string&, std::int64_t)> on_hasty =
      [](const Process&, const std::string&, std::int64_t) {};
  std::int64_t connect_ms_max = 2500;

  struct Answer {
    std::int64_t at = 0;
    Outcome outcome;
    std::int64_t quiet_ms = 0;  // from when it is heard, nothing more is to come; 0: it says nothing of it
  };
  Answer arrive(Arrival arrival);
  Timeline& time() { return time_; }
  Draw& draw() { return draw_; }

 private:
  void limit(Answer& answer);
  Timeline& time_;
  Draw& draw_;
};

// One life's way to the hosts.
class SimTransport final : public Transport {
 public:
  SimTransport(Hosts& hosts, const SimClock& clock, const Process& process)
      : hosts_(hosts), clock_(clock), process_(process) {}
  void send(HttpRequest request, std::uint64_t token) override;
  void cancel_all() override;
  std::size_t poll(TransportListener& listener) override;
  void start(TransportListener& listener) override { dial(listener); }
  int wake_fd() const override { return -1; }
  std::int64_t next() const;  // when poll() has something

 private:
  struct Dialling {
    HttpRequest request;
    std::uint64_t token;
    std::int64_t at;
  };
  struct Waiting {
    std::uint64_t token;
    std::int64_t at;
    Outcome outcome;
    std::string host;
    std::int64_t quiet_ms = 0;
  };
  void dial(TransportListener& listener);

  Hosts& hosts_;
  const SimClock& clock_;
  const Process& process_;
  std::vector<Dialling> dialling_;
  std::vector<Waiting> waiting_;
  std::map<std::string, int> in_flight_;
  std::map<std::string, std::int64_t> quiet_until_;  // as the host told us
};

class SimResolver final : public Resolver {
 public:
  SimResolver(Timeline& time, Draw& draw, Hosts& hosts) : time_(time), draw_(draw), hosts_(hosts) {}
  void resolve(const std::string& host, std::uint64_t token) override;
  std::size_t poll(ResolverListener& listener) override;
  int wake_fd() const override { return -1; }
  std::int64_t next() const;
  double fails = 0, lies = 0;

 private:
  struct Answer {
    std::int64_t at;
    std::uint64_t token;
    Result<Resolved> resolved;
  };
  Timeline& time_;
  Draw& draw_;
  Hosts& hosts_;
  std::vector<Answer> answers_;
};

// Seals by naming key and context in front of the bytes: a value opened elsewhere is refused, and anyone can
// see which key it was.
class SimKeys final : public Keys {
 public:
  static constexpr Millis kKeptFor{20'000};  // shorter than the engine's: a run is minutes
  SimKeys(Draw& draw, const Timeline& time) : draw_(draw), time_(time) {}
  SteadyTime kept_until(const TenantId&) const override { return time_.steady() + kKeptFor; }
  void apply(const WrappedKeyFact& fact) override;
  bool has_key(const TenantId& tenant) const override { return sealing_.contains(tenant); }
  Result<WrappedKeyFact> make_key(const TenantId& tenant) override;
  Result<std::string> seal(const SealContext& context, std::string_view bytes) override;
  Result<Secret> open(const SealContext& context, std::string_view sealed) override;
  Result<std::unique_ptr<Signer>> signer(const std::vector<SigningSecret>& secrets) override;
  static std::string sign(std::string_view key, std::string_view prefix, std::string_view body);
  bool away = false;

 private:
  Draw& draw_;
  const Timeline& time_;
  std::map<TenantId, WrappedKeyFact> sealing_;  // the oldest, as engine/crypto has it
  std::set<std::string> known_;
};

// What the engine says aloud, as lines of the run's history.
class SimObserver final : public Observer {
 public:
  SimObserver(Timeline& time, const Process& process) : time_(time), process_(process) {}
  void attempt(const AttemptReport& report) override;
  void dead_letter(const DeadLetter& letter) override;
  void endpoint_changed(const TenantId& tenant, const EndpointId& endpoint, Stop stop,
                        std::string_view why) override;
  void breaker_changed(const TenantId&, const EndpointId&, bool) override {}
  void event_taken(const TenantId&, std::uint32_t) override {}
  void no_match(const TenantId&) override {}
  void repeat(const TenantId&) override {}
  void perhaps_repeat(const TenantId&) override {}
  void misplaced(const TenantId&) override {}
  void parked(bool) override {}
  void cancelled(const CancelledFact& fact) override;
  void note(std::string_view level, std::string_view operation, std::string_view message,
            const Error*) override;
  void gauges(const ShardGauges& gauges) override {
    last = gauges;
    on_gauges(gauges);
  }
  std::function<void(const ShardGauges&)> on_gauges = [](const ShardGauges&) {};
  ShardGauges last;
  std::set<std::string> operations;  // of notes

 private:
  template <class Words>
  void say(Words&& words);
  Timeline& time_;
  const Process& process_;
};

}  // namespace postrider::simulation
