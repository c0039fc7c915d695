#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/operations/dead_letters.h"
#include "engine/operations/replay_book.h"

// A replay is a publish (DESIGN §3): the event goes to `events` again, for its one target, under a job's
// random id and the same webhook-id; its sealed payload travels unopened, so that no key is needed here.
//
// A job stands on the log (`replays`): what it selects, who runs it, how far that is. So whoever runs it may
// die: another goes on, and repeats nothing.
namespace postrider {

struct ReplayRequest {
  // Which ones: `ids` of any state, or else the open ones that match. One of both must select something.
  DeadLetterFilter filter;
  bool dry_run = false;  // counts only
  double rate = 0;       // replays a second; 0: as fast as the log takes them
  ReplayJobId job;  // resumes that job, which repeats nothing; empty: a new one. With its own filter again
  // The name of a new job; empty: a random one. If it was begun before, by a run that was cut off, it is
  // resumed.
  ReplayJobId named;
  bool attended = false;  // by a person at a terminal: when that one goes, nobody else goes on with it
  Actor actor;
  TenantId within;  // what belongs to others is as if it were not there; empty: every tenant
};

struct ReplayReport {
  ReplayJobId job;
  std::uint64_t matched = 0;
  std::uint64_t replayed = 0;
  std::uint64_t done_before = 0;        // by this job, before it was resumed
  using Skipped = ReplayFact::Skipped;  // why: "bad_event": it never was a delivery; "payload_lost";
                                        // "not_found"; "too_large" for `events`; "refused" by it
  std::vector<Skipped> skipped;         // the first hundred
  std::uint64_t skipped_count = 0;
  bool finished = true;    // false: it was stopped; resume it with `job`
  bool cancelled = false;  // for good
};

// A slower one would hold its runner for days. 0 is no rate: as fast as the log takes them.
inline constexpr double kReplayRateLeast = 0.1, kReplayRateMost = 1e6;
// Waiting, running or about to end, of one tenant's tokens. Two that are asked for at once may both pass.
inline constexpr std::size_t kOpenReplaysMax = 10;

// Puts the job on the log, where run_replay() finds it; the one of that id, if it is there already. Its audit
// fact comes first.
// INVALID_REQUEST: nothing is selected, ids and a filter both are, or the job's selection was another one.
// NOT_FOUND: there was no such job. REPLAY_CANCELLED, TOO_MANY_REPLAYS (conflict).
Result<ReplayJobId> begin_replay(Desk& desk, ReplayBook& book, const ReplayRequest& request);

// What is asked while it runs. Both on threads of the run's.
struct ReplayHooks {
  std::function<void(const ReplayReport&)> progress = {};  // after each
  std::function<void()> tick = {};  // a few times a second, from another thread than `progress`
};

// Takes the job and runs it. Blocks until it has ended, `stop` is set (another may go on with it then, or
// this one), it was cancelled, or another took it. Each replay is acknowledged before its mark is written;
// whoever goes on after a crash in between finds the event and writes the mark. REPLAY_TAKEN (conflict):
// somebody else runs it, or it has ended. INVALID_REQUEST: it selects by what a newer version knows, and is
// left to that.
Result<ReplayReport> run_replay(Desk& desk, ReplayBook& book, const ReplayJobId& id,
                                const std::atomic<bool>& stop, const ReplayHooks& hooks = {});

// It ends after the replay that is under way: with a mark for each that was sent, none for the rest. Once
// more changes nothing. REPLAY_ENDED (conflict): it had ended by itself. NOT_FOUND.
Result<ReplayJob> cancel_replay(Desk& desk, ReplayBook& book, const ReplayJobId& id, const Actor& actor,
                                const TenantId& within);

// What would be replayed, or is left to a job: nothing is written. Refuses as begin_replay() does.
Result<ReplayReport> count_replay(Desk& desk, ReplayBook& book, const ReplayRequest& request);
// The same, unchecked.
Result<ReplayReport> count_replay(Desk& desk, const ReplayRequest& request);

// One after the other: count_replay() for a dry run, else begin_replay() and run_replay().
Result<ReplayReport> replay(Desk& desk, const ReplayRequest& request, const std::atomic<bool>& stop,
                            const std::function<void(const ReplayReport&)>& progress = {});

}  // namespace postrider
