#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/event.h"
#include "engine/core/ids.h"
#include "engine/core/time.h"

// The replays that there are, and who runs each: fold(records of `replays`), in offset order.
namespace postrider {

// A record of `replays`. What a step does not name it leaves empty.
struct ReplayFact {
  enum class Step {
    begun,      // asked for, with what it selects; of a job that has ended: it goes on
    running,    // somebody takes it, or says that he is at it still and how far
    cancelled,  // somebody wants it to end
    ended,      // by who ran it
    released,   // whoever ran it lets go of it: another may go on
  };
  enum class Outcome { finished, cancelled, failed };
  struct Skipped {
    DeliveryId delivery;
    std::string why;
    bool operator==(const Skipped&) const = default;
  };
  // Which dead letters: those named, or the open ones that match.
  struct Selection {
    TenantId tenant;
    EndpointId endpoint;
    std::string type, reason;
    std::int64_t since = 0, until = 0;  // of death, unix ms
    std::vector<DeliveryId> ids;
    // Where `dead-letters` ended when it was asked for: what died later is not meant.
    std::vector<std::pair<Partition, Offset>> ends;
    bool operator==(const Selection&) const = default;
  };

  ReplayJobId job;
  Step step = Step::begun;
  std::string run;    // "run_…": of running, ended and released
  std::string actor;  // of begun and cancelled
  TenantId within;    // whose token asked for it; empty: the platform's
  Selection selection;
  double rate = 0;        // replays a second; 0: as fast as the log takes them
  bool attended = false;  // somebody waits at a terminal: nobody else goes on with it
  std::uint64_t matched = 0, replayed = 0, skipped_count = 0;  // so far, all runs together
  std::vector<Skipped> skipped;                                // ended: the first hundred
  Outcome outcome = Outcome::finished;
  std::string error;  // failed: why, in a sentence
  std::string unknown;
  bool operator==(const ReplayFact&) const = default;
};

// Whether this version knows what it selects by. A newer one may know more reasons, and a wider selection
// than was asked for would be worse than none.
bool is_known(const ReplayFact::Selection& selection);

enum class ReplayState { waiting, running, cancelling, stopped, finished, cancelled, failed };
std::string_view name_of(ReplayState state);
bool is_over(ReplayState state);  // nothing comes of it any more, unless it is begun again

struct ReplayJob {
  ReplayJobId id;
  std::string actor, cancelled_by;
  TenantId within;
  ReplayFact::Selection selection;  // without its ids
  std::size_t id_count = 0;
  double rate = 0;
  bool attended = false;
  std::uint64_t matched = 0, replayed = 0, skipped_count = 0;
  std::vector<ReplayFact::Skipped> skipped;
  std::string error;
  Offset begun = 0;          // where it was first asked for
  Offset selection_at = 0;   // where it was asked for last: its ids stand there
  std::string run;           // empty: nobody's, or let go of; else whose it is, or was when it died
  std::int64_t told_at = 0;  // when that run was last heard of
  std::int64_t created_at = 0, started_at = 0, ended_at = 0;  // append times, unix ms; 0: not yet
  ReplayState state = ReplayState::waiting;
  bool is_free = false;  // whoever comes may take it: to go on with it, or to end it as it was cancelled
  // Of runs that died before `run`, and after which nobody has looked for what was sent last: when the first
  // was last heard of. 0: there are none.
  std::int64_t doubtful_since = 0;

  std::uint64_t remaining() const {
    const auto done = replayed + skipped_count;
    return matched > done ? matched - done : 0;
  }
};

// A value, no clock: the records' append times decide, so that every instance that has read as far holds the
// same, and of two that take one job at once both know whose it is.
//
// Rules: a job is one runner's at a time, from its first `running` until it ends, lets go, or has not been
// heard of for kSilent; then another may take it. Who runs one tells each kToldEvery, and does nothing once
// that is kLease old: so there is one at a time even if a process is stopped and wakes. Who lets go has
// marked all that it sent; who cannot say so falls silent, and the next one looks before it goes on. What is
// cancelled ends at once if it is nobody's; else whoever runs it ends it, or, should that one die, who takes
// it next.
class ReplayLedger {
 public:
  static constexpr Millis kSilent = std::chrono::seconds(20);
  static constexpr Millis kLease = std::chrono::seconds(14);
  static constexpr Millis kToldEvery = std::chrono::seconds(4);

  void apply(const ReplayFact& fact, Offset offset, LogTime appended);

  // As they stand at `now`. nullopt: there is none of that id.
  std::optional<ReplayJob> find(const ReplayJobId& id, LogTime now) const;
  std::vector<ReplayJob> all(LogTime now) const;  // the newest first
  // Whether it is that run's to go on with. A run that somebody wants to end is still its own.
  bool runs(const ReplayJobId& id, const std::string& run) const;
  bool cancel_asked(const ReplayJobId& id) const;
  LogTime last_appended() const { return last_appended_; }
  // What began before `begin` is no longer on the log.
  void forget_before(Offset begin);

 private:
  struct Entry {
    ReplayJob job;
    LogTime told{};
    bool over = false, cancelled = false;
    ReplayFact::Outcome outcome = ReplayFact::Outcome::finished;
    bool is_run(LogTime now) const { return !job.run.empty() && now - told < kSilent; }
    ReplayState state(LogTime now) const;
  };
  void begin(const ReplayFact& fact, Offset offset, LogTime appended);
  static void run(Entry& entry, const ReplayFact& fact, LogTime appended);
  static void end(Entry& entry, const ReplayFact& fact, LogTime appended);
  static void close(Entry& entry, ReplayFact::Outcome outcome, LogTime appended);
  ReplayJob shown(const Entry& entry, LogTime now) const;

  std::map<ReplayJobId, Entry> entries_;
  LogTime last_appended_{};
};

}  // namespace postrider
